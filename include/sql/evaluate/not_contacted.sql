-- evaluate.not_contacted: customers whom a campaign without a control arm could have contacted, but did not, each with
-- the moment of one of its contacts, in turn: so their windows are like those of the contacted. At most :most of each
-- campaign, an even sample. Who was contacted by another campaign meanwhile is not among them.
with
moments as (
    select
        d.campaign_id,
        d.contacted_at,
        d.window_end,
        row_number() over (partition by d.campaign_id order by d.contacted_at, d.customer_id) as place,
        count(*) over (partition by d.campaign_id) as contacts
    from evaluate.drawn as d
    inner join evaluate.due as k on d.campaign_id = k.campaign_id
    where k.held_out = 0
),

busy as (
    select
        k.campaign_id,
        c.customer_id
    from evaluate.due as k
    inner join raw.campaigns as o on k.ends_at > o.starts_at and k.starts_at < o.ends_at
    inner join raw.campaign_contacts as c
        on o.campaign_id = c.campaign_id and (c.arm <> 'control' or k.campaign_id = c.campaign_id)
    where k.held_out = 0
    group by k.campaign_id, c.customer_id
),

free as (
    select
        k.campaign_id,
        p.customer_id,
        p.signed_up_at,
        row_number() over (partition by k.campaign_id order by md5(p.customer_id), p.customer_id) as place
    from evaluate.due as k
    inner join raw.customers as p on k.starts_at > p.signed_up_at
    inner join raw.customers_now as n on p.customer_id = n.customer_id and n.profiling_consent
    left join busy as b on k.campaign_id = b.campaign_id and p.customer_id = b.customer_id
    where k.held_out = 0 and b.customer_id is null
)

select
    f.campaign_id,
    f.customer_id,
    cast(null as text) as arm,
    m.contacted_at,
    m.window_end,
    cast(null as integer) as segment_id,
    cast(null as text) as segment_name,
    false as is_unsubscribed,
    cast(null as double) as satisfaction,
    false as is_elsewhere
from free as f
inner join moments as m on f.campaign_id = m.campaign_id and m.place = (f.place - 1) % m.contacts + 1
where f.place <= :most
