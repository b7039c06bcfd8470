-- Which bytes each training has registered as a model, kept apart from MLflow and the lake: only these are read.
create table if not exists ops.model_digests (
    run_id text not null,
    model text not null,
    version text not null,
    sha256 text not null,
    is_adopted boolean not null default false,
    noted_at timestamptz not null default now(),
    primary key (run_id, model, version)
);

comment on table ops.model_digests is 'What training registered as each model version: only that is read';
comment on column ops.model_digests.sha256 is 'Of what is read of the artifact: the files MLmodel and model.skops';
comment on column ops.model_digests.is_adopted is 'Registered before this table was there, and taken as it lay then';
