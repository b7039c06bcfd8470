-- The snapshot that moves between segments are counted from: of a week before :day, else of the first day after that.
select
    snapshot_id,
    as_of_date
from marketing.snapshots
where status = 'published' and is_kept and as_of_date < :day
order by
    as_of_date > :day - 7 asc,
    case when as_of_date > :day - 7 then as_of_date end asc,
    as_of_date desc
limit 1;
