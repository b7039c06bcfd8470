-- What the audit of a snapshot looks at, in one row; see include/expectations/marketing.customer_segments.yaml.
with told as (
    select
        segment_id,
        count(*) as customers,
        min(segment_name) as first_name,
        max(segment_name) as last_name,
        count(*) filter (where as_of_date <> :day) as other_days,
        count(*) filter (where snapshot_id <> :snapshot_id) as other_snapshots,
        count(*) filter (where (lifecycle_stage = 'prospect') <> (segment_id = 0)) as odd_prospects,
        count(*) filter (
            where not (
                coalesce(purchase_probability_30d, 0) between 0 and 1
                and coalesce(churn_probability_90d, 0) between 0 and 1
                and coalesce(high_value_probability_90d, 0) between 0 and 1
            )
        ) as no_probabilities,
        count(*) filter (where expected_spend_90d < 0) as negative_spend,
        count(*) filter (where cardinality(reasons) = 0) as without_reasons
    from new_rows
    group by segment_id
)

select
    coalesce(sum(customers), 0)::bigint as rows_in_all,
    coalesce(sum(other_days), 0)::bigint as rows_of_another_day,
    coalesce(sum(other_snapshots), 0)::bigint as rows_of_another_snapshot,
    coalesce(sum(odd_prospects), 0)::bigint as odd_prospects,
    coalesce(sum(no_probabilities), 0)::bigint as no_probabilities,
    coalesce(sum(negative_spend), 0)::bigint as negative_spend,
    coalesce(sum(without_reasons), 0)::bigint as without_reasons,
    count(*) filter (where first_name <> last_name) as segments_with_two_names,
    (max(customers) filter (where segment_id <> 0))::float8
    / nullif(sum(customers) filter (where segment_id <> 0), 0)::float8 as largest_segment_share
from told;
