-- row_id of the refused rows that are a person's: by the fields of their table, or of a file's line by those that
-- are named like a customer's or an order's; a line that did not fit its columns by any field.
select q.row_id
from quarantine.rows as q
where
    exists (
        select
        from
            jsonb_each_text(case jsonb_typeof(q.row) when 'object' then q.row else '{}' end) as f (field, content)
        where
            (q.table_name is not null and f.field = 'customer_id' and f.content = any(:customers))
            or (
                q.table_name is not null
                and q.row ->> 'customer_id' is null
                and (
                    (f.field = 'order_id' and f.content = any(:orders))
                    or (f.field = 'event_id' and f.content = any(:events))
                    or (f.field = 'ticket_id' and f.content = any(:tickets))
                )
            )
            or (q.table_name is null and f.field ilike '%customer%' and f.content = any(:customers))
            or (
                q.table_name is null
                and (f.field ilike '%order%' or f.field ilike '%invoice%')
                and f.content = any(:orders)
            )
    )
    or exists (
        select
        from
            jsonb_array_elements_text(case jsonb_typeof(q.row) when 'array' then q.row else '[]' end) as f (content)
        where f.content = any(:customers) or f.content = any(:orders)
    )
order by q.row_id
