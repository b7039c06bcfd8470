-- evaluate.drawn: everyone drawn for a campaign that is due, with the segment as published on the day before the
-- contact. What is dated after the window, or after :as_of, has not happened. Who does not consent now is left out of
-- all arms alike.
with
windows as (
    select
        c.campaign_id,
        c.customer_id,
        c.arm,
        c.contacted_at,
        least(k.ends_at, cast(:as_of as timestamptz)) as window_end,
        cast(c.contacted_at as date) - 1 as day_before,
        c.unsubscribed_at,
        case when c.updated_at < :as_of then c.satisfaction end as satisfaction
    from raw.campaign_contacts as c
    inner join evaluate.due as k on c.campaign_id = k.campaign_id
    inner join raw.customers_now as n on c.customer_id = n.customer_id and n.profiling_consent
    where c.contacted_at < :as_of and c.contacted_at < k.ends_at
),

-- who was contacted by another campaign while this one ran: asked where no control arm evens that out
elsewhere as (
    select distinct
        w.campaign_id,
        w.customer_id
    from windows as w
    inner join evaluate.due as k on w.campaign_id = k.campaign_id and k.held_out = 0
    inner join raw.campaign_contacts as c
        on w.customer_id = c.customer_id and w.campaign_id <> c.campaign_id and c.arm <> 'control'
    inner join raw.campaigns as o on c.campaign_id = o.campaign_id
    where w.window_end > c.contacted_at and w.contacted_at < o.ends_at
)

select
    w.campaign_id,
    w.customer_id,
    w.arm,
    w.contacted_at,
    w.window_end,
    h.segment_id,
    h.segment_name,
    coalesce(w.unsubscribed_at >= w.contacted_at and w.unsubscribed_at < w.window_end, false) as is_unsubscribed,
    cast(w.satisfaction as double) as satisfaction,
    e.customer_id is not null as is_elsewhere
from windows as w
left join marketing.segment_history as h
    on
        w.customer_id = h.customer_id
        and w.day_before >= h.valid_from
        and (h.valid_to is null or w.day_before < h.valid_to)
left join elsewhere as e on w.campaign_id = e.campaign_id and w.customer_id = e.customer_id
