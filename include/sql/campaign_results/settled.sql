-- Campaigns whose final results an earlier day has written: they are evaluated no more.
select distinct campaign_id
from evaluation.campaign_results
where status = 'final' and as_of_date < :day
