-- How many products move how, and what is to be done with them.
select
    movement,
    action,
    count(*) as products,
    max(as_of_date) as as_of_date
from marketing.product_movement
group by movement, action
