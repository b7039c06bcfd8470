-- What evaluating campaigns needs in the marketing database. Every statement may be run again.
-- The rows of each day lie in schema `evaluation`; the contract shows the latest day of each campaign.
create schema if not exists marketing;
create schema if not exists evaluation;

create table if not exists evaluation.campaign_results (
    campaign_id text not null,
    campaign_name text not null,
    strategy_id text,
    channel text,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    status text not null check (status in ('running', 'closed', 'final')),
    design text not null check (design in ('randomised', 'observational', 'before_after')),
    arm text not null,
    metric text not null check (metric in ('conversion', 'revenue', 'margin', 'satisfaction', 'unsubscribe')),
    segment_id integer,
    segment_name text,
    treatment_customers bigint,
    control_customers bigint,
    treatment_mean double precision,
    control_mean double precision,
    difference double precision,
    difference_low double precision,
    difference_high double precision,
    p_value double precision,
    relative_lift double precision,
    adjusted_difference double precision,
    adjusted_low double precision,
    adjusted_high double precision,
    adjusted_p_value double precision,
    variance_reduction double precision,
    corrected_p_value double precision,
    minimum_detectable double precision,
    cost numeric(14, 2),
    roi double precision,
    roi_low double precision,
    roi_high double precision,
    is_trusted boolean not null,
    note text,
    checks jsonb not null,
    as_of_date date not null,
    unique nulls not distinct (as_of_date, campaign_id, design, arm, metric, segment_id)
);
create index if not exists campaign_results_by_campaign on evaluation.campaign_results (campaign_id, as_of_date);

create or replace view marketing.campaign_results as
select r.*
from evaluation.campaign_results as r
where r.as_of_date = (
    select max(l.as_of_date) from evaluation.campaign_results as l
    where l.campaign_id = r.campaign_id
);
