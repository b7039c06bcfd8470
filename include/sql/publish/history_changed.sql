-- history_changed: whose open row of segment_history is not what new_rows says.
select coalesce(n.customer_id, h.customer_id) as customer_id
from (
    select *
    from marketing.segment_history
    where valid_to is null
) as h
full join new_rows as n on h.customer_id = n.customer_id
where
    row(h.customer_id, h.segment_id, h.segment_name, h.value_tier, h.strategy_id)
    is distinct from row(n.customer_id, n.segment_id, n.segment_name, n.value_tier, n.strategy_id);
