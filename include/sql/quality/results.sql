-- What every rule of every gate found, attempt by attempt: a red rule's history is one query away.
create schema if not exists quality;

create table if not exists quality.results (
    result_id bigint generated always as identity primary key,
    run_id text,
    day date not null,
    table_name text not null,
    rule text not null,
    scope text not null check (scope in ('rows', 'table', 'cleaning')),
    severity text not null check (severity in ('quarantine', 'stop', 'warn', 'mend')),
    is_met boolean not null,
    row_count bigint not null,
    broken_count bigint not null,
    value double precision,
    examples text[] not null,
    remark text,
    checked_at timestamptz not null default now()
);

create index if not exists results_by_table on quality.results (table_name, day, rule);
create index if not exists results_by_day on quality.results (day, table_name);

comment on table quality.results is 'What every rule found, one row an attempt: for trends, and for the Data Docs';
comment on column quality.results.run_id is 'The run of the DAG; null outside Airflow';
comment on column quality.results.scope is
'rows: looks at each row; table: at the whole; cleaning: what was filled in, capped or dropped beforehand';
comment on column quality.results.severity is 'What follows if it is broken; mend: rows were changed by cleaning';
comment on column quality.results.row_count is 'Rows that were looked at';
comment on column quality.results.broken_count is 'Rows that break the rule, or that cleaning has changed';
comment on column quality.results.value is 'What a rule of the whole table has measured; null: it could not be';
comment on column quality.results.examples is 'Keys of three rows that it is about';
