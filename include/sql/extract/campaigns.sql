-- The campaigns: optional.
select
    campaign_id,
    name,
    strategy_id,
    channel,
    starts_at,
    ends_at,
    cost_per_contact,
    fixed_cost,
    updated_at
from shop.campaigns
