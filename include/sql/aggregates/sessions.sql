-- agg.sessions: what a customer did in a session on a day over a channel. A session over midnight counts on both days;
-- what has no session id counts as one session a day and channel. Events that came late have a row of their own, which
-- adds to that of the others from the day on that knew them.
with
parts as (
    select
        customer_id,
        cast(occurred_at as date) as visited_on,
        coalesce(channel, 'unknown') as channel,
        session_id,
        known_on as changed_on,
        min(occurred_at) as started_at,
        count(*) as events,
        count(*) filter (where event_type = 'page_view') as page_views,
        count(*) filter (where event_type = 'product_view') as product_views,
        count(*) filter (where event_type = 'search') as searches,
        count(*) filter (where event_type = 'add_to_cart') as cart_adds,
        count(*) filter (where event_type = 'remove_from_cart') as cart_removes,
        count(*) filter (where event_type = 'ad_view') as ad_views,
        count(*) filter (where event_type = 'ad_click') as ad_clicks,
        count(*) filter (where event_type = 'article_read') as article_reads,
        count(*) filter (where event_type = 'video_view') as video_views,
        -- whole milliseconds, so that the sum does not depend on the order of the rows
        coalesce(cast(sum(round(cast(dwell_seconds as double) * 1000)) as bigint), 0) as dwell_ms
    from raw.events
    group by customer_id, cast(occurred_at as date), coalesce(channel, 'unknown'), session_id, known_on
)

select
    *,
    case
        when changed_on = min(changed_on) over (partition by customer_id, visited_on, channel, session_id) then 1 else 0
    end as sessions
from parts
