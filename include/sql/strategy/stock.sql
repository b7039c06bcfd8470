-- Pieces on hand per category, of the products whose stock the shop counts; and of the whole shop, without a category.
select
    category,
    sum(greatest(stock_on_hand, 0)) as pieces
from raw.products
where stock_on_hand is not null
group by grouping sets ((category), ());
