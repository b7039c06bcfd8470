-- On which days the models were to be trained before their time, why, and what spoke against it.
create table if not exists ops.retrains (
    as_of_date date primary key,
    is_asked boolean not null,
    reasons text[] not null,
    held_back text
);

comment on table ops.retrains is 'Whether a day has asked for a training of the models';
comment on column ops.retrains.reasons is 'What performance and drift said that calls for one; none: all is well';
comment on column ops.retrains.held_back is 'Why none was asked for in spite of them';
