-- The scores of a day with the strategy of each customer; of a channel that the customer has withdrawn the consent to
-- since, there is no word.
with
scores as (
    select * exclude (strategy_id, offer, contact_channel, in_holdout) from score.customer_daily
)

select
    s.*,
    t.strategy_id,
    t.offer,
    case t.contact_channel
        when 'email' then case when n.email_consent then 'email' end
        when 'sms' then case when n.sms_consent then 'sms' end
        when 'push' then case when n.push_consent then 'push' end
    end as contact_channel,
    t.in_holdout
from scores as s
left join score.strategy_daily as t on s.customer_id = t.customer_id
left join raw.customers_now as n on s.customer_id = n.customer_id;
