-- recommend.looked: what each customer looked at in :looked_days, the :most_looked that they looked at most.
with
looks as (
    select
        customer_id,
        product_id,
        sum(views + cart_adds) as looks,
        max(visited_on) as visited_on
    from agg.product_views
    where visited_on >= cast(:as_of as date) - cast(:looked_days as integer)
    group by customer_id, product_id
    having sum(views + cart_adds) > 0
),

placed as (
    select
        c.part,
        c.customer_no,
        p.product_no,
        l.looks,
        row_number()
            over (partition by c.customer_no order by l.looks desc, l.visited_on desc, p.product_no asc)
            as place
    from looks as l
    inner join recommend.customers as c on l.customer_id = c.customer_id
    inner join recommend.products as p on l.product_id = p.product_id
    where p.is_offered
)

select
    part,
    cast(customer_no as integer) as customer_no,
    cast(product_no as integer) as product_no,
    cast(looks as integer) as looks
from placed
where place <= :most_looked
order by part
