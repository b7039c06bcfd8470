-- Every try of every task: how long it took, how many rows, how it ended. No row of it names a customer.
create table if not exists ops.runs (
    dag_id text not null,
    run_id text not null,
    task_id text not null,
    map_index integer not null,
    try_number integer not null,
    day date,
    stage text not null,
    started_at timestamptz,
    finished_at timestamptz not null,
    seconds double precision generated always as (
        extract(epoch from finished_at at time zone 'UTC' - started_at at time zone 'UTC')::double precision
    ) stored,
    rows_in bigint,
    rows_out bigint,
    peak_memory_mib integer,
    state text not null,
    cause text,
    primary key (dag_id, run_id, task_id, map_index, try_number)
);
create index if not exists runs_finished on ops.runs (finished_at);

comment on table ops.runs is 'Every try of every task of the pipeline, written when it ends';
comment on column ops.runs.day is 'The run''s logical date; null where a run has none';
comment on column ops.runs.stage is 'The task, and of which entity or model where there is one task for each';
comment on column ops.runs.started_at is 'Null where the process was killed before it told';
comment on column ops.runs.rows_in is 'Rows that it looked at, where it says so';
comment on column ops.runs.rows_out is 'Rows that it wrote or let pass, where it says so';
comment on column ops.runs.peak_memory_mib is 'The process''s peak; null where it was killed';
comment on column ops.runs.state is 'success, skipped, failed, or up_for_retry';
comment on column ops.runs.cause is 'Why it failed, in words that name no row';

create table if not exists ops.alerts (
    dag_id text not null,
    run_id text not null,
    task_id text not null,
    try_number integer not null,
    kind text not null,
    day date,
    told_at timestamptz not null default now(),
    cause text not null,
    is_delivered boolean,
    primary key (dag_id, run_id, task_id, try_number, kind)
);

alter table ops.alerts add column if not exists is_delivered boolean;

comment on table ops.alerts is 'What somebody was told of, once each: not once for every entity or model that fails';
comment on column ops.alerts.is_delivered is 'Whether it went any way; if not, the next part that fails tries again';
