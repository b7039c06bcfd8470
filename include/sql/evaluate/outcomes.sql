-- What each customer of evaluate.customers did from the contact to the end of the window, in as long a window before,
-- and in the year before it. Cancelled orders are none. The margin is what was paid less the unit costs, what was
-- returned taken out of both, discounts spread evenly; revenue_uncosted is of orders without items or unit costs.
with
spans as (
    select
        campaign_id,
        customer_id,
        contacted_at,
        window_end,
        contacted_at - (window_end - contacted_at) as before_at,
        contacted_at - interval '365' day as year_before_at
    from evaluate.customers
),

orders as (
    select
        s.campaign_id,
        s.customer_id,
        o.order_id,
        o.ordered_at,
        cast(o.total_amount as double) as amount,
        o.ordered_at >= s.contacted_at as is_after,
        o.ordered_at < s.contacted_at and o.ordered_at >= s.before_at as is_before,
        o.ordered_at < s.contacted_at and o.ordered_at >= s.year_before_at as is_year_before
    from spans as s
    inner join raw.orders as o on s.customer_id = o.customer_id
    where
        o.status <> 'cancelled'
        and o.ordered_at >= least(s.before_at, s.year_before_at) and o.ordered_at < s.window_end
),

bought as (
    select distinct order_id
    from orders
    where is_after
),

costs as (
    select
        i.order_id,
        cast(sum(i.quantity * i.unit_price) as double) as ordered,
        cast(sum((i.quantity - i.returned_quantity) * i.unit_price) as double) as kept,
        cast(sum((i.quantity - i.returned_quantity) * p.unit_cost) as double) as cost,
        count(*) = count(p.unit_cost) as is_costed
    from raw.order_items as i
    inner join bought as b on i.order_id = b.order_id
    left join raw.products as p on i.product_id = p.product_id
    group by i.order_id
),

margins as (
    select
        o.*,
        case when c.is_costed and c.ordered > 0 then o.amount * c.kept / c.ordered - c.cost end as margin
    from orders as o
    left join costs as c on o.order_id = c.order_id
),

sums as (
    select
        campaign_id,
        customer_id,
        count(*) filter (where is_after) as orders,
        sum(amount) filter (where is_after) as revenue,
        sum(margin) filter (where is_after) as margin,
        sum(amount) filter (where is_after and margin is null) as revenue_uncosted,
        count(*) filter (where is_before) as orders_before,
        sum(amount) filter (where is_before) as revenue_before,
        count(*) filter (where is_year_before) as orders_year_before,
        sum(amount) filter (where is_year_before) as revenue_year_before,
        max(ordered_at) filter (where is_year_before) as last_ordered_at
    from margins
    group by campaign_id, customer_id
)

select
    e.*,
    cast(e.is_unsubscribed as double) as unsubscribe,
    cast(coalesce(s.orders, 0) > 0 as double) as conversion,
    coalesce(s.revenue, 0) as revenue,
    coalesce(s.margin, 0) as margin,
    coalesce(s.revenue_uncosted, 0) as revenue_uncosted,
    cast(coalesce(s.orders_before, 0) > 0 as double) as conversion_before,
    coalesce(s.revenue_before, 0) as revenue_before,
    coalesce(s.orders_year_before, 0) as orders_year_before,
    coalesce(s.revenue_year_before, 0) as revenue_year_before,
    date_diff('day', cast(s.last_ordered_at as date), cast(e.contacted_at as date)) as last_order_age_days,
    date_diff('day', cast(p.signed_up_at as date), cast(e.contacted_at as date)) as tenure_days,
    -- null: the shop no longer knows the customer
    p.signed_up_at <= t.before_at as is_known_before
from evaluate.customers as e
inner join spans as t on e.campaign_id = t.campaign_id and e.customer_id = t.customer_id
left join sums as s on e.campaign_id = s.campaign_id and e.customer_id = s.customer_id
left join raw.customers as p on e.customer_id = p.customer_id
order by e.campaign_id, e.customer_id
