-- The features of those whom the campaigns of one day of choice drew.
select e.*
from feat.customer_daily as e
where e.customer_id in (select c.customer_id from learn_policy.contacted as c)
order by e.customer_id
