-- feat.demand: the days on which each customer ordered, of an even share of the customers by the MD5 of the id. One row
-- per customer and such day; one without a day for who never ordered. Cancelled orders do not count.
with
numbered as (
    select
        customer_id,
        signed_up_at,
        row_number() over (order by md5(customer_id), customer_id) as place
    from feat.population
),

asked as (
    select * from numbered
    where place <= :most_customers
),

days as (
    select
        customer_id,
        ordered_on
    from agg.order_days
    group by customer_id, ordered_on
    having sum(orders) > 0
)

select
    a.place,
    cast(a.signed_up_at as date) as signed_up_on,
    d.ordered_on
from asked as a
left join days as d on a.customer_id = d.customer_id
order by a.place, d.ordered_on
