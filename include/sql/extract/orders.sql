-- The shop's orders, the cancelled ones included.
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
