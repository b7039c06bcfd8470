-- Who of some customers a client may know of: from the history, or from the feed, unless its last word is `erased`.
-- The snapshots are asked for beforehand, each by itself.
with last_words as (
    select distinct on (customer_id)
        customer_id,
        change
    from marketing_internal.change_rows
    where customer_id = any(:customers)
    order by customer_id asc, change_id desc
)

select customer_id
from last_words
where change <> 'erased'
union
select customer_id
from marketing.segment_history
where customer_id = any(:customers)
order by customer_id
