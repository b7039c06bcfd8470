-- Every campaign with results, the latest first.
select distinct
    campaign_id,
    campaign_name,
    starts_at,
    ends_at,
    status,
    as_of_date
from marketing.campaign_results
order by starts_at desc, campaign_id asc
