-- recommend.asked of a past day: an even share of the customers, and part 0 of them those to learn from: who bought
-- afterwards, at most :learners.
with
buyers as (
    select distinct customer_id from recommend.later
),

placed as (
    select
        c.customer_id,
        b.customer_id is not null as is_buyer,
        row_number() over (partition by b.customer_id is not null order by md5(c.customer_id)) as place
    from feat.customer_daily as c
    left join buyers as b on c.customer_id = b.customer_id
    where md5(c.customer_id) < :sample_below
)

select
    customer_id,
    case when is_buyer and place <= :learners then 0 else -1 end as part
from placed
