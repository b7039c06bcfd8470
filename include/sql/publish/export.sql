-- The customers of a segment in the current snapshot, in bands.
select
    customer_id,
    as_of_date,
    segment_id,
    strategy_id,
    offer,
    contact_channel,
    in_holdout,
    value_tier,
    churn_risk,
    lifecycle_stage,
    new_customer_potential,
    service_risk
from marketing.customer_segments
where segment_id = :segment_id
order by customer_id;
