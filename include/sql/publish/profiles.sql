-- Sizes and averages of the segments of new_rows, and a row per segment and value of the columns that describe it.
-- The rows are counted once, by all of these columns; that is some thousands of lines, which are added up in each way.
with counted as (
    select
        segment_id,
        lifecycle_stage,
        value_tier,
        churn_risk,
        service_risk,
        new_customer_potential,
        preferred_channel,
        max(segment_name) as segment_name,
        count(*) as customers,
        sum(expected_spend_90d) as spend,
        count(expected_spend_90d) as spend_known,
        sum(purchase_probability_30d::float8) as purchase,
        count(purchase_probability_30d) as purchase_known,
        sum(churn_probability_90d::float8) as churn,
        count(churn_probability_90d) as churn_known
    from new_rows
    group by
        segment_id, lifecycle_stage, value_tier, churn_risk, service_risk, new_customer_potential, preferred_channel
)

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
    sum(customers)::bigint as customers,
    sum(spend) / nullif(sum(spend_known), 0) as average_expected_spend_90d,
    sum(purchase) / nullif(sum(purchase_known), 0)::float8 as average_purchase_probability_30d,
    sum(churn) / nullif(sum(churn_known), 0)::float8 as average_churn_probability_90d
from counted
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
