-- Whose rows are to go: what is not current, not the published one of a recent day, and was made some time ago. Pending
-- detachments come first, as there can be but one.
select s.snapshot_id
from marketing.snapshots as s
inner join marketing_internal.current_snapshot as c on true
inner join marketing.snapshots as current_one on c.snapshot_id = current_one.snapshot_id
left join pg_inherits as i
    on i.inhrelid = to_regclass('marketing_internal.segment_rows_' || s.snapshot_id)
where
    s.is_kept
    and s.snapshot_id <> c.snapshot_id
    and s.created_at < :made_before
    and not (s.status = 'published' and s.as_of_date > current_one.as_of_date - :keep_days)
order by coalesce(i.inhdetachpending, false) desc, s.snapshot_id;
