-- No single customer is in it: both roles may read it.
do $$
begin
    if exists (select from pg_roles where rolname = 'crm_reader') then
        grant select on marketing.product_movement to crm_reader;
    end if;
    if exists (select from pg_roles where rolname = 'dashboard_reader') then
        grant select on marketing.product_movement to dashboard_reader;
    end if;
end
$$;
