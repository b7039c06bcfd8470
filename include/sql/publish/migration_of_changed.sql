-- migration, where old_rows is the snapshot before: who is not in changed has stayed in the segment of new_rows.
with moved as (
    select
        from_segment_id,
        to_segment_id,
        count(*) as customers
    from changed
    group by from_segment_id, to_segment_id
),

stayed as (
    select
        segment_id,
        count(*) as customers
    from new_rows
    group by segment_id
    union all
    select
        to_segment_id as segment_id,
        -customers as customers
    from moved
    where to_segment_id is not null
)

select
    from_segment_id,
    to_segment_id,
    sum(customers)::bigint as customers
from (
    select * from moved
    union all
    select
        segment_id as from_segment_id,
        segment_id as to_segment_id,
        customers
    from stayed
) as every
group by from_segment_id, to_segment_id
having sum(customers) > 0;
