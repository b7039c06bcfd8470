-- Which parts of the feed are to go: old ones that no kept snapshot needs to be brought up to date.
select p.publication_id
from marketing_internal.publications as p
left join pg_inherits as i
    on i.inhrelid = to_regclass('marketing_internal.change_rows_' || p.publication_id)
where
    to_regclass('marketing_internal.change_rows_' || p.publication_id) is not null
    and p.published_at < :published_before
    and p.last_change_id <= (
        select min(s.last_change_id)
        from marketing.snapshots as s
        where s.is_kept
    )
order by coalesce(i.inhdetachpending, false) desc, p.publication_id;
