-- Where a customer was, the latest first.
select
    segment_id,
    segment_name,
    value_tier,
    strategy_id,
    valid_from,
    valid_to
from marketing.segment_history
where customer_id = :customer_id
order by valid_from desc
limit 50
