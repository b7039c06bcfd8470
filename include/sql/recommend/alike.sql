-- recommend.alike: for each product those that the same customers buy, the :neighbours most similar that are offered.
-- Similarity: cosine of who bought them, times n / (n + :similar_shrink) for n common buyers, in millionths. Of each
-- customer the weightiest :most_paired products count.
with
of_sample as (
    select
        b.customer_no,
        b.product_no
    from recommend.bought as b
    inner join recommend.customers as c on b.customer_no = c.customer_no
    where b.place <= :most_paired and md5(c.customer_id) < :sample_below
),

buyers as (
    select
        product_no,
        count(*) as buyers
    from of_sample
    group by product_no
),

pairs as (
    select
        a.product_no,
        b.product_no as other_no,
        count(*) as common
    from of_sample as a
    inner join of_sample as b on a.customer_no = b.customer_no and a.product_no <> b.product_no
    group by a.product_no, b.product_no
    having count(*) > 1
),

weighed as (
    select
        p.product_no,
        p.other_no,
        cast(
            round(
                1000000 * p.common / sqrt(cast(a.buyers as double) * b.buyers)
                * p.common / (p.common + cast(:similar_shrink as double))
            ) as bigint
        ) as similarity
    from pairs as p
    inner join buyers as a on p.product_no = a.product_no
    inner join buyers as b on p.other_no = b.product_no
    inner join recommend.products as o on p.other_no = o.product_no
    where o.is_offered
),

placed as (
    select
        *,
        row_number() over (partition by product_no order by similarity desc, other_no asc) as place
    from weighed
)

select
    cast(product_no as integer) as product_no,
    cast(other_no as integer) as other_no,
    similarity
from placed
where place <= :neighbours
