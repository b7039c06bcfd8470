-- The shop's customers, as the source contract (docs/contract.md) has them. A shop with other tables edits this SELECT
-- until it returns these columns. The pipeline adds its own conditions on updated_at around it.
select
    customer_id,
    signed_up_at,
    birth_year,
    gender,
    income_band,
    city,
    country,
    acquisition_channel,
    email_consent,
    sms_consent,
    push_consent,
    profiling_consent,
    updated_at
from shop.customers
