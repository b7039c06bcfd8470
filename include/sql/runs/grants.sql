-- Dashboards may show how the runs went: no row names a customer.
grant usage on schema ops to dashboard_reader;
grant select on ops.runs, ops.alerts to dashboard_reader
