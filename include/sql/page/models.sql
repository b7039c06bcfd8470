-- Which versions scored each published day, the latest first.
select
    as_of_date,
    model_versions
from marketing.snapshots
where status = 'published' and as_of_date <= :day
order by as_of_date desc
limit :most
