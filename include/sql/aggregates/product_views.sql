-- agg.product_views: how often a customer looked at a product, or put it into the cart, on a day,
-- and since when that is known.
select
    customer_id,
    cast(occurred_at as date) as visited_on,
    product_id,
    known_on as changed_on,
    count(*) filter (where event_type = 'product_view') as views,
    count(*) filter (where event_type = 'add_to_cart') as cart_adds
from raw.events
where product_id is not null and event_type in ('product_view', 'add_to_cart')
group by customer_id, cast(occurred_at as date), product_id, known_on
