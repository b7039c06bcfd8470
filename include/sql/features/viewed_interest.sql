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

categories as (
    select
        customer_id,
        sum(looks) as looks,
        count(*) as categories,
        max(looks) as top_looks,
        sum(looks * ln(cast(looks as double))) as looks_by_log
    from by_category
    group by customer_id
),

top_categories as (
    select
        c.customer_id,
        min(b.category) as top
    from categories as c
    inner join by_category as b on c.customer_id = b.customer_id and c.top_looks = b.looks
    group by c.customer_id
)

select
    p.customer_id,
    -- Different products viewed or put into the cart. [products; 90 days]
    coalesce(v.products, 0) as products_viewed_90d,
    -- Different categories of these. [categories; 90 days]
    coalesce(c.categories, 0) as categories_viewed_90d,
    -- The category looked at most; of equals the first by name. [name; 90 days; null: none is known]
    t.top as viewed_category_top,
    -- Share of the looks in that category. [share; 90 days; null: none is known]
    cast(c.top_looks as double) / nullif(c.looks, 0) as viewed_category_top_share,
    -- How evenly the looks are spread over categories: entropy, 0 is one. [nats; 90 days; null: none is known]
    abs(round(ln(cast(c.looks as double)) - c.looks_by_log / c.looks, 10)) as viewed_category_entropy
from feat.population as p
left join products as v on p.customer_id = v.customer_id
left join categories as c on p.customer_id = c.customer_id
left join top_categories as t on p.customer_id = t.customer_id
