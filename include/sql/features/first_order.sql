-- When the history begins, as far as the day knows.
select min(ordered_on) as ordered_on
from agg.order_days;
