-- changed: what is other in new_rows than in old_rows, a row per customer; of what changes from day to day by itself
-- (probabilities, expected spend, recommended products, reasons, versions) nothing. is_history: columns of
-- segment_history are among it.
select
    coalesce(n.customer_id, o.customer_id) as customer_id,
    case
        when o.customer_id is null then 'entered'
        when n.customer_id is null then 'left'
        when n.segment_id <> o.segment_id then 'moved'
        else 'updated'
    end as change,
    o.segment_id as from_segment_id,
    n.segment_id as to_segment_id,
    o.strategy_id as from_strategy_id,
    n.strategy_id as to_strategy_id,
    (
        row(o.segment_id, o.segment_name, o.value_tier, o.strategy_id)
        is distinct from row(n.segment_id, n.segment_name, n.value_tier, n.strategy_id)
    ) as is_history
from old_rows as o
full join new_rows as n on o.customer_id = n.customer_id
where
    o.customer_id is null
    or n.customer_id is null
    or row(
        o.segment_id, o.segment_name, o.lifecycle_stage, o.value_tier, o.churn_risk, o.new_customer_potential,
        o.interest_group, o.preferred_channel, o.content_preference, o.service_risk, o.strategy_id, o.offer,
        o.contact_channel, o.in_holdout
    )
    is distinct from row(
        n.segment_id, n.segment_name, n.lifecycle_stage, n.value_tier, n.churn_risk, n.new_customer_potential,
        n.interest_group, n.preferred_channel, n.content_preference, n.service_risk, n.strategy_id, n.offer,
        n.contact_channel, n.in_holdout
    );
