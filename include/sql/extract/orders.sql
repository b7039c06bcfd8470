-- The shop's orders, the cancelled ones included. Only what was ordered before the day: a day can be run again later.
select
    order_id,
    customer_id,
    ordered_at,
    status,
    channel,
    coupon_code,
    discount_amount,
    total_amount,
    updated_at
from shop.orders
where ordered_at < :as_of
