-- recommend.asked: whom lists are made for, in parts of :part_rows customers by customer_id.
select
    customer_id,
    cast(floor((row_number() over (order by customer_id) - 1) / :part_rows) as integer) as part
from feat.customer_daily
