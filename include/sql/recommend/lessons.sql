-- What spoke for each candidate of a past day, and whether the customer then bought it. weight: customers who bought
-- much weigh no more than others.
with
counts as (
    select
        customer_id,
        count(*) as products
    from recommend.later
    group by customer_id
)

select
    1.0 / n.products as weight,
    c.is_own,
    c.times,
    c.age,
    c.nearness,
    c.looks,
    c.popularity,
    l.product_id is not null as is_bought
from recommend.candidates as c
inner join recommend.customers as a on c.customer_no = a.customer_no
inner join recommend.products as p on c.product_no = p.product_no
inner join counts as n on a.customer_id = n.customer_id
left join recommend.later as l on a.customer_id = l.customer_id and p.product_id = l.product_id
order by c.customer_no, c.product_no
