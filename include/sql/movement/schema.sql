-- How products sell, a classification a day; readers see the one of the latest day. With the schemas of publish.
create table if not exists marketing_internal.product_movement_rows (
    as_of_date date not null,
    product_id text not null,
    units_per_week numeric(14, 3) not null,
    trend real,
    season_units_per_week numeric(14, 3),
    stock_on_hand integer,
    days_of_stock_left integer,
    movement text not null check (movement in ('fast', 'steady', 'slow', 'dead')),
    action text not null check (action in ('restock', 'hold', 'promote', 'clear')),
    primary key (as_of_date, product_id)
);

create or replace view marketing.product_movement as
select
    product_id,
    as_of_date,
    units_per_week,
    trend,
    season_units_per_week,
    stock_on_hand,
    days_of_stock_left,
    movement,
    action
from marketing_internal.product_movement_rows
where as_of_date = (select max(m.as_of_date) from marketing_internal.product_movement_rows as m);
