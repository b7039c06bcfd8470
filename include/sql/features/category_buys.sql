-- feat.category_buys: what each customer bought of each category in the last 365 days, as far as it stands. Products
-- without a known category count as one more.
select
    b.customer_id,
    p.category,
    sum(b.lines) as lines,
    sum(b.units) as units,
    sum(b.amount) as amount
from agg.product_days as b
left join raw.products as p on b.product_id = p.product_id
where b.ordered_on >= cast(:as_of - interval 365 day as date)
group by b.customer_id, p.category
having sum(b.lines) > 0
