-- How far each day's customers and scores are from those that the models have learnt from, column by column.
create table if not exists ops.drift (
    as_of_date date not null,
    kind text not null check (kind in ('feature', 'score')),
    column_name text not null,
    reference_date date not null,
    psi double precision not null,
    threshold double precision not null,
    is_drifted boolean not null,
    primary key (as_of_date, kind, column_name)
);

comment on table ops.drift is 'How far the features and scores of a day are from those of a reference day';
comment on column ops.drift.reference_date is
'feature: the training day of the newest model that scored; score: the first day that the version scored';
comment on column ops.drift.psi is 'Population stability index: below 0.1 nothing has changed';
comment on column ops.drift.threshold is 'The index from which it is more than chance, and enough to matter';
