-- Sizes and averages of the segments of new_rows, and a row per segment and value of the columns that describe it.
select
    segment_id,
    max(segment_name) as segment_name,
    case grouping(lifecycle_stage, value_tier, churn_risk, service_risk, new_customer_potential, preferred_channel)
        when 31 then 'lifecycle_stage'
        when 47 then 'value_tier'
        when 55 then 'churn_risk'
        when 59 then 'service_risk'
        when 61 then 'new_customer_potential'
        when 62 then 'preferred_channel'
    end as described_by,
    coalesce(lifecycle_stage, value_tier, churn_risk, service_risk, new_customer_potential, preferred_channel) as value,
    count(*) as customers,
    avg(expected_spend_90d) as average_expected_spend_90d,
    avg(purchase_probability_30d) as average_purchase_probability_30d,
    avg(churn_probability_90d) as average_churn_probability_90d
from new_rows
group by
    grouping sets (
        (segment_id),
        (segment_id, lifecycle_stage),
        (segment_id, value_tier),
        (segment_id, churn_risk),
        (segment_id, service_risk),
        (segment_id, new_customer_potential),
        (segment_id, preferred_channel)
    );
