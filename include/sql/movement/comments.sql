-- What the columns mean: docs/output-contract.md is made from these (`make docs`).
comment on view marketing.product_movement is
'one row per product: how it sells, and what is to be done about it, as of the latest day that was classified';
comment on column marketing.product_movement.product_id is 'key; unique';
comment on column marketing.product_movement.as_of_date is
'everything known before this day 00:00 UTC went in, nothing after';
comment on column marketing.product_movement.units_per_week is
'pieces sold and kept in a week: mean of the last 13 weeks, or of those since it is on sale';
comment on column marketing.product_movement.trend is
'how much that changes from week to week, as a share of it (0.05: 5 % more each week): Theil and Sen''s slope; null:
on sale for too short, or not sold';
comment on column marketing.product_movement.season_units_per_week is
'the same for the coming 13 weeks of the year before; null: the shop is not that old';
comment on column marketing.product_movement.stock_on_hand is 'as the shop last told; null: it does not';
comment on column marketing.product_movement.days_of_stock_left is
'at units_per_week; null: the stock is not known, or nothing is sold';
comment on column marketing.product_movement.movement is
'fast: the best sellers, that bring half of all pieces; slow: the last, that bring a twentieth, and what is new and not
sold yet; steady: between; dead: nothing sold for 13 weeks, though on sale for longer';
comment on column marketing.product_movement.action is
'restock, hold, promote, clear; without a known stock neither restock nor clear';
