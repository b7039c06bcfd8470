-- feat.training_examples: the features of a past day beside what the customer did after it.
select
    f.*,
    o.is_purchase,
    o.is_churn,
    o.is_high_value,
    o.is_newcomer_purchase,
    o.is_service_case,
    o.spend_near,
    o.spend_far
from feat.customer_daily as f
inner join feat.outcomes as o on f.customer_id = o.customer_id
order by f.customer_id;
