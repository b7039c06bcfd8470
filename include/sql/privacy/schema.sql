-- Whom the pipeline was asked to forget, without saying who: ids are kept as salted hashes only.
create schema if not exists privacy;

create table if not exists privacy.salt (
    is_only_row boolean primary key default true check (is_only_row),
    salt text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')
);
insert into privacy.salt default values on conflict do nothing;
comment on table privacy.salt is 'What ids are hashed with. It stays, or nobody who was erased is recognised any more';

create table if not exists privacy.requests (
    customer_id text primary key,
    requested_at timestamptz not null default now()
);
comment on table privacy.requests is
'Who is to be erased: the next run of erase_customers takes them, and their rows go when it is done';

create table if not exists privacy.erasures (
    erasure_id bigint generated always as identity primary key,
    id_hash text not null,
    run_id text,
    begun_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    removed jsonb,
    scanned jsonb
);
create index if not exists erasures_by_id on privacy.erasures (id_hash);
comment on table privacy.erasures is 'Who was erased, a row per person and request';
comment on column privacy.erasures.id_hash is 'sha256 of the salt and the customer_id, in hexadecimal digits';
comment on column privacy.erasures.run_id is 'The run of the DAG; null outside Airflow';
comment on column privacy.erasures.finished_at is 'When the scan found nothing more; null: not done, run it again';
comment on column privacy.erasures.removed is 'How many rows or mentions were removed where, of all persons of the run';
comment on column privacy.erasures.scanned is
'The proof: what the scan went through afterwards, and how many mentions it found; tombstones are those of the feed';

create table if not exists privacy.unfinished (
    customer_id text not null,
    column_name text not null,
    key text not null,
    primary key (column_name, key, customer_id)
);
comment on table privacy.unfinished is
'Keys of orders, events and tickets of persons who are being erased, for a run that goes on where one was killed';

create table if not exists privacy.kept_out (
    entity text not null check (entity in ('customers', 'orders')),
    id_hash text not null,
    since timestamptz not null default now(),
    primary key (entity, id_hash)
);
comment on table privacy.kept_out is
'What the raw gate lets in no more: persons who were erased, and their orders. To delete a row is to let in again';
