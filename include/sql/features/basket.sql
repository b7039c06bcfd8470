-- What is in a basket: how much, how many kinds, at which prices, and how much of it comes back. Cancelled orders do
-- not count.
with
bought as (
    select
        customer_id,
        product_id,
        sum(lines) as lines
    from agg.product_days
    where ordered_on >= cast(:as_of - interval 365 day as date)
    group by customer_id, product_id
    having sum(lines) > 0
),

products as (
    select
        customer_id,
        count(*) as products,
        count(*) filter (where lines > 1) as repeated
    from bought
    group by customer_id
),

baskets as (
    select
        customer_id,
        sum(lines) as lines,
        sum(units) as units,
        sum(returned_units) as returned,
        sum(case when date_diff('day', ordered_on, :as_of) <= 90 then returned_units else 0 end) as returned_90d,
        sum(amount) as list_amount
    from agg.product_days
    where ordered_on >= cast(:as_of - interval 365 day as date)
    group by customer_id
),

counts as (
    select
        customer_id,
        sum(orders) as orders
    from agg.order_days
    where ordered_on >= cast(:as_of - interval 365 day as date)
    group by customer_id
)

select
    p.customer_id,
    -- Pieces ordered. [pieces; 365 days]
    coalesce(cast(b.units as bigint), 0) as units_365d,
    -- Mean number of pieces in an order. [pieces; 365 days; null: nothing ordered in them]
    cast(b.units as double) / nullif(c.orders, 0) as units_per_order_mean,
    -- Mean number of lines in an order. [lines; 365 days; null: nothing ordered in them]
    cast(b.lines as double) / nullif(c.orders, 0) as lines_per_order_mean,
    -- Different products ordered. [products; 365 days]
    coalesce(d.products, 0) as products_365d,
    -- Share of these products that stand in more than one order line. [share; 365 days; null: nothing ordered in them]
    cast(d.repeated as double) / nullif(d.products, 0) as repeated_product_share,
    -- Mean price of a piece before discount on the order. [currency; 365 days; null: nothing ordered in them]
    cast(b.list_amount as double) / nullif(b.units, 0) as unit_price_mean,
    -- Pieces that were sent back. [pieces; 365 days]
    coalesce(cast(b.returned as bigint), 0) as units_returned_365d,
    -- Of the pieces ordered in the last 90 days, those that were sent back. [pieces; 90 days]
    coalesce(cast(b.returned_90d as bigint), 0) as units_returned_90d,
    -- Share of the pieces that were sent back. [share; 365 days; null: nothing ordered in them]
    cast(b.returned as double) / nullif(b.units, 0) as returned_share
from feat.population as p
left join baskets as b on p.customer_id = b.customer_id
left join products as d on p.customer_id = d.customer_id
left join counts as c on p.customer_id = c.customer_id
