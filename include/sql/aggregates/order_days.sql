-- agg.order_days: what each customer ordered on a day over a channel, and on which day that was last known to change.
-- One row per customer, day, channel and day of the change; a change is a row that takes away the old and one that adds
-- the new, so a sum over `changed_on` before any day gives what was known by then.
with
states as (
    -- an order that is known as cancelled only was an order until that was written down
    select
        *,
        false as is_cancelled,
        valid_from as since,
        case when status = 'cancelled' then least(valid_to, cast(updated_at as date)) else valid_to end as until
    from raw.orders_timeline
    union all
    select
        *,
        true as is_cancelled,
        greatest(valid_from, cast(updated_at as date)) as since,
        valid_to as until
    from raw.orders_timeline
    where status = 'cancelled'
),

moves as (
    select
        states.customer_id,
        cast(states.ordered_at as date) as ordered_on,
        coalesce(states.channel, 'unknown') as channel,
        case when m.sign = 1 then states.since else states.until end as changed_on,
        case when states.is_cancelled then 0 else m.sign end as orders,
        case when states.is_cancelled then m.sign else 0 end as cancelled_orders,
        case when states.is_cancelled or states.coupon_code is null then 0 else m.sign end as coupon_orders,
        case when states.is_cancelled then 0 else m.sign * states.total_amount end as amount,
        case when states.is_cancelled then 0 else m.sign * states.discount_amount end as discount
    from states
    cross join (values (1), (-1)) as m (sign)
    where states.since < states.until and (m.sign = 1 or states.until < date '9999-12-31')
)

select
    customer_id,
    ordered_on,
    channel,
    changed_on,
    cast(sum(orders) as bigint) as orders,
    cast(sum(cancelled_orders) as bigint) as cancelled_orders,
    cast(sum(coupon_orders) as bigint) as coupon_orders,
    cast(sum(amount) as decimal(18, 2)) as amount,
    cast(sum(discount) as decimal(18, 2)) as discount
from moves
group by customer_id, ordered_on, channel, changed_on
