-- What became of the scores, day by day: beside what training had promised of the version that made them.
create table if not exists ops.performance (
    as_of_date date not null,
    model text not null,
    version text not null,
    metric text not null,
    promised double precision,
    promised_low double precision,
    promised_high double precision,
    realised double precision,
    realised_low double precision,
    realised_high double precision,
    computed_on date not null,
    primary key (as_of_date, model, metric)
);
create index if not exists performance_computed_on on ops.performance (computed_on);

comment on table ops.performance is 'What the scores of a day were worth once their horizon had passed';
comment on column ops.performance.as_of_date is 'The day that was scored';
comment on column ops.performance.promised is 'What the training of the version had measured; null: nothing';
comment on column ops.performance.promised_low is 'promised_low to promised_high: 95% interval';
comment on column ops.performance.realised is 'The same measure of what happened; null: not defined for these rows';
comment on column ops.performance.computed_on is 'The day that looked back: the horizon''s end, or the next run';
