-- Who was scored, but does not consent now, or is gone.
with consenting as (
    select customer_id
    from raw.customers_now
    where profiling_consent
)

select s.customer_id
from score.customer_daily as s
anti join consenting as c on s.customer_id = c.customer_id;
