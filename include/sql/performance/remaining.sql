-- Of the customers of a past day, feat.customer_daily_then, those who are still there and consent to profiling: what
-- their outcomes depend on.
select
    f.customer_id,
    f.orders_count,
    f.first_order_age_days
from feat.customer_daily_then as f
inner join raw.customers_now as c on f.customer_id = c.customer_id
where c.profiling_consent;
