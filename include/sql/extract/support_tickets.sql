-- Complaints, returns, refunds and questions: optional.
select
    ticket_id,
    customer_id,
    opened_at,
    category,
    resolved_at,
    satisfaction,
    updated_at
from shop.support_tickets
