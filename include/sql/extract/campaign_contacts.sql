-- Who was drawn for a campaign, those held out included: optional.
select
    campaign_id,
    customer_id,
    arm,
    contacted_at,
    opened_at,
    clicked_at,
    unsubscribed_at,
    satisfaction,
    updated_at
from shop.campaign_contacts
