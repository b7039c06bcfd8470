-- feat.training_examples: the features of a past :cutoff beside what the customer did after it.
-- A label is null until its whole horizon lies before :as_of, the day of training.
with
outcomes as (
    select
        customer_id,
        count(*) filter (where ordered_at < :cutoff + interval 30 day) as orders_next_30d,
        count(*) filter (where ordered_at < :cutoff + interval 90 day) as orders_next_90d
    from raw.orders
    where
        ordered_at >= :cutoff
        and ordered_at < :as_of
        and not (status = 'cancelled' and updated_at < :as_of)
    group by customer_id
)

select
    f.*,
    case
        when :cutoff + interval 30 day <= :as_of then coalesce(o.orders_next_30d, 0) > 0
    end as is_purchase_30d,
    case
        when :cutoff + interval 90 day <= :as_of and f.orders_count > 0 then coalesce(o.orders_next_90d, 0) = 0
    end as is_churn_90d
from feat.customer_daily as f
left join outcomes as o on f.customer_id = o.customer_id
order by f.customer_id;
