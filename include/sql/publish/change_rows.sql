-- marketing_internal.change_rows: the feed's part of a publication, numbered on from :first_change_id.
select
    :first_change_id + row_number() over () - 1 as change_id,
    customer_id,
    change,
    from_segment_id,
    to_segment_id,
    from_strategy_id,
    to_strategy_id,
    cast(:day as date) as as_of_date,
    cast(:snapshot_id as bigint) as snapshot_id
from changed;
