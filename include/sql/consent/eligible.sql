-- How many have features and consent now: so many rows has a snapshot.
with consenting as (
    select customer_id
    from raw.customers_now
    where profiling_consent
)

select count(*) as customers
from feat.customer_daily as f
semi join consenting as c on f.customer_id = c.customer_id;
