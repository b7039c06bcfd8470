-- Who may read what. An administrator makes the roles, when he likes (see docs/contract.md); they own nothing.
-- crm_reader: the whole contract. dashboard_reader: no single customer.
revoke execute on function marketing.customer_segments_at(date) from public;

do $$
begin
    if exists (select from pg_roles where rolname = 'crm_reader') then
        grant usage on schema marketing to crm_reader;
        grant select on marketing.customer_segments, marketing.snapshots, marketing.segment_changes,
        marketing.segment_history, marketing.segment_profiles to crm_reader;
        grant execute on function marketing.customer_segments_at(date) to crm_reader;
    end if;
    if exists (select from pg_roles where rolname = 'dashboard_reader') then
        grant usage on schema marketing to dashboard_reader;
        grant select on marketing.snapshots, marketing.segment_profiles to dashboard_reader;
    end if;
end
$$;
