-- recommend.bought: what each customer bought in :history_days, and how much that weighs: times (days with an order of
-- it) by how long ago the last was, in thousandths, halved every :half_days. The weightiest :most_own are kept, and all
-- of the last :just_bought_days, which are not to be recommended.
with
days as (
    select
        customer_id,
        product_id,
        ordered_on
    from agg.product_days
    where ordered_on >= cast(:as_of as date) - cast(:history_days as integer)
    group by customer_id, product_id, ordered_on
    having sum(lines) > 0
),

times as (
    select
        customer_id,
        product_id,
        count(*) as times,
        date_diff('day', max(ordered_on), :as_of) as age
    from days
    group by customer_id, product_id
),

weighed as (
    select
        c.part,
        c.customer_no,
        p.product_no,
        t.times,
        t.age,
        cast(round(1000 * t.times * pow(0.5, t.age / cast(:half_days as double))) as bigint) as weight
    from times as t
    inner join recommend.customers as c on t.customer_id = c.customer_id
    inner join recommend.products as p on t.product_id = p.product_id
    left join recommend.left_out as l on p.category = l.category
    where l.category is null
),

placed as (
    select
        *,
        row_number() over (partition by customer_no order by weight desc, age asc, product_no asc) as place
    from weighed
)

select
    part,
    cast(customer_no as integer) as customer_no,
    cast(product_no as integer) as product_no,
    cast(times as integer) as times,
    cast(age as integer) as age,
    weight,
    cast(place as integer) as place
from placed
where place <= :most_own or age <= :just_bought_days
order by part
