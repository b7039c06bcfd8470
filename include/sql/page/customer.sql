-- One customer as published.
select
    customer_id,
    as_of_date,
    segment_id,
    segment_name,
    lifecycle_stage,
    value_tier,
    expected_spend_90d,
    purchase_probability_30d,
    churn_probability_90d,
    churn_risk,
    service_risk,
    new_customer_potential,
    interest_group,
    preferred_channel,
    strategy_id,
    offer,
    contact_channel,
    in_holdout,
    recommended_products,
    reasons
from marketing.customer_segments
where customer_id = :customer_id
