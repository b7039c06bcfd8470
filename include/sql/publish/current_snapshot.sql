-- marketing_internal.current_snapshot: the published snapshot with the latest day becomes what readers see.
insert into marketing_internal.current_snapshot (snapshot_id)
select snapshot_id
from marketing.snapshots
where status = 'published'
order by as_of_date desc
limit 1
on conflict (is_only_row) do update set snapshot_id = excluded.snapshot_id;
