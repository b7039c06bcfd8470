-- The snapshot that readers see, and the latest day after it whose snapshot was refused.
select
    s.snapshot_id,
    s.as_of_date,
    s.row_count,
    s.published_at,
    (
        select max(r.as_of_date) from marketing.snapshots as r
        where r.status = 'rejected' and r.as_of_date > s.as_of_date
    ) as refused_day
from marketing_internal.current_snapshot as c
inner join marketing.snapshots as s on c.snapshot_id = s.snapshot_id
