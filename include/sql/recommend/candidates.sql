-- recommend.candidates of part :part: what may be recommended to whom, and what speaks for it. What the customer
-- bought before, unless in the last :just_bought_days; what those buy who bought the same; what the customer looked
-- at; what is popular. Only nearness comes from several rows; as whole numbers below 2^53 its sums are exact.
with
asked as (
    select * from recommend.customers
    where part = :part
),

signs as (
    select
        customer_no,
        product_no,
        times,
        age,
        cast(0 as double) as nearness,
        0 as looks
    from recommend.bought
    where part = :part
    union all
    select
        b.customer_no,
        s.other_no as product_no,
        0 as times,
        0 as age,
        cast(b.weight * s.similarity as double) as nearness,
        0 as looks
    from recommend.bought as b
    inner join recommend.alike as s on b.product_no = s.product_no
    where b.part = :part and b.place <= :seeds
    union all
    select
        customer_no,
        product_no,
        0 as times,
        0 as age,
        cast(0 as double) as nearness,
        looks
    from recommend.looked
    where part = :part
    union all
    select
        a.customer_no,
        p.product_no,
        0 as times,
        0 as age,
        cast(0 as double) as nearness,
        0 as looks
    from asked as a
    inner join recommend.popular as p on p.interest_group in ('', a.interest_group)
    where p.place <= :fill
),

together as (
    select
        customer_no,
        product_no,
        max(times) as times,
        max(age) as age,
        sum(nearness) as nearness,
        max(looks) as looks
    from signs
    group by customer_no, product_no
),

without as (
    select
        interest_group,
        min(without) as without
    from recommend.popular
    group by interest_group
)

select
    t.customer_no,
    t.product_no,
    -- Whether the customer bought it before. [0 or 1]
    case when t.times > 0 then 1.0 else 0.0 end as is_own,
    -- On how many days. [log]
    ln(greatest(t.times, 1)) as times,
    -- How long ago the last time was. [log of days; 0 where never]
    case when t.times > 0 then ln(1.0 + t.age) else 0.0 end as age,
    -- How much those buy it who bought the same. [log]
    ln(1 + t.nearness / 5e7) as nearness,
    -- How often the customer looked at it. [log]
    ln(1.0 + t.looks) as looks,
    -- How popular it is in the customer's interest group. [log of the share]
    coalesce(
        g.popularity,
        e.popularity + coalesce(w.without, 0),
        (select min(l.popularity) from recommend.popular as l)
    ) as popularity
from together as t
inner join recommend.products as p on t.product_no = p.product_no
inner join asked as a on t.customer_no = a.customer_no
left join recommend.popular as g on a.interest_group = g.interest_group and t.product_no = g.product_no
left join recommend.popular as e on e.interest_group = '' and t.product_no = e.product_no
left join without as w on a.interest_group = w.interest_group
where p.is_offered and not (t.times > 0 and t.age <= :just_bought_days)
