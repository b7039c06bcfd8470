-- recommend.customers: the customers by number, each with an interest group: the category of most order lines in 365
-- days, of equals that looked at most in 90 days, then the first by name. Who ordered nothing: of most looks; nor
-- looked at anything: ''.
with
signs as (
    select
        customer_id,
        product_id,
        lines,
        0 as looks
    from agg.product_days
    where ordered_on >= cast(:as_of - interval 365 day as date)
    union all
    select
        customer_id,
        product_id,
        0 as lines,
        views + cart_adds as looks
    from agg.product_views
    where visited_on >= cast(:as_of - interval 90 day as date)
),

by_category as (
    select
        s.customer_id,
        p.category,
        sum(s.lines) as lines,
        sum(s.looks) as looks
    from signs as s
    inner join raw.products as p on s.product_id = p.product_id
    left join recommend.left_out as l on p.category = l.category
    where l.category is null
    group by s.customer_id, p.category
    having sum(s.lines) > 0 or sum(s.looks) > 0
),

placed as (
    select
        customer_id,
        category,
        row_number() over (partition by customer_id order by lines desc, looks desc, category asc) as place
    from by_category
)

select
    a.customer_id,
    row_number() over (order by a.customer_id) - 1 as customer_no,
    a.part,
    coalesce(p.category, '') as interest_group
from recommend.asked as a
left join placed as p on a.customer_id = p.customer_id and p.place = 1
