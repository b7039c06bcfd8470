-- The shop's products: optional. Delete this file where there is no such table.
select
    product_id,
    name,
    category,
    brand,
    list_price,
    unit_cost,
    launched_at,
    stock_on_hand,
    updated_at
from shop.products
