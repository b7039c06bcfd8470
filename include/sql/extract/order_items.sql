-- The lines of those orders: optional. A line without an order is taken as well, so that validation can name it.
select
    i.order_id,
    i.line_no,
    i.product_id,
    i.quantity,
    i.unit_price,
    i.returned_quantity,
    i.updated_at
from shop.order_items as i
left join shop.orders as o on i.order_id = o.order_id
where o.order_id is null or o.ordered_at < :as_of
