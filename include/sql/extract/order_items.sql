-- The lines of the orders: optional.
select
    order_id,
    line_no,
    product_id,
    quantity,
    unit_price,
    returned_quantity,
    updated_at
from shop.order_items
