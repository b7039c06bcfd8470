-- recommend.popular: how popular a product is in each interest group, '' being everyone: the logarithm of its share of
-- the group's buyers, each weighing by how long ago the last purchase was (halved every :popular_half_days), drawn
-- towards everyone's share as by :popular_shrink fresh buyers more. without: what is to be added to everyone's where
-- the group has no row. place: among what is offered, at most :most_of_category of a category; null for the rest.
with
weighed as (
    select
        c.interest_group,
        b.product_no,
        cast(round(1000 * pow(0.5, b.age / cast(:popular_half_days as double))) as bigint) as weight
    from recommend.bought as b
    inner join recommend.customers as c on b.customer_no = c.customer_no
),

by_product as (
    select
        product_no,
        cast(sum(weight) as double) as weight
    from weighed
    group by product_no
    having sum(weight) > 0
),

everyone as (
    select
        product_no,
        weight / sum(weight) over () as share
    from by_product
),

totals as (
    select
        interest_group,
        cast(sum(weight) as double) as weight
    from weighed
    where interest_group <> ''
    group by interest_group
),

counted as (
    select
        interest_group,
        product_no,
        cast(sum(weight) as double) as weight
    from weighed
    where interest_group <> ''
    group by interest_group, product_no
),

shares as (
    select
        '' as interest_group,
        product_no,
        share,
        cast(0 as double) as without
    from everyone
    union all
    select
        c.interest_group,
        c.product_no,
        (c.weight + 1000 * :popular_shrink * e.share) / (t.weight + 1000 * :popular_shrink) as share,
        ln(1000 * :popular_shrink / (t.weight + 1000 * :popular_shrink)) as without
    from counted as c
    inner join everyone as e on c.product_no = e.product_no
    inner join totals as t on c.interest_group = t.interest_group
),

in_category as (
    select
        s.interest_group,
        s.product_no,
        round(ln(s.share), 6) as popularity,
        round(s.without, 6) as without,
        p.is_offered,
        row_number()
            over (
                partition by s.interest_group, p.category, p.is_offered
                order by round(ln(s.share), 6) desc, s.product_no asc
            )
            as category_place
    from shares as s
    inner join recommend.products as p on s.product_no = p.product_no
)

select
    interest_group,
    product_no,
    popularity,
    without,
    case
        when is_offered and category_place <= :most_of_category
            then
                row_number()
                    over (
                        partition by interest_group, is_offered and category_place <= :most_of_category
                        order by popularity desc, product_no asc
                    )
    end as place
from in_category
