-- evaluate.campaigns: the campaigns that have contacted somebody before :as_of.
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
where c.contacted_at < :as_of and c.contacted_at < k.ends_at
group by
    k.campaign_id, k.name, k.strategy_id, k.channel, k.starts_at, k.ends_at, k.cost_per_contact, k.fixed_cost
