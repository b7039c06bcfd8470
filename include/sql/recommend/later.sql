-- recommend.later: what the customers bought from :as_of on, as known later.
select
    b.customer_id,
    b.product_id
from agg.product_days as b
where b.ordered_on >= :as_of
group by b.customer_id, b.product_id
having sum(b.lines) > 0
