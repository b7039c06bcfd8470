-- learn_policy.campaigns: the campaigns of strategies that are over, held somebody out, and began in the last
-- :history_days days before :as_of, the latest first; `first_contact` is the day of their first contact.
with
begun as (
    select
        k.campaign_id,
        k.name as campaign_name,
        k.strategy_id,
        k.channel,
        k.starts_at,
        k.ends_at,
        cast(k.cost_per_contact as double) as cost_per_contact,
        cast(k.fixed_cost as double) as fixed_cost,
        cast(min(c.contacted_at) as date) as first_contact,
        count(*) as contacts,
        count(*) filter (where c.arm = 'control') as held_out
    from raw.campaigns as k
    inner join raw.campaign_contacts as c on k.campaign_id = c.campaign_id
    where
        k.strategy_id is not null
        and k.ends_at <= :as_of
        and c.contacted_at < k.ends_at
    group by
        k.campaign_id, k.name, k.strategy_id, k.channel, k.starts_at, k.ends_at, k.cost_per_contact, k.fixed_cost
    having
        count(*) filter (where c.arm = 'control') > 0
        and count(*) filter (where c.arm <> 'control') > 0
)

select *
from begun
where date_diff('day', first_contact, :as_of) <= :history_days
order by first_contact desc, campaign_id asc
