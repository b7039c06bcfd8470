-- The scores of a day with each customer's strategy and recommendations; of a channel that the customer has withdrawn
-- the consent to since, there is no word.
with
scores as (
    select * exclude (strategy_id, offer, contact_channel, in_holdout, recommended_products, strategy_basis)
    from score.customer_daily
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
    t.in_holdout,
    t.basis as strategy_basis,
    r.recommended_products
from scores as s
left join score.strategy_daily as t on s.customer_id = t.customer_id
left join score.recommendations_daily as r on s.customer_id = r.customer_id
left join raw.customers_now as n on s.customer_id = n.customer_id;
