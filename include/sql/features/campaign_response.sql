-- How the customer answers campaigns. The held-out ones were not contacted and do not count.
with
contacts as (
    select
        c.customer_id,
        c.campaign_id,
        k.channel,
        cast(c.contacted_at as date) as contacted_on,
        cast(k.ends_at as date) as ends_on,
        date_diff('day', cast(c.contacted_at as date), :as_of) as age_days,
        -- what is dated later was not known yet
        coalesce(c.opened_at < :as_of, false) as is_opened,
        coalesce(c.clicked_at < :as_of, false) as is_clicked,
        coalesce(c.unsubscribed_at < :as_of, false) as is_unsubscribed,
        case when c.updated_at < :as_of then c.satisfaction end as satisfaction
    from raw.campaign_contacts as c
    left join raw.campaigns as k on c.campaign_id = k.campaign_id
    where c.arm <> 'control' and c.contacted_at < :as_of
),

days as (
    select
        customer_id,
        ordered_on
    from agg.order_days
    where ordered_on >= cast(:as_of - interval 365 day as date)
    group by customer_id, ordered_on
    having sum(orders) > 0
),

buyers as (
    select distinct
        c.customer_id,
        c.campaign_id
    from contacts as c
    inner join days as d on c.customer_id = d.customer_id
    where c.age_days <= 365 and d.ordered_on >= c.contacted_on and d.ordered_on <= c.ends_on
),

answers as (
    select
        c.customer_id,
        min(c.age_days) as last_age,
        count(*) filter (where c.age_days <= 365) as contacts,
        count(*) filter (where c.age_days <= 365 and c.is_opened) as opened,
        count(*) filter (where c.age_days <= 365 and c.is_clicked) as clicked,
        count(b.campaign_id) as bought,
        count(*) filter (where c.age_days <= 365 and c.ends_on is not null) as bounded,
        count(*) filter (where c.is_unsubscribed) as unsubscribed,
        avg(cast(case when c.age_days <= 365 then c.satisfaction end as double)) as satisfaction
    from contacts as c
    left join buyers as b on c.customer_id = b.customer_id and c.campaign_id = b.campaign_id
    group by c.customer_id
),

channels as (
    select
        customer_id,
        channel,
        row_number() over (
            partition by customer_id
            order by
                count(*) filter (where is_clicked) desc, count(*) filter (where is_opened) desc, channel asc
        ) as place
    from contacts
    where age_days <= 365 and channel is not null and (is_opened or is_clicked)
    group by customer_id, channel
)

select
    p.customer_id,
    -- Campaign contacts. [contacts; 365 days]
    coalesce(a.contacts, 0) as contacts_365d,
    -- Days since the last contact. [days; ever; null: never contacted]
    a.last_age as last_contact_age_days,
    -- Share of the contacts that were opened. [share; 365 days; null: no contact in them]
    cast(a.opened as double) / nullif(a.contacts, 0) as contact_open_rate,
    -- Share of the contacts that were clicked. [share; 365 days; null: no contact in them]
    cast(a.clicked as double) / nullif(a.contacts, 0) as contact_click_rate,
    -- Share of the contacts with an order from the day of the contact to that of the campaign's end, both included.
    -- [share; 365 days; null: no contact of a known campaign in them]
    cast(a.bought as double) / nullif(a.bounded, 0) as contact_order_rate,
    -- The campaigns' channel that the customer answers most: by clicks, of equals by openings, then the first by name.
    -- [name; 365 days; null: answered none]
    h.channel as answered_channel,
    -- Contacts after which the customer unsubscribed. [contacts; ever]
    coalesce(a.unsubscribed, 0) as unsubscribed_count,
    -- Mean satisfaction with contacts, 1 (bad) to 5 (good). [1 to 5; 365 days; null: not asked, or no answer]
    a.satisfaction as contact_satisfaction_mean
from feat.population as p
left join answers as a on p.customer_id = a.customer_id
left join channels as h on p.customer_id = h.customer_id and h.place = 1
