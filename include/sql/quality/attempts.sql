-- The latest attempt at each table of each day since :since: what the index pages of the Data Docs show, and the
-- Segments page. newest_age_days: by how many days its newest row was behind, where a rule asks.
with latest as (
    select
        day,
        table_name,
        max(checked_at) as checked_at
    from quality.results
    where day >= :since
    group by day, table_name
)

select
    l.day,
    l.table_name,
    l.checked_at,
    max(r.run_id) as run_id,
    max(r.row_count) as row_count,
    count(*) as rules,
    coalesce(sum(r.broken_count) filter (where r.rule = 'too many rows are quarantined'), 0)::bigint as quarantined,
    coalesce(array_agg(r.rule order by r.result_id) filter (where not r.is_met and r.severity = 'stop'), '{}') as stops,
    coalesce(array_agg(r.rule order by r.result_id) filter (where not r.is_met and r.severity = 'warn'), '{}')
        as warnings,
    max(r.value) filter (where r.rule = 'the newest row is too old') as newest_age_days
from latest as l
inner join quality.results as r
    on l.day = r.day and l.table_name = r.table_name and l.checked_at = r.checked_at
group by l.day, l.table_name, l.checked_at
order by l.day desc, min(r.result_id)
