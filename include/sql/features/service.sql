-- What the customer needs help with, and how that goes.
with
tickets as (
    select
        customer_id,
        category,
        date_diff('day', cast(opened_at as date), :as_of) as age_days,
        -- what is dated or was written down later was not known yet
        case
            when resolved_at < :as_of
                then date_diff('second', date_trunc('second', opened_at), date_trunc('second', resolved_at))
        end as seconds_to_resolve,
        case when updated_at < :as_of then satisfaction end as satisfaction
    from raw.support_tickets
    where opened_at < :as_of
),

sums as (
    select
        customer_id,
        min(age_days) as last_age,
        min(case when category = 'complaint' then age_days end) as complaint_age,
        count(*) filter (where age_days <= 90) as tickets_90d,
        count(*) filter (where age_days <= 365) as tickets_365d,
        count(*) filter (where age_days <= 90 and category = 'complaint') as complaints_90d,
        count(*) filter (where age_days <= 365 and category = 'complaint') as complaints_365d,
        count(*) filter (where age_days <= 365 and category in ('return', 'refund')) as returns_365d,
        count(*) filter (where seconds_to_resolve is null) as open_tickets,
        cast(sum(case when age_days <= 365 then satisfaction end) as double) as satisfaction,
        count(case when age_days <= 365 then satisfaction end) as answers,
        cast(sum(case when age_days <= 365 then seconds_to_resolve end) as double) as seconds_to_resolve,
        count(case when age_days <= 365 then seconds_to_resolve end) as resolved
    from tickets
    group by customer_id
)

select
    p.customer_id,
    -- Support tickets. [tickets; 90 days]
    coalesce(s.tickets_90d, 0) as tickets_90d,
    -- Support tickets. [tickets; 365 days]
    coalesce(s.tickets_365d, 0) as tickets_365d,
    -- Complaints. [tickets; 90 days]
    coalesce(s.complaints_90d, 0) as complaints_90d,
    -- Complaints. [tickets; 365 days]
    coalesce(s.complaints_365d, 0) as complaints_365d,
    -- Returns and refunds asked for. [tickets; 365 days]
    coalesce(s.returns_365d, 0) as return_tickets_365d,
    -- Tickets that are not resolved. [tickets; now]
    coalesce(s.open_tickets, 0) as open_tickets_count,
    -- Days since the last ticket. [days; ever; null: none]
    s.last_age as last_ticket_age_days,
    -- Days since the last complaint. [days; ever; null: none]
    s.complaint_age as last_complaint_age_days,
    -- Mean satisfaction with the help, 1 (bad) to 5 (good). [1 to 5; 365 days; null: not asked, or no answer]
    s.satisfaction / nullif(s.answers, 0) as satisfaction_mean,
    -- Mean time until a ticket was resolved. [hours; 365 days; null: none was]
    s.seconds_to_resolve / 3600 / nullif(s.resolved, 0) as resolution_mean_hours
from feat.population as p
left join sums as s on p.customer_id = s.customer_id
