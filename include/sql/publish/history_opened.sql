-- segment_history: what is so from :day on.
insert into marketing.segment_history (customer_id, segment_id, segment_name, value_tier, strategy_id, valid_from)
select
    n.customer_id,
    n.segment_id,
    n.segment_name,
    n.value_tier,
    n.strategy_id,
    :day as valid_from
from history_changed as c
inner join new_rows as n on c.customer_id = n.customer_id;
