-- What customers agreed to once, in some version of theirs, and do not agree to now: a channel, or null for profiling.
-- Who is gone agrees to nothing.
with once as (
    select
        customer_id,
        bool_or(profiling_consent) as to_profiling,
        bool_or(email_consent) as to_email,
        bool_or(sms_consent) as to_sms,
        bool_or(push_consent) as to_push
    from raw.customers_versions
    group by customer_id
),

compared as (
    select
        o.*,
        n.profiling_consent,
        n.email_consent,
        n.sms_consent,
        n.push_consent
    from once as o
    left join raw.customers_now as n on o.customer_id = n.customer_id
)

select
    customer_id,
    cast(null as varchar) as channel
from compared
where to_profiling and not coalesce(profiling_consent, false)
union all
select
    customer_id,
    'email' as channel
from compared
where to_email and not coalesce(email_consent, false)
union all
select
    customer_id,
    'sms' as channel
from compared
where to_sms and not coalesce(sms_consent, false)
union all
select
    customer_id,
    'push' as channel
from compared
where to_push and not coalesce(push_consent, false);
