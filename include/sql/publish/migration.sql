-- migration: how many customers of each segment of the snapshot before (before_rows) are where now; null: not there.
select
    b.segment_id as from_segment_id,
    n.segment_id as to_segment_id,
    count(*) as customers
from before_rows as b
full join new_rows as n on b.customer_id = n.customer_id
group by 1, 2;
