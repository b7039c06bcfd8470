-- How a new customer began: the first session, before or after signing up, and the first basket of those who signed up
-- in the last 90 days. Cancelled orders do not count. Of several channels the first by name.
with
newcomers as (
    select
        customer_id,
        signed_up_at
    from feat.population
    where signed_up_at >= cast(:as_of - interval 90 day as date)
),

-- what is deleted or cancelled adds up to nothing, and must not lend its time or channel to what stands
session_parts as (
    select
        s.customer_id,
        -- without an id, what was done on a day over a channel is a session
        coalesce(s.session_id, concat(cast(s.visited_on as varchar), ' ', s.channel)) as session_id,
        s.channel,
        s.started_at,
        sum(s.events) as events,
        sum(s.product_views) as product_views,
        sum(s.cart_adds) as cart_adds,
        sum(s.dwell_ms) as dwell_ms
    from agg.sessions as s
    inner join newcomers as n on s.customer_id = n.customer_id
    where s.visited_on >= cast(:as_of - interval 365 day as date)
    group by s.customer_id, s.session_id, s.visited_on, s.channel, s.started_at
    having sum(s.events) > 0
),

visits as (
    select
        customer_id,
        session_id,
        min(started_at) as started_at,
        min(channel) as channel,
        sum(events) as events,
        sum(product_views) as product_views,
        sum(cart_adds) as cart_adds,
        sum(dwell_ms) as dwell_ms
    from session_parts
    group by customer_id, session_id
),

first_visits as (
    select
        *,
        row_number() over (partition by customer_id order by started_at asc, session_id asc) as place
    from visits
),

channel_days as (
    select
        d.customer_id,
        d.ordered_on,
        d.channel,
        sum(d.amount) as amount,
        sum(d.discount) as discount
    from agg.order_days as d
    inner join newcomers as n on d.customer_id = n.customer_id
    group by d.customer_id, d.ordered_on, d.channel
    having sum(d.orders) > 0
),

days as (
    select
        customer_id,
        ordered_on,
        min(channel) as channel,
        sum(amount) as amount,
        sum(discount) as discount
    from channel_days
    group by customer_id, ordered_on
),

first_days as (
    select
        *,
        row_number() over (partition by customer_id order by ordered_on asc) as place
    from days
),

bought as (
    select
        d.customer_id,
        d.product_id,
        sum(d.units) as units
    from agg.product_days as d
    inner join first_days as f on d.customer_id = f.customer_id and d.ordered_on = f.ordered_on and f.place = 1
    group by d.customer_id, d.product_id
    having sum(d.lines) > 0
),

baskets as (
    select
        b.customer_id,
        sum(b.units) as units,
        count(distinct p.category) as categories
    from bought as b
    left join raw.products as p on b.product_id = p.product_id
    group by b.customer_id
)

select
    p.customer_id,
    -- Events of the first session. [events; first session; null: signed up over 90 days ago, or no session]
    cast(v.events as bigint) as first_session_events,
    -- Products viewed in the first session. [views; first session; null: signed up over 90 days ago, or no session]
    cast(v.product_views as bigint) as first_session_product_views,
    -- Times put into the cart in the first session. [times; first session; null: signed up over 90 days ago, or none]
    cast(v.cart_adds as bigint) as first_session_cart_adds,
    -- Time that the first session dwelt on pages. [seconds; first session; null: signed up over 90 days ago, or none]
    cast(v.dwell_ms as double) / 1000 as first_session_dwell_seconds,
    -- Channel of the first session. [name; first session; null: signed up over 90 days ago, or no session]
    v.channel as first_session_channel,
    -- Spend on the first day with an order. [currency; first basket; null: signed up over 90 days ago, or no order]
    cast(f.amount as double) as first_basket_amount,
    -- Pieces ordered on that day. [pieces; first basket; null: signed up over 90 days ago, or no order]
    cast(b.units as bigint) as first_basket_units,
    -- Categories ordered from on that day.
    -- [categories; first basket; null: signed up over 90 days ago, no order, or none is known]
    nullif(b.categories, 0) as first_basket_categories,
    -- Discount as a share of that day's prices. [share; first basket; null: signed up over 90 days ago, or no order]
    cast(f.discount as double) / nullif(cast(f.discount + f.amount as double), 0) as first_basket_discount_share,
    -- Channel of that day; of several the first by name.
    -- [name; first basket; null: signed up over 90 days ago, or no order]
    f.channel as first_basket_channel,
    -- Days from signing up to that day; negative where the order came first.
    -- [days; first basket; null: signed up over 90 days ago, or no order]
    date_diff('day', cast(p.signed_up_at as date), f.ordered_on) as first_order_after_days
from feat.population as p
left join first_visits as v on p.customer_id = v.customer_id and v.place = 1
left join first_days as f on p.customer_id = f.customer_id and f.place = 1
left join baskets as b on p.customer_id = b.customer_id
