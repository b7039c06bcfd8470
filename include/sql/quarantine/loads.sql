-- What the practice shop was last filled with; the same file again is recognised by its sha256.
create schema if not exists quarantine;

create table if not exists quarantine.loads (
    source text primary key,
    sha256 text not null,
    lines bigint not null,
    order_items bigint not null,
    orders bigint not null,
    customers bigint not null,
    returns_applied bigint not null,
    day date not null,
    quarantined json not null,
    all_reasons json not null,
    loaded_at timestamptz not null default now()
);

comment on table quarantine.loads is 'What schema shop was last filled with: lines = order_items + quarantined';
comment on column quarantine.loads.source is 'The name of the file, or ''generated shop''';
comment on column quarantine.loads.sha256 is 'Of the file as it lies, or of what the generated shop was made from';
comment on column quarantine.loads.lines is 'Lines of the file, the header not counted';
comment on column quarantine.loads.returns_applied is 'Cancelled lines that an earlier order took, whole or in part';
comment on column quarantine.loads.day is 'The day after the last order, UTC: the first day that knows them all';
comment on column quarantine.loads.quarantined is 'Refused lines by their foremost reason, in the order of reasons';
comment on column quarantine.loads.all_reasons is 'Refused lines by every reason that applies';
comment on column quarantine.loads.loaded_at is 'When the load was written';
