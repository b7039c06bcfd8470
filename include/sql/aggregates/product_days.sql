-- agg.product_days: how much of each product a customer ordered on a day, and on which day that was last known to
-- change: an item that is returned, an order that is cancelled. Rows add up as those of agg.order_days do.
with
orders as (
    -- only while they are not cancelled
    select
        order_id,
        customer_id,
        cast(ordered_at as date) as ordered_on,
        valid_from,
        case when status = 'cancelled' then least(valid_to, cast(updated_at as date)) else valid_to end as valid_to
    from raw.orders_timeline
),

items as (
    -- what is known as returned only was kept until that was written down
    select
        order_id,
        product_id,
        quantity,
        unit_price,
        0 as returned_quantity,
        valid_from,
        case when returned_quantity > 0 then least(valid_to, cast(updated_at as date)) else valid_to end as valid_to
    from raw.order_items_timeline
    union all
    select
        order_id,
        product_id,
        quantity,
        unit_price,
        returned_quantity,
        greatest(valid_from, cast(updated_at as date)) as valid_from,
        valid_to
    from raw.order_items_timeline
    where returned_quantity > 0
),

states as (
    select
        orders.customer_id,
        orders.ordered_on,
        items.product_id,
        items.quantity,
        items.unit_price,
        items.returned_quantity,
        greatest(orders.valid_from, items.valid_from) as since,
        least(orders.valid_to, items.valid_to) as until
    from items
    inner join orders on items.order_id = orders.order_id
)

select
    states.customer_id,
    states.ordered_on,
    states.product_id,
    case when m.sign = 1 then states.since else states.until end as changed_on,
    cast(sum(m.sign) as bigint) as lines,
    cast(sum(m.sign * states.quantity) as bigint) as units,
    cast(sum(m.sign * states.returned_quantity) as bigint) as returned_units,
    cast(sum(m.sign * states.quantity * states.unit_price) as decimal(18, 2)) as amount
from states
cross join (values (1), (-1)) as m (sign)
where states.since < states.until and (m.sign = 1 or states.until < date '9999-12-31')
group by
    states.customer_id,
    states.ordered_on,
    states.product_id,
    case when m.sign = 1 then states.since else states.until end
