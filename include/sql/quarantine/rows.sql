-- Every row that was refused on its way in, with all the reasons: nothing is lost, nothing is mended in silence.
create schema if not exists quarantine;

create table if not exists quarantine.rows (
    row_id bigint generated always as identity primary key,
    source text not null,
    table_name text,
    line_no bigint,
    reason text not null,
    reasons text[] not null,
    row jsonb not null,
    note text,
    quarantined_at timestamptz not null default now(),
    day date,
    run_id text,
    copy_no integer,
    released_at timestamptz,
    released_batch bigint
);

-- A table of an older release. Even an ALTER that changes nothing would make readers wait.
do $$
begin
    if to_regclass('quarantine.rows_refused_once') is null then
        alter table quarantine.rows add column if not exists day date;
        alter table quarantine.rows add column if not exists run_id text;
        alter table quarantine.rows add column if not exists copy_no integer;
        alter table quarantine.rows add column if not exists released_at timestamptz;
        alter table quarantine.rows add column if not exists released_batch bigint;
    end if;
end
$$;

create index if not exists rows_by_source on quarantine.rows (source, reason);

-- A row that is read again, as those just behind the watermark are every day, is refused once.
create unique index if not exists rows_refused_once
on quarantine.rows (table_name, md5(row::text), reason, copy_no) where copy_no is not null;

-- What may come back: see quarantine.waiting.
create index if not exists rows_waiting
on quarantine.rows (table_name, day) where released_at is null and reason like 'orphan: %';

comment on table quarantine.rows is 'Rows that were refused on their way in, one row each';
comment on column quarantine.rows.source is 'Where it came from: the name of the file, or of the gate that refused it';
comment on column quarantine.rows.table_name is 'The table it was refused from; null for a line of a file';
comment on column quarantine.rows.line_no is 'Line of the file where the row begins: the first line, the header, is 1';
comment on column quarantine.rows.reason is 'The foremost reason';
comment on column quarantine.rows.reasons is 'All reasons that apply, the foremost first';
comment on column quarantine.rows.row is
'The fields as read, by column name; an array where their number did not fit the columns';
comment on column quarantine.rows.note is 'What else there is to say, such as the order line a cancellation reversed';
comment on column quarantine.rows.quarantined_at is 'When it was refused';
comment on column quarantine.rows.day is 'The day whose run refused it; null for a line of a file';
comment on column quarantine.rows.run_id is 'The run of the DAG that refused it; null outside Airflow';
comment on column quarantine.rows.copy_no is 'Of several rows that are the same to the letter, which; null for a file';
comment on column quarantine.rows.released_at is 'When it was taken back, because what it refers to has come';
comment on column quarantine.rows.released_batch is 'The batch that it was taken back with';
