-- When the history begins, as far as the day knows.
select min(ordered_at) as ordered_at
from raw.orders;
