-- What the customer spends: orders after discount, cancelled ones left out.
with
sums as (
    select
        customer_id,
        sum(orders) as orders,
        sum(amount) as spend,
        sum(discount) as discount,
        sum(case when date_diff('day', ordered_on, :as_of) <= 365 then orders else 0 end) as orders_365d,
        sum(case when date_diff('day', ordered_on, :as_of) <= 30 then amount else 0 end) as spend_30d,
        sum(case when date_diff('day', ordered_on, :as_of) <= 90 then amount else 0 end) as spend_90d,
        sum(case when date_diff('day', ordered_on, :as_of) <= 180 then amount else 0 end) as spend_180d,
        sum(case when date_diff('day', ordered_on, :as_of) <= 365 then amount else 0 end) as spend_365d
    from agg.order_days
    group by customer_id
)

select
    p.customer_id,
    -- Spend. [currency; ever]
    coalesce(cast(s.spend as double), 0) as spend_total,
    -- Spend. [currency; 30 days]
    coalesce(cast(s.spend_30d as double), 0) as spend_30d,
    -- Spend. [currency; 90 days]
    coalesce(cast(s.spend_90d as double), 0) as spend_90d,
    -- Spend. [currency; 365 days]
    coalesce(cast(s.spend_365d as double), 0) as spend_365d,
    -- Spend of the last 90 days, a, against the 90 before, b: (a - b) / (a + b); 1 is only lately, -1 only before.
    -- [ratio; 180 days; null: nothing spent in them]
    cast(2 * s.spend_90d - s.spend_180d as double) / nullif(cast(s.spend_180d as double), 0) as spend_trend,
    -- Mean value of an order. [currency; ever; null: never ordered]
    cast(s.spend as double) / nullif(s.orders, 0) as order_value_mean,
    -- Mean value of an order. [currency; 365 days; null: no order in them]
    cast(s.spend_365d as double) / nullif(s.orders_365d, 0) as order_value_mean_365d,
    -- Discount as a share of what the orders would have cost. [share; ever; null: they would have cost nothing]
    cast(s.discount as double) / nullif(cast(s.discount + s.spend as double), 0) as discount_share
from feat.population as p
left join sums as s on p.customer_id = s.customer_id
