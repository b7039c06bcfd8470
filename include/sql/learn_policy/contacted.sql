-- learn_policy.contacted: whom each campaign of a strategy drew, in whichever arm.
select distinct
    c.campaign_id,
    c.customer_id
from raw.campaign_contacts as c
inner join raw.campaigns as k on c.campaign_id = k.campaign_id
where k.strategy_id is not null and c.contacted_at < k.ends_at
order by c.campaign_id, c.customer_id
