-- What readers see of some campaigns, in the order of a page.
select *
from marketing.campaign_results
where campaign_id = any(:campaigns)
order by campaign_id asc, design desc, arm asc, metric asc, segment_id asc nulls first
