-- What was counted of a snapshot when it was published.
select
    kind,
    line,
    place,
    about,
    customers
from marketing_internal.page_counts
where snapshot_id = :snapshot_id
order by kind, line nulls last, place nulls last
