-- Who may read the results: no single customer is in them.
do $$
declare
    reader text;
begin
    for reader in select rolname from pg_roles where rolname in ('crm_reader', 'dashboard_reader') loop
        execute format('grant usage on schema marketing to %I', reader);
        execute format('grant select on marketing.campaign_results to %I', reader);
    end loop;
end
$$;
