-- The scores of a past day beside what the customers did after it.
select
    o.*,
    s.churn_probability_90d,
    s.purchase_probability_30d,
    s.high_value_probability_90d,
    s.new_customer_potential,
    s.service_risk,
    cast(s.expected_spend_90d as double) as expected_spend_90d
from score.customer_daily as s
inner join feat.outcomes as o on s.customer_id = o.customer_id
order by s.customer_id;
