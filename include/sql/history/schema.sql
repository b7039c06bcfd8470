-- What the pipeline keeps of its own doings, beside the marketing tables. Every statement may be run again.
create schema if not exists ops;

create table if not exists ops.acceptances (
    batch bigint generated always as identity primary key,
    day date not null,
    accepted_at timestamptz not null default now()
);
create index if not exists acceptances_day on ops.acceptances (day);
comment on table ops.acceptances is 'Days that passed the gate: each knows every batch up to its own.';

create table if not exists ops.batch_rows (
    batch bigint not null,
    entity text not null,
    row_count bigint not null,
    primary key (batch, entity)
);
comment on table ops.batch_rows is 'How many rows each batch brought of each entity, the refused ones included.';

create table if not exists ops.versions (
    entity text not null,
    first_batch bigint not null,
    last_batch bigint not null,
    path text not null primary key,
    row_count bigint not null,
    retired_at timestamptz
);
-- Of aggregates: what made the file, so that it is made anew when its statement changes
alter table ops.versions add column if not exists definition text;
comment on table ops.versions is 'The files of each entity''s history; retired ones wait for their last readers.';

create table if not exists ops.watermarks (
    entity text primary key,
    watermark timestamptz not null,
    batch bigint not null
);
comment on table ops.watermarks is 'How far each entity has been read: rows updated before it are in the history.';
