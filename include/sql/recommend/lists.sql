-- What is recommended to whom: the best :size candidates by the weighted sum of what speaks for them, at most
-- :most_of_category of a category; of equals the first by product_id, which is the order of product_no.
with
scored as (
    select
        c.customer_no,
        c.product_no,
        p.category,
        round(
            :is_own * c.is_own + :times * c.times + :age * c.age + :nearness * c.nearness + :looks * c.looks
            + :popularity * c.popularity,
            6
        ) as score
    from recommend.candidates as c
    inner join recommend.products as p on c.product_no = p.product_no
),

in_category as (
    select
        customer_no,
        product_no,
        score,
        row_number() over (partition by customer_no, category order by score desc, product_no asc) as category_place
    from scored
),

placed as (
    select
        customer_no,
        product_no,
        row_number() over (partition by customer_no order by score desc, product_no asc) as place
    from in_category
    where category_place <= :most_of_category
)

select
    a.customer_id,
    i.product_id
from placed as p
inner join recommend.customers as a on p.customer_no = a.customer_no
inner join recommend.products as i on p.product_no = i.product_no
where p.place <= :size
order by a.customer_id, p.place
