-- What customers do on the site and in the app: optional.
select
    event_id,
    customer_id,
    occurred_at,
    event_type,
    channel,
    session_id,
    product_id,
    dwell_seconds,
    updated_at
from shop.events
