-- feat.training_examples: the features of a past :cutoff beside what the customer did after it.
-- A label is null until its whole horizon lies before :as_of, the day of training.
with
outcomes as (
    select
        customer_id,
        sum(case when ordered_on < cast(:cutoff + interval 30 day as date) then orders else 0 end) as orders_next_30d,
        sum(case when ordered_on < cast(:cutoff + interval 90 day as date) then orders else 0 end) as orders_next_90d
    from agg.order_days
    where ordered_on >= :cutoff
    group by customer_id
)

select
    f.*,
    case
        when cast(:cutoff + interval 30 day as date) <= :as_of then coalesce(o.orders_next_30d, 0) > 0
    end as is_purchase_30d,
    case
        when cast(:cutoff + interval 90 day as date) <= :as_of and f.orders_count > 0
            then coalesce(o.orders_next_90d, 0) = 0
    end as is_churn_90d
from feat.customer_daily as f
left join outcomes as o on f.customer_id = o.customer_id
order by f.customer_id;
