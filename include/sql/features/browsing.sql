-- What the customer does on the shop's pages, and how it goes with orders. A session over midnight counts on both days,
-- one over two channels on both.
with
days as (
    select
        customer_id,
        visited_on
    from agg.sessions
    where visited_on >= cast(:as_of - interval 365 day as date)
    group by customer_id, visited_on
    -- a day whose events were all deleted adds up to nothing
    having sum(events) > 0
),

lasts as (
    select
        customer_id,
        date_diff('day', max(visited_on), :as_of) as last_age
    from days
    group by customer_id
),

visits as (
    select
        customer_id,
        sum(case when date_diff('day', visited_on, :as_of) <= 30 then sessions else 0 end) as sessions_30d,
        sum(case when date_diff('day', visited_on, :as_of) <= 60 then sessions else 0 end) as sessions_60d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then sessions else 0 end) as sessions_90d,
        sum(sessions) as sessions_365d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then events else 0 end) as events_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then page_views else 0 end) as page_views_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then product_views else 0 end) as product_views_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then searches else 0 end) as searches_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then cart_adds else 0 end) as cart_adds_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then cart_removes else 0 end) as cart_removes_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then ad_views else 0 end) as ad_views_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then ad_clicks else 0 end) as ad_clicks_90d,
        sum(case when date_diff('day', visited_on, :as_of) <= 90 then dwell_ms else 0 end) as dwell_ms_90d
    from agg.sessions
    where visited_on >= cast(:as_of - interval 365 day as date)
    group by customer_id
),

bought as (
    select
        customer_id,
        sum(orders) as orders
    from agg.order_days
    where ordered_on >= cast(:as_of - interval 90 day as date)
    group by customer_id
)

select
    p.customer_id,
    -- Days since the last visit. [days; 365 days; null: no visit in them]
    l.last_age as last_visit_age_days,
    -- Sessions. [sessions; 30 days]
    coalesce(cast(v.sessions_30d as bigint), 0) as sessions_30d,
    -- Sessions. [sessions; 90 days]
    coalesce(cast(v.sessions_90d as bigint), 0) as sessions_90d,
    -- Sessions. [sessions; 365 days]
    coalesce(cast(v.sessions_365d as bigint), 0) as sessions_365d,
    -- Sessions of the last 30 days, a, against the 30 before, b: (a - b) / (a + b); 1 is only lately, -1 only before.
    -- [ratio; 60 days; null: no session in them]
    cast(2 * v.sessions_30d - v.sessions_60d as double) / nullif(v.sessions_60d, 0) as sessions_trend,
    -- Pages viewed, those of products apart. [views; 90 days]
    coalesce(cast(v.page_views_90d as bigint), 0) as page_views_90d,
    -- Products viewed, each time counting. [views; 90 days]
    coalesce(cast(v.product_views_90d as bigint), 0) as product_views_90d,
    -- Searches. [searches; 90 days]
    coalesce(cast(v.searches_90d as bigint), 0) as searches_90d,
    -- Times something was put into the cart. [times; 90 days]
    coalesce(cast(v.cart_adds_90d as bigint), 0) as cart_adds_90d,
    -- Mean number of events in a session. [events; 90 days; null: no session in them]
    cast(v.events_90d as double) / nullif(v.sessions_90d, 0) as events_per_session_mean,
    -- Mean time that a session dwells on pages. [seconds; 90 days; null: no session in them]
    cast(v.dwell_ms_90d as double) / 1000 / nullif(v.sessions_90d, 0) as dwell_per_session_mean_seconds,
    -- Ads clicked per ad seen. [ratio; 90 days; null: no ad seen in them]
    cast(v.ad_clicks_90d as double) / nullif(v.ad_views_90d, 0) as ad_click_rate,
    -- Times put into the cart per product view. [ratio; 90 days; null: no product viewed in them]
    cast(v.cart_adds_90d as double) / nullif(v.product_views_90d, 0) as cart_rate,
    -- Times taken out of the cart per time put into it. [ratio; 90 days; null: nothing put into it]
    cast(v.cart_removes_90d as double) / nullif(v.cart_adds_90d, 0) as cart_removal_rate,
    -- Orders per product view: how much looking leads to buying. [ratio; 90 days; null: no product viewed in them]
    cast(coalesce(b.orders, 0) as double) / nullif(v.product_views_90d, 0) as view_to_order_rate,
    -- Orders per session. [ratio; 90 days; null: no session in them]
    cast(coalesce(b.orders, 0) as double) / nullif(v.sessions_90d, 0) as session_to_order_rate
from feat.population as p
left join visits as v on p.customer_id = v.customer_id
left join lasts as l on p.customer_id = l.customer_id
left join bought as b on p.customer_id = b.customer_id
