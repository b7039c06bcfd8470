-- Over which channels the customer orders; `unknown` where the shop does not say. Cancelled orders do not count.
with
counts as (
    select
        customer_id,
        channel,
        sum(orders) as orders
    from agg.order_days
    where ordered_on >= cast(:as_of - interval 365 day as date)
    group by customer_id, channel
    having sum(orders) > 0
),

channels as (
    select
        customer_id,
        sum(orders) as orders,
        max(orders) as top_orders,
        sum(case when channel = 'store' then orders else 0 end) as store_orders,
        sum(case when channel = 'app' then orders else 0 end) as app_orders,
        sum(case when channel = 'social' then orders else 0 end) as social_orders,
        sum(orders * ln(cast(orders as double))) as orders_by_log
    from counts
    group by customer_id
),

tops as (
    select
        c.customer_id,
        min(b.channel) as top
    from channels as c
    inner join counts as b on c.customer_id = b.customer_id and c.top_orders = b.orders
    group by c.customer_id
)

select
    p.customer_id,
    -- The channel of most orders; of equals the first by name. [name; 365 days; null: no order in them]
    t.top as order_channel_top,
    -- Share of the orders over that channel. [share; 365 days; null: no order in them]
    cast(c.top_orders as double) / c.orders as order_channel_top_share,
    -- Share of the orders in a store. [share; 365 days; null: no order in them]
    cast(c.store_orders as double) / c.orders as store_order_share,
    -- Share of the orders in the app. [share; 365 days; null: no order in them]
    cast(c.app_orders as double) / c.orders as app_order_share,
    -- Share of the orders over social media. [share; 365 days; null: no order in them]
    cast(c.social_orders as double) / c.orders as social_order_share,
    -- How evenly the orders are spread over channels: entropy, 0 is one. [nats; 365 days; null: no order in them]
    abs(round(ln(cast(c.orders as double)) - c.orders_by_log / c.orders, 10)) as order_channel_entropy
from feat.population as p
left join channels as c on p.customer_id = c.customer_id
left join tops as t on p.customer_id = t.customer_id
