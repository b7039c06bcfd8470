-- How large each segment was on each published day after :since, up to :day.
with days as (
    select
        snapshot_id,
        as_of_date
    from marketing.snapshots
    where status = 'published' and as_of_date <= :day and as_of_date > :since
)

select
    d.as_of_date,
    p.segment_id,
    p.segment_name,
    p.customers
from days as d
inner join marketing.segment_profiles as p on d.snapshot_id = p.snapshot_id
order by d.as_of_date, p.segment_id
