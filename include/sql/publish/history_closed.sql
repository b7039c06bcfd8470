-- segment_history: what is no longer so ends on :day.
update marketing.segment_history as h
set valid_to = :day
from history_changed as c
where h.customer_id = c.customer_id and h.valid_to is null;
