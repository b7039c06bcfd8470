-- How large each segment was on each published day of the last :days.
select
    s.as_of_date,
    p.segment_id,
    p.segment_name,
    p.customers
from marketing.snapshots as s
inner join marketing.segment_profiles as p on s.snapshot_id = p.snapshot_id
where s.status = 'published' and s.as_of_date <= :day and s.as_of_date > :day - :days
order by s.as_of_date, p.segment_id
