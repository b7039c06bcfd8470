-- recommend.products: the products by number. is_offered: launched, in stock or of unknown stock, and no service.
select
    row_number() over (order by p.product_id) - 1 as product_no,
    p.product_id,
    p.category,
    l.category is null
    and (p.stock_on_hand is null or p.stock_on_hand > 0)
    and (p.launched_at is null or p.launched_at < :as_of) as is_offered
from raw.products as p
left join recommend.left_out as l on p.category = l.category
