-- changed: for the feed, of those who were erased: that they are gone, and nothing of what they were.
select
    c.customer_id,
    'erased' as change,
    null::integer as from_segment_id,
    null::integer as to_segment_id,
    null::text as from_strategy_id,
    null::text as to_strategy_id,
    false as is_history
from unnest(:customers) as c (customer_id)
