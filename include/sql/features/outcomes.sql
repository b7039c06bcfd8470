-- feat.outcomes: what the customers of feat.customer_daily, as of a past :cutoff, did after it: until :near_until for
-- what is foreseen at short range, until :far_until for the rest. Training learns it; scores are measured by it later.
-- An outcome is null until its whole horizon lies before :as_of, the day that looks back, and where it makes no sense.
with
orders_next as (
    select
        customer_id,
        sum(case when ordered_on < :near_until then orders else 0 end) as orders_near,
        sum(case when ordered_on < :far_until then orders else 0 end) as orders_far,
        cast(sum(case when ordered_on < :near_until then amount else 0 end) as double) as spend_near,
        cast(sum(case when ordered_on < :far_until then amount else 0 end) as double) as spend_far
    from agg.order_days
    where ordered_on >= :cutoff and ordered_on < greatest(:near_until, :far_until)
    group by customer_id
),

complaints_next as (
    select distinct customer_id
    from raw.support_tickets
    where category = 'complaint' and cast(opened_at as date) >= :cutoff and cast(opened_at as date) < :far_until
),

-- units that have come back by the end of the horizon, less those that had by the cutoff
returns as (
    select
        customer_id,
        returned_units
    from agg.product_days_later
    union all
    select
        customer_id,
        -returned_units as returned_units
    from agg.product_days
),

returns_next as (
    select customer_id
    from returns
    group by customer_id
    having sum(returned_units) > 0
),

outcomes as (
    select
        f.customer_id,
        f.orders_count > 0 as is_buyer,
        f.orders_count = 0 or f.first_order_age_days <= :new_days as is_newcomer,
        coalesce(o.orders_near, 0) > 0 as orders_near,
        coalesce(o.orders_far, 0) > 0 as orders_far,
        coalesce(o.spend_near, 0) as spend_near,
        coalesce(o.spend_far, 0) as spend_far,
        c.customer_id is not null or r.customer_id is not null as has_service_case,
        -- the highest spend has rank 1
        rank() over (partition by f.orders_count > 0 order by coalesce(o.spend_far, 0) desc) as spend_rank,
        count(*) over (partition by f.orders_count > 0) as customers
    from feat.customer_daily as f
    left join orders_next as o on f.customer_id = o.customer_id
    left join complaints_next as c on f.customer_id = c.customer_id
    left join returns_next as r on f.customer_id = r.customer_id
)

select
    o.customer_id,
    case when :near_until <= :as_of then o.orders_near end as is_purchase,
    case when :far_until <= :as_of and o.is_buyer then not o.orders_far end as is_churn,
    case
        when :far_until <= :as_of and o.is_buyer
            then o.spend_far > 0 and o.spend_rank <= cast(:high_value_share as double) * o.customers
    end as is_high_value,
    case when :far_until <= :as_of and o.is_newcomer then o.orders_far end as is_newcomer_purchase,
    case when :far_until <= :as_of then o.has_service_case end as is_service_case,
    case when :near_until <= :as_of then o.spend_near end as spend_near,
    case when :far_until <= :as_of then o.spend_far end as spend_far
from outcomes as o
order by o.customer_id;
