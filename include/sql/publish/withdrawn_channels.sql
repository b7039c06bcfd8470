-- marketing_internal.segment_rows: no channel whose consent was withdrawn, but for the current snapshot.
update marketing_internal.segment_rows as r
set contact_channel = null
from withdrawals as w
where
    r.customer_id = w.customer_id
    and r.contact_channel = w.channel
    and r.snapshot_id <> (select c.snapshot_id from marketing_internal.current_snapshot as c);
