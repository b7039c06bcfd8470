-- What publishing needs in the marketing database. Every statement may be run again; it runs before each publication.
-- Schema `marketing` is the output contract and holds nothing else; what no client reads lies in `marketing_internal`.
create schema if not exists marketing;
create schema if not exists marketing_internal;

create table if not exists marketing.snapshots (
    snapshot_id bigint generated always as identity primary key,
    as_of_date date not null,
    status text not null check (status in ('building', 'published', 'superseded', 'rejected')),
    row_count bigint,
    model_versions jsonb,
    validation jsonb,
    dag_run_id text,
    created_at timestamptz not null default now(),
    published_at timestamptz,
    is_kept boolean not null default true,
    last_change_id bigint
);

alter table marketing.snapshots add column if not exists is_kept boolean not null default true;
alter table marketing.snapshots add column if not exists last_change_id bigint;

-- At most one published snapshot per day: publishing a day again supersedes the one before.
create unique index if not exists snapshots_published_day
on marketing.snapshots (as_of_date) where status = 'published';

-- One partition per snapshot, attached only when it is complete.
create table if not exists marketing_internal.segment_rows (
    customer_id text not null,
    as_of_date date not null,
    segment_id integer not null,
    segment_name text not null,
    lifecycle_stage text not null,
    value_tier text not null,
    expected_spend_90d numeric(14, 2),
    purchase_probability_30d real,
    churn_probability_90d real,
    churn_risk text,
    new_customer_potential text,
    interest_group text,
    preferred_channel text,
    content_preference text,
    service_risk text,
    strategy_id text,
    offer text,
    contact_channel text,
    in_holdout boolean,
    recommended_products text[],
    reasons text[],
    snapshot_id bigint not null,
    model_versions jsonb not null,
    scored_at timestamptz not null,
    high_value_probability_90d real,
    strategy_basis text
) partition by list (snapshot_id);

-- Columns that came later; asked first, because altering locks readers out even where there is nothing to do.
do $$
begin
    if not exists (
        select from pg_attribute
        where attrelid = 'marketing_internal.segment_rows'::regclass and attname = 'high_value_probability_90d'
    ) then
        alter table marketing_internal.segment_rows add column high_value_probability_90d real;
    end if;
    if not exists (
        select from pg_attribute
        where attrelid = 'marketing_internal.segment_rows'::regclass and attname = 'strategy_basis'
    ) then
        alter table marketing_internal.segment_rows add column strategy_basis text;
    end if;
end
$$;

-- The one row that readers follow: moving it is the whole act of publication.
create table if not exists marketing_internal.current_snapshot (
    is_only_row boolean primary key default true check (is_only_row),
    snapshot_id bigint not null
);

-- Every move of that row, and which part of the feed tells of it.
create table if not exists marketing_internal.publications (
    publication_id bigint generated always as identity primary key,
    kind text not null check (kind in ('publish', 'roll back', 'erase')),
    snapshot_id bigint not null,
    former_snapshot_id bigint,
    as_of_date date not null,
    first_change_id bigint,
    last_change_id bigint not null,
    published_at timestamptz not null default clock_timestamp()
);

-- One partition per publication that changed something, attached in the transaction that moves the row.
create table if not exists marketing_internal.change_rows (
    change_id bigint not null,
    customer_id text not null,
    change text not null check (change in ('entered', 'moved', 'updated', 'left', 'erased')),
    from_segment_id integer,
    to_segment_id integer,
    from_strategy_id text,
    to_strategy_id text,
    as_of_date date not null,
    snapshot_id bigint not null,
    primary key (change_id)
) partition by range (change_id);

create table if not exists marketing.segment_history (
    customer_id text not null,
    segment_id integer not null,
    segment_name text not null,
    value_tier text not null,
    strategy_id text,
    valid_from date not null,
    valid_to date,
    primary key (customer_id, valid_from)
) with (fillfactor = 90);

create table if not exists marketing.segment_profiles (
    snapshot_id bigint not null,
    segment_id integer not null,
    segment_name text not null,
    customers bigint,
    share real,
    average_expected_spend_90d numeric(14, 2),
    average_purchase_probability_30d real,
    average_churn_probability_90d real,
    sets_apart jsonb,
    came_from jsonb,
    primary key (snapshot_id, segment_id)
);

-- What the Segments page shows beside the profiles; see page_counts.py.
create table if not exists marketing_internal.page_counts (
    snapshot_id bigint not null,
    kind text not null check (kind in ('churn_by_value', 'strategy', 'moves')),
    line text,
    place text,
    about text,
    customers bigint,
    unique nulls not distinct (snapshot_id, kind, line, place)
);

create or replace view marketing.customer_segments as
select
    customer_id,
    as_of_date,
    segment_id,
    segment_name,
    lifecycle_stage,
    value_tier,
    expected_spend_90d,
    purchase_probability_30d,
    churn_probability_90d,
    churn_risk,
    new_customer_potential,
    interest_group,
    preferred_channel,
    content_preference,
    service_risk,
    strategy_id,
    offer,
    contact_channel,
    in_holdout,
    recommended_products,
    reasons,
    snapshot_id,
    model_versions,
    scored_at,
    high_value_probability_90d,
    strategy_basis
from marketing_internal.segment_rows
where snapshot_id = (select c.snapshot_id from marketing_internal.current_snapshot as c);

create or replace view marketing.segment_changes as
select
    change_id,
    customer_id,
    change,
    from_segment_id,
    to_segment_id,
    from_strategy_id,
    to_strategy_id,
    as_of_date,
    snapshot_id
from marketing_internal.change_rows;

create or replace function marketing.customer_segments_at(day date)
returns setof marketing.customer_segments
language sql stable security definer
set search_path = pg_catalog
as $$
    select r.*
    from marketing_internal.segment_rows as r
    where r.snapshot_id = (
        select s.snapshot_id from marketing.snapshots as s
        where s.as_of_date = customer_segments_at.day and s.status = 'published'
    )
$$;
