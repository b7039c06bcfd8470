-- What the customer looks at, bought or not: for prospects the only sign of an interest.
with
viewed as (
    select
        customer_id,
        product_id,
        sum(views) as views,
        sum(cart_adds) as cart_adds
    from agg.product_views
    where visited_on >= cast(:as_of - interval 90 day as date)
    group by customer_id, product_id
    having sum(views) > 0 or sum(cart_adds) > 0
),

products as (
    select
        customer_id,
        count(*) as products
    from viewed
    group by customer_id
),

by_category as (
    select
        v.customer_id,
        p.category,
        sum(v.views + v.cart_adds) as looks
    from viewed as v
    inner join raw.products as p on v.product_id = p.product_id
    group by v.customer_id, p.category
),

shares as (
    select
        *,
        cast(looks as double) / sum(looks) over (partition by customer_id) as share,
        row_number() over (partition by customer_id order by looks desc, category asc) as place
    from by_category
),

categories as (
    select
        customer_id,
        count(*) as categories,
        max(case when place = 1 then category end) as top,
        max(case when place = 1 then share end) as top_share,
        abs(round(-sum(share * ln(share)), 12)) as entropy
    from shares
    group by customer_id
)

select
    p.customer_id,
    -- Different products viewed or put into the cart. [products; 90 days]
    coalesce(v.products, 0) as products_viewed_90d,
    -- Different categories of these. [categories; 90 days]
    coalesce(c.categories, 0) as categories_viewed_90d,
    -- The category looked at most; of equals the first by name. [name; 90 days; null: none is known]
    c.top as viewed_category_top,
    -- Share of the looks in that category. [share; 90 days; null: none is known]
    c.top_share as viewed_category_top_share,
    -- How evenly the looks are spread over categories: entropy, 0 is one. [nats; 90 days; null: none is known]
    c.entropy as viewed_category_entropy
from feat.population as p
left join products as v on p.customer_id = v.customer_id
left join categories as c on p.customer_id = c.customer_id
