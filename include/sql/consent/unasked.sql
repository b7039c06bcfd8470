-- Whose contact channel is one that the customer does not consent to now.
select s.customer_id
from score.customer_daily as s
left join raw.customers_now as n on s.customer_id = n.customer_id
where
    s.contact_channel is not null
    and not coalesce(
        case s.contact_channel
            when 'email' then n.email_consent
            when 'sms' then n.sms_consent
            when 'push' then n.push_consent
        end,
        false
    );
