-- feat.category_prices: what a piece of each category costs on average, over everyone in feat.category_buys.
select
    category,
    cast(sum(amount) as double) / nullif(sum(units), 0) as unit_price
from feat.category_buys
group by category
