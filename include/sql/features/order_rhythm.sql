-- When the customer orders: recency, and the gaps between the days with an order. Cancelled orders do not count.
with
days as (
    select
        customer_id,
        ordered_on,
        sum(orders) as orders,
        sum(amount) as amount
    from agg.order_days
    group by customer_id, ordered_on
    having sum(orders) > 0
),

gaps as (
    select
        *,
        date_diff('day', lag(ordered_on) over earlier, ordered_on) as gap_days,
        row_number() over earlier as day_no,
        lead(ordered_on) over earlier is null as is_last
    from days
    window earlier as (partition by customer_id order by ordered_on)
),

rhythm as (
    select
        customer_id,
        count(*) as order_days,
        sum(orders) as orders,
        min(date_diff('day', ordered_on, :as_of)) as last_age,
        max(date_diff('day', ordered_on, :as_of)) as first_age,
        coalesce(sum(gap_days), 0) as gap_sum,
        coalesce(sum(gap_days * gap_days), 0) as gap_squares,
        max(case when is_last then gap_days end) as gap_last,
        max(amount) as amount_max,
        sum(case when day_no > 1 then amount else 0 end) as repeat_amount
    from gaps
    group by customer_id
)

select
    p.customer_id,
    -- Days since the last order. [days; ever; null: never ordered]
    r.last_age as last_order_age_days,
    -- Days since the first order. [days; ever; null: never ordered]
    r.first_age as first_order_age_days,
    -- Days on which the customer ordered. [days; ever]
    coalesce(r.order_days, 0) as order_days_count,
    -- Mean gap between two orders, orders of one day being 0 apart. [days; ever; null: fewer than two orders]
    cast(r.gap_sum as double) / nullif(r.orders - 1, 0) as order_gap_mean_days,
    -- Standard deviation of these gaps. [days; ever; null: fewer than three orders]
    sqrt(
        cast((r.orders - 1) * r.gap_squares - r.gap_sum * r.gap_sum as double)
        / nullif((r.orders - 1) * (r.orders - 2), 0)
    ) as order_gap_std_days,
    -- Gap between the last two days with an order. [days; ever; null: ordered on fewer than two days]
    r.gap_last as order_gap_last_days,
    -- How long the customer has been silent, in units of the mean gap. [ratio; ever; null: no gap, or a mean of 0]
    r.last_age / nullif(cast(r.gap_sum as double) / nullif(r.orders - 1, 0), 0) as silence_to_gap_ratio,
    -- Days with an order after the first such day: x of BG/NBD. [days; ever]
    coalesce(r.order_days - 1, 0) as repeat_order_days_count,
    -- Days from the first order to the last: t_x of BG/NBD. [days; ever; null: never ordered]
    r.first_age - r.last_age as repeat_span_days,
    -- Mean spend of the days after the first one: m_x of Gamma-Gamma. [currency; ever; null: ordered on one day]
    cast(r.repeat_amount as double) / nullif(r.order_days - 1, 0) as repeat_day_spend_mean,
    -- The most that was spent on one day. [currency; ever; null: never ordered]
    cast(r.amount_max as double) as order_day_spend_max
from feat.population as p
left join rhythm as r on p.customer_id = r.customer_id
