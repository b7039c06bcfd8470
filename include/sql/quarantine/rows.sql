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
    quarantined_at timestamptz not null default now()
);

create index if not exists rows_by_source on quarantine.rows (source, reason);

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
