-- marketing_internal.product_movement_rows of a day: how each product sells, and what is to be done about it. Weeks
-- count back from :as_of. What was returned does not count as sold. A product is on sale since its launch, or else
-- since its first sale; of the time before the shop's first order nobody can tell.
with
goods as (
    select
        p.product_id,
        p.stock_on_hand,
        cast(p.launched_at as date) as launched_on
    from raw.products as p
    left join movement.left_out as l on p.category = l.category
    where l.category is null and (p.launched_at is null or p.launched_at < :as_of)
),

days as (
    select
        product_id,
        ordered_on,
        date_diff('day', ordered_on, :as_of) - 1 as age,
        sum(units - returned_units) as units
    from agg.product_days
    group by product_id, ordered_on
    having sum(lines) > 0
),

sold as (
    select
        product_id,
        min(ordered_on) as first_on,
        sum(units) filter (where age between 364 - 7 * :weeks and 363) as season_units,
        max(case when units > 0 and age < 7 * :weeks then 1 else 0 end) as is_alive
    from days
    group by product_id
),

shop as (
    select date_diff('day', min(ordered_on), :as_of) as days_known
    from days
),

ages as (
    select
        g.product_id,
        g.stock_on_hand,
        s.season_units,
        coalesce(s.is_alive, 0) = 1 as is_alive,
        date_diff('day', coalesce(g.launched_on, s.first_on), :as_of) as days_on_sale,
        h.days_known,
        -- a product of two days has sold in a week what it has sold
        greatest(
            7, least(
                7 * :weeks, h.days_known,
                coalesce(date_diff('day', coalesce(g.launched_on, s.first_on), :as_of), h.days_known)
            )
        ) as days_counted
    from goods as g
    left join sold as s on g.product_id = s.product_id
    cross join shop as h
),

calendar as (
    select cast(n.week as integer) as week
    from unnest(generate_series(0, :weeks - 1)) as n (week)
),

sold_in_week as (
    select
        product_id,
        cast(floor(age / 7) as integer) as week,
        sum(units) as units
    from days
    where age < 7 * :weeks
    group by product_id, cast(floor(age / 7) as integer)
),

by_week as (
    select
        a.product_id,
        c.week,
        cast(coalesce(s.units, 0) as double) as units
    from ages as a
    inner join calendar as c on a.days_counted >= 7 * (c.week + 1)
    left join sold_in_week as s on a.product_id = s.product_id and c.week = s.week
    where a.is_alive
),

means as (
    select
        a.product_id,
        greatest(7 * sum(d.units) / cast(max(a.days_counted) as double), 0) as units_per_week
    from ages as a
    inner join days as d on a.product_id = d.product_id and a.days_counted > d.age
    group by a.product_id
),

-- the slope of Theil and Sen: the median of those between any two weeks, which a single bulk order does not bend
slopes as (
    select
        a.product_id,
        median((a.units - b.units) / (b.week - a.week)) as slope
    from by_week as a
    inner join by_week as b on a.product_id = b.product_id and a.week < b.week
    group by a.product_id
    having count(*) >= :least_weeks * (:least_weeks - 1) / 2
),

rates as (
    select
        a.product_id,
        a.stock_on_hand,
        a.is_alive,
        coalesce(a.days_on_sale, 0) < 7 * :weeks or a.days_known < 7 * :weeks as is_too_young_for_dead,
        coalesce(a.days_on_sale, 0) < :young_days as is_young,
        coalesce(m.units_per_week, 0) as units_per_week,
        s.slope / nullif(m.units_per_week, 0) as trend,
        case
            when a.days_known >= 364
                then coalesce(a.season_units, 0) / cast(:weeks as double)
        end as season_units_per_week
    from ages as a
    left join means as m on a.product_id = m.product_id
    left join slopes as s on a.product_id = s.product_id
),

-- by ABC analysis: the share of all units that the better sellers bring
placed as (
    select
        *,
        coalesce(
            sum(units_per_week) over (
                order by units_per_week desc, product_id asc rows between unbounded preceding and 1 preceding
            ), 0
        ) / nullif(sum(units_per_week) over (), 0) as share_before
    from rates
),

moving as (
    select
        *,
        case
            when not is_alive and not is_too_young_for_dead then 'dead'
            when units_per_week <= 0 then 'slow'
            when round(share_before, 9) < :fast_share then 'fast'
            when round(share_before, 9) >= 1 - :slow_share then 'slow'
            else 'steady'
        end as movement,
        coalesce(trend, 0) <= -:falling as is_falling,
        coalesce(season_units_per_week, 0) > units_per_week as is_season_ahead,
        case
            when stock_on_hand is not null and units_per_week > 0
                then cast(least(floor(7 * greatest(stock_on_hand, 0) / units_per_week), 99999) as integer)
        end as days_of_stock_left
    from placed
)

select
    cast(:as_of as date) as as_of_date,
    product_id,
    cast(units_per_week as decimal(14, 3)) as units_per_week,
    round(trend, 6) as trend,
    cast(season_units_per_week as decimal(14, 3)) as season_units_per_week,
    stock_on_hand,
    days_of_stock_left,
    movement,
    case
        when stock_on_hand is null then case when movement = 'slow' then 'promote' else 'hold' end
        when movement in ('fast', 'steady') and days_of_stock_left < :restock_days then 'restock'
        when stock_on_hand <= 0 then 'hold'
        when movement in ('slow', 'dead') and is_season_ahead then 'hold'
        when movement = 'dead' then 'clear'
        when movement = 'slow' and is_young then 'promote'
        when movement = 'slow' and days_of_stock_left > :clear_days then 'clear'
        when movement = 'slow' and coalesce(days_of_stock_left, 99999) > :promote_days then 'promote'
        when is_falling and days_of_stock_left > :promote_days then 'promote'
        else 'hold'
    end as action
from moving
order by product_id
