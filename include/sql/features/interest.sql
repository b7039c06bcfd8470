-- What the customer buys: categories and brands, how evenly, and at which price level.
with
by_category as (
    select
        b.customer_id,
        p.category,
        sum(b.lines) as lines,
        sum(b.units) as units,
        sum(b.amount) as amount
    from agg.product_days as b
    left join raw.products as p on b.product_id = p.product_id
    where b.ordered_on >= cast(:as_of - interval 365 day as date)
    group by b.customer_id, p.category
    having sum(b.lines) > 0
),

price as (
    select
        category,
        cast(sum(amount) as double) / nullif(sum(units), 0) as unit_price
    from by_category
    group by category
),

category_shares as (
    select
        c.*,
        cast(c.lines as double) / sum(c.lines) over (partition by c.customer_id) as share,
        row_number() over (
            partition by c.customer_id
            order by c.category is null asc, c.lines desc, c.category asc
        ) as place,
        c.units * r.unit_price as usual_amount
    from by_category as c
    left join price as r on c.category is not distinct from r.category
),

categories as (
    select
        customer_id,
        count(category) as categories,
        max(case when place = 1 then category end) as top,
        max(case when place = 1 and category is not null then share end) as top_share,
        max(case when place = 1 and category is not null then lines end) as top_lines,
        abs(round(-sum(share * ln(share)), 12)) as entropy,
        round(cast(sum(amount) as double) / nullif(sum(usual_amount), 0), 12) as price_level
    from category_shares
    group by customer_id
),

by_brand as (
    select
        b.customer_id,
        p.brand,
        sum(b.lines) as lines
    from agg.product_days as b
    inner join raw.products as p on b.product_id = p.product_id
    where b.ordered_on >= cast(:as_of - interval 365 day as date) and p.brand is not null
    group by b.customer_id, p.brand
    having sum(b.lines) > 0
),

brand_shares as (
    select
        *,
        cast(lines as double) / sum(lines) over (partition by customer_id) as share,
        row_number() over (partition by customer_id order by lines desc, brand asc) as place
    from by_brand
),

brands as (
    select
        customer_id,
        count(*) as brands,
        max(case when place = 1 then brand end) as top,
        max(case when place = 1 then share end) as top_share,
        abs(round(-sum(share * ln(share)), 12)) as entropy
    from brand_shares
    group by customer_id
)

select
    p.customer_id,
    -- Different categories ordered from, as far as products are known. [categories; 365 days]
    coalesce(c.categories, 0) as categories_365d,
    -- The category of most order lines; of equals the first by name. [name; 365 days; null: none is known]
    c.top as category_top,
    -- Share of the order lines in that category. [share; 365 days; null: none is known]
    c.top_share as category_top_share,
    -- Order lines in that category. [lines; 365 days]
    coalesce(cast(c.top_lines as bigint), 0) as category_top_lines_365d,
    -- How evenly the order lines are spread over categories: entropy, 0 is one. [nats; 365 days; null: nothing ordered]
    c.entropy as category_entropy,
    -- Different brands ordered. [brands; 365 days]
    coalesce(b.brands, 0) as brands_365d,
    -- The brand of most order lines; of equals the first by name. [name; 365 days; null: none is known]
    b.top as brand_top,
    -- Share of the order lines with a brand that are of that one. [share; 365 days; null: none is known]
    b.top_share as brand_top_share,
    -- How evenly the order lines are spread over brands: entropy, 0 is one brand. [nats; 365 days; null: none is known]
    b.entropy as brand_entropy,
    -- What was paid, over what all customers paid for as many pieces of the same categories.
    -- [ratio; 365 days; null: nothing ordered in them]
    c.price_level
from feat.population as p
left join categories as c on p.customer_id = c.customer_id
left join brands as b on p.customer_id = b.customer_id
