-- Of everyone who consents to profiling now: which channels may be used, when the customer was contacted, and the days
-- until the day of the year on which the customer signed up (0: today).
-- Held-out draws count as contacts: or those who are left alone would soon be others than those who are contacted.
with
contacts as (
    select
        c.customer_id,
        date_diff('day', cast(c.contacted_at as date), :as_of) as age_days,
        case when c.unsubscribed_at < :as_of then date_diff('day', cast(c.unsubscribed_at as date), :as_of) end
            as unsubscribed_age_days,
        -- of a campaign that nobody knows the channel of, the customer has left every channel
        coalesce(lower(k.channel), 'every') as channel
    from raw.campaign_contacts as c
    left join raw.campaigns as k on c.campaign_id = k.campaign_id
    where c.contacted_at < :as_of
),

answers as (
    select
        customer_id,
        list_sort(list(age_days) filter (where age_days <= :most_days)) as contact_ages,
        min(unsubscribed_age_days) as unsubscribed_age_days,
        bool_or(unsubscribed_age_days is not null and channel in ('email', 'every')) as is_off_email,
        bool_or(unsubscribed_age_days is not null and channel in ('sms', 'every')) as is_off_sms,
        bool_or(unsubscribed_age_days is not null and channel in ('push', 'every')) as is_off_push
    from contacts
    group by customer_id
),

signed as (
    select
        customer_id,
        email_consent,
        sms_consent,
        push_consent,
        cast(signed_up_at as date) as signed_on,
        date_diff('year', cast(signed_up_at as date), :as_of) as years
    from raw.customers_now
    where profiling_consent
)

select
    s.customer_id,
    s.email_consent and not coalesce(a.is_off_email, false) as may_email,
    s.sms_consent and not coalesce(a.is_off_sms, false) as may_sms,
    s.push_consent and not coalesce(a.is_off_push, false) as may_push,
    a.contact_ages,
    a.unsubscribed_age_days,
    date_diff(
        'day',
        :as_of,
        case
            when s.years > 0 and cast(s.signed_on + to_years(s.years) as date) >= :as_of
                then cast(s.signed_on + to_years(s.years) as date)
            else cast(s.signed_on + to_years(s.years + 1) as date)
        end
    ) as anniversary_in_days
from signed as s
left join answers as a on s.customer_id = a.customer_id;
