-- How often the customer orders, lately and before, and how often an order comes to nothing. Cancelled orders do not
-- count, but where they are named.
with
counts as (
    select
        customer_id,
        sum(orders) as orders,
        sum(cancelled_orders) as cancelled,
        sum(coupon_orders) as with_coupon,
        sum(case when date_diff('day', ordered_on, :as_of) <= 30 then orders else 0 end) as orders_30d,
        sum(case when date_diff('day', ordered_on, :as_of) <= 90 then orders else 0 end) as orders_90d,
        sum(case when date_diff('day', ordered_on, :as_of) <= 180 then orders else 0 end) as orders_180d,
        sum(case when date_diff('day', ordered_on, :as_of) <= 365 then orders else 0 end) as orders_365d
    from agg.order_days
    group by customer_id
)

select
    p.customer_id,
    -- Orders. [orders; ever]
    coalesce(cast(c.orders as bigint), 0) as orders_count,
    -- Orders. [orders; 30 days]
    coalesce(cast(c.orders_30d as bigint), 0) as orders_30d,
    -- Orders. [orders; 90 days]
    coalesce(cast(c.orders_90d as bigint), 0) as orders_90d,
    -- Orders. [orders; 365 days]
    coalesce(cast(c.orders_365d as bigint), 0) as orders_365d,
    -- Orders of the last 90 days, a, against the 90 before, b: (a - b) / (a + b); 1 is only lately, -1 only before.
    -- [ratio; 180 days; null: no order in them]
    cast(2 * c.orders_90d - c.orders_180d as double) / nullif(c.orders_180d, 0) as orders_trend,
    -- Orders that were cancelled. [orders; ever]
    coalesce(cast(c.cancelled as bigint), 0) as cancelled_orders_count,
    -- Share of all orders that were cancelled. [share; ever; null: never ordered]
    cast(c.cancelled as double) / nullif(c.cancelled + c.orders, 0) as cancelled_share,
    -- Share of the orders with a coupon. [share; ever; null: no order that stands]
    cast(c.with_coupon as double) / nullif(c.orders, 0) as coupon_share
from feat.population as p
left join counts as c on p.customer_id = c.customer_id
