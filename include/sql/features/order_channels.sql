-- Over which channels the customer orders.
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

shares as (
    select
        *,
        cast(orders as double) / sum(orders) over (partition by customer_id) as share,
        row_number() over (partition by customer_id order by orders desc, channel asc) as place
    from counts
),

channels as (
    select
        customer_id,
        max(case when place = 1 then channel end) as top,
        max(case when place = 1 then share end) as top_share,
        max(case when channel = 'store' then share else 0 end) as store_share,
        max(case when channel = 'app' then share else 0 end) as app_share,
        max(case when channel = 'social' then share else 0 end) as social_share,
        abs(round(-sum(share * ln(share)), 12)) as entropy
    from shares
    group by customer_id
)

select
    p.customer_id,
    -- The channel of most orders; of equals the first by name. [name; 365 days; null: no order in them]
    c.top as order_channel_top,
    -- Share of the orders over that channel. [share; 365 days; null: no order in them]
    c.top_share as order_channel_top_share,
    -- Share of the orders in a store. [share; 365 days; null: no order in them]
    c.store_share as store_order_share,
    -- Share of the orders in the app. [share; 365 days; null: no order in them]
    c.app_share as app_order_share,
    -- Share of the orders over social media. [share; 365 days; null: no order in them]
    c.social_share as social_order_share,
    -- How evenly the orders are spread over channels: entropy, 0 is one. [nats; 365 days; null: no order in them]
    c.entropy as order_channel_entropy
from feat.population as p
left join channels as c on p.customer_id = c.customer_id
