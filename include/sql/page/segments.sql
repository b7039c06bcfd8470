-- The segments of a snapshot in numbers.
select
    segment_id,
    segment_name,
    customers,
    share,
    average_expected_spend_90d,
    average_churn_probability_90d,
    sets_apart
from marketing.segment_profiles
where snapshot_id = :snapshot_id
order by customers desc nulls last, segment_id asc
