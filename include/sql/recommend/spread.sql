-- How many categories there are among what is offered, and the share of its products in the largest.
with
by_category as (
    select
        category,
        count(*) as products
    from recommend.products
    where is_offered
    group by category
)

select
    count(*) as categories,
    cast(max(products) as double) / nullif(sum(products), 0) as largest_share
from by_category
