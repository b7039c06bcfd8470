-- marketing_internal.segment_rows: who has withdrawn the consent to profiling goes, but for the current snapshot, whose
-- feed and history still tell of them.
with gone as (
    delete from marketing_internal.segment_rows as r
    using withdrawals as w
    where
        r.customer_id = w.customer_id
        and w.channel is null
        and r.snapshot_id <> (select c.snapshot_id from marketing_internal.current_snapshot as c)
    returning r.snapshot_id
),

counted as (
    select
        snapshot_id,
        count(*) as customers
    from gone
    group by snapshot_id
)

update marketing.snapshots as s
set row_count = s.row_count - c.customers
from counted as c
where s.snapshot_id = c.snapshot_id;
