-- Classifications that are older than :keep_days before the latest go, but not the one just written.
delete from marketing_internal.product_movement_rows
where
    as_of_date < (select max(m.as_of_date) from marketing_internal.product_movement_rows as m) - :keep_days
    and as_of_date <> :day;
