-- feat.customer_daily: one row per customer who consents to profiling, as known before :as_of (a midnight, UTC).
-- Every source is cut at :as_of here, so the same statement serves yesterday, last year and training.
-- A cancellation or return counts only once it was known: when the row's updated_at lies before :as_of.
-- Sums are of decimals and whole days, never of floats: the same rows give the same bits, in whatever order they come.
with
known_orders as (
    select
        order_id,
        customer_id,
        ordered_at,
        total_amount as amount,
        discount_amount as discount,
        (status = 'cancelled' and updated_at < :as_of) as is_cancelled
    from raw.orders
    where ordered_at < :as_of
),

placed as (
    select
        *,
        date_diff('day', ordered_at::date, (:as_of)::date) as age_days,
        date_diff('day', (lag(ordered_at) over earlier)::date, ordered_at::date) as gap_days
    from known_orders
    where not is_cancelled
    window earlier as (partition by customer_id order by ordered_at, order_id)
),

order_features as (
    select
        customer_id,
        count(*) as orders_count,
        min(age_days) as last_order_age_days,
        max(age_days) as first_order_age_days,
        count(*) filter (where age_days <= 30) as orders_30d,
        count(*) filter (where age_days <= 90) as orders_90d,
        count(*) filter (where age_days <= 365) as orders_365d,
        count(distinct ordered_at::date) as order_days_count,
        sum(amount)::double as spend_total,
        (sum(amount) filter (where age_days <= 90))::double as spend_90d,
        (sum(amount) filter (where age_days <= 365))::double as spend_365d,
        sum(amount)::double / count(*) as order_value_mean,
        max(amount)::double as order_value_max,
        sum(gap_days)::double / nullif(count(gap_days), 0) as order_gap_mean_days,
        sqrt(
            greatest(0, count(gap_days) * sum(gap_days * gap_days) - sum(gap_days) * sum(gap_days))::double
            / nullif(count(gap_days) * (count(gap_days) - 1), 0)
        ) as order_gap_std_days,
        sum(discount)::double as discount_total
    from placed
    group by customer_id
),

cancellations as (
    select
        customer_id,
        count(*) as cancelled_orders_count
    from known_orders
    where is_cancelled
    group by customer_id
),

item_features as (
    select
        placed.customer_id,
        sum(i.quantity) as units_total,
        count(distinct i.product_id) as products_distinct_count,
        count(distinct p.category) as categories_distinct_count,
        sum(case when i.updated_at < :as_of then i.returned_quantity else 0 end) as units_returned,
        sum(i.quantity * i.unit_price)::double as list_amount
    from placed
    inner join raw.order_items as i on placed.order_id = i.order_id
    left join raw.products as p on i.product_id = p.product_id
    group by placed.customer_id
)

select
    c.customer_id,
    (:as_of)::date as as_of_date,
    date_diff('day', c.signed_up_at::date, (:as_of)::date) as tenure_days,
    coalesce(o.orders_count, 0) as orders_count,
    coalesce(o.order_days_count, 0) as order_days_count,
    o.last_order_age_days,
    o.first_order_age_days,
    coalesce(o.orders_30d, 0) as orders_30d,
    coalesce(o.orders_90d, 0) as orders_90d,
    coalesce(o.orders_365d, 0) as orders_365d,
    coalesce(o.spend_total, 0) as spend_total,
    coalesce(o.spend_90d, 0) as spend_90d,
    coalesce(o.spend_365d, 0) as spend_365d,
    o.order_value_mean,
    o.order_value_max,
    o.order_gap_mean_days,
    o.order_gap_std_days,
    -- how long the customer has been silent, in units of the usual gap between orders
    o.last_order_age_days / nullif(o.order_gap_mean_days, 0) as silence_to_gap_ratio,
    o.discount_total / nullif(o.discount_total + o.spend_total, 0) as discount_share,
    coalesce(x.cancelled_orders_count, 0) as cancelled_orders_count,
    coalesce(i.units_total, 0) as units_total,
    i.units_total / nullif(o.orders_count, 0) as units_per_order_mean,
    coalesce(i.products_distinct_count, 0) as products_distinct_count,
    coalesce(i.categories_distinct_count, 0) as categories_distinct_count,
    i.units_returned / nullif(i.units_total, 0) as returned_share,
    i.list_amount / nullif(i.units_total, 0) as unit_price_mean
from raw.customers as c
inner join raw.customers_now as now on c.customer_id = now.customer_id
left join order_features as o on c.customer_id = o.customer_id
left join cancellations as x on c.customer_id = x.customer_id
left join item_features as i on c.customer_id = i.customer_id
where
    c.profiling_consent
    -- whoever has withdrawn since is left out of every day
    and now.profiling_consent
    and c.signed_up_at < :as_of
order by c.customer_id;
