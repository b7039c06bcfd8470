-- What the customer buys: categories and brands, how evenly, and at which price level. Cancelled orders do not count;
-- products without a known category count as one more, which is never the top.
with
categories as (
    select
        c.customer_id,
        sum(c.lines) as lines,
        count(c.category) as categories,
        max(case when c.category is not null then c.lines end) as top_lines,
        sum(c.lines * ln(cast(c.lines as double))) as lines_by_log,
        cast(sum(c.amount) as double) / nullif(sum(c.units * r.unit_price), 0) as price_level
    from feat.category_buys as c
    left join feat.category_prices as r on c.category is not distinct from r.category
    group by c.customer_id
),

top_categories as (
    select
        c.customer_id,
        min(b.category) as top
    from categories as c
    inner join feat.category_buys as b on c.customer_id = b.customer_id and c.top_lines = b.lines
    group by c.customer_id
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

brands as (
    select
        customer_id,
        sum(lines) as lines,
        count(*) as brands,
        max(lines) as top_lines,
        sum(lines * ln(cast(lines as double))) as lines_by_log
    from by_brand
    group by customer_id
),

top_brands as (
    select
        c.customer_id,
        min(b.brand) as top
    from brands as c
    inner join by_brand as b on c.customer_id = b.customer_id and c.top_lines = b.lines
    group by c.customer_id
)

select
    p.customer_id,
    -- Different categories ordered from, as far as products are known. [categories; 365 days]
    coalesce(c.categories, 0) as categories_365d,
    -- The category of most order lines; of equals the first by name. [name; 365 days; null: none is known]
    t.top as category_top,
    -- Share of the order lines in that category. [share; 365 days; null: none is known]
    cast(c.top_lines as double) / nullif(c.lines, 0) as category_top_share,
    -- Order lines in that category. [lines; 365 days]
    coalesce(cast(c.top_lines as bigint), 0) as category_top_lines_365d,
    -- How evenly the order lines are spread over categories: entropy, 0 is one. [nats; 365 days; null: nothing ordered]
    abs(round(ln(cast(c.lines as double)) - c.lines_by_log / c.lines, 10)) as category_entropy,
    -- Different brands ordered. [brands; 365 days]
    coalesce(b.brands, 0) as brands_365d,
    -- The brand of most order lines; of equals the first by name. [name; 365 days; null: none is known]
    u.top as brand_top,
    -- Share of the order lines with a brand that are of that one. [share; 365 days; null: none is known]
    cast(b.top_lines as double) / nullif(b.lines, 0) as brand_top_share,
    -- How evenly the order lines are spread over brands: entropy, 0 is one brand. [nats; 365 days; null: none is known]
    abs(round(ln(cast(b.lines as double)) - b.lines_by_log / b.lines, 10)) as brand_entropy,
    -- What was paid, over what all customers of the shop paid for as many pieces of the same categories.
    -- [ratio; 365 days; null: nothing ordered in them]
    round(c.price_level, 10) as price_level
from feat.population as p
left join categories as c on p.customer_id = c.customer_id
left join top_categories as t on p.customer_id = t.customer_id
left join brands as b on p.customer_id = b.customer_id
left join top_brands as u on p.customer_id = u.customer_id
