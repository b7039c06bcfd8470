-- What the columns of the results mean: docs/output-contract.md is made from these (`make docs`).
comment on view marketing.campaign_results is
'what each campaign changed, as last evaluated: a row per campaign, design, arm, metric and segment';
comment on column marketing.campaign_results.campaign_id is 'as in the shop';
comment on column marketing.campaign_results.campaign_name is 'as in the shop';
comment on column marketing.campaign_results.strategy_id is 'the strategy that it belongs to, or null';
comment on column marketing.campaign_results.channel is 'by which customers were contacted';
comment on column marketing.campaign_results.starts_at is 'when it began';
comment on column marketing.campaign_results.ends_at is
'outcomes count from each customer''s contact to here, or to as_of_date where that is earlier';
comment on column marketing.campaign_results.status is
'running: the window is still open; closed; final: closed so long that nothing more is expected to change, evaluated
no more';
comment on column marketing.campaign_results.design is
'randomised: against a held-out arm; observational: against customers who were not contacted, made comparable, can be
wrong in what is not known of them; before_after: against the same customers before, tells of no cause';
comment on column marketing.campaign_results.arm is 'the treatment';
comment on column marketing.campaign_results.metric is
'conversion: share with an order; revenue, margin: per customer, in the shop''s currency; satisfaction: 1 to 5, of
those who answered; unsubscribe: share';
comment on column marketing.campaign_results.segment_id is
'as published on the day before the contact; null: all customers';
comment on column marketing.campaign_results.segment_name is 'its name then; null: all customers';
comment on column marketing.campaign_results.treatment_customers is
'customers of the arm, all that were drawn; for satisfaction those who answered';
comment on column marketing.campaign_results.control_customers is
'customers that they are compared with';
comment on column marketing.campaign_results.treatment_mean is
'mean of the treatment; of before_after: after the contact';
comment on column marketing.campaign_results.control_mean is
'mean of the control; observational: what the treatment would have done uncontacted; before_after: before the contact';
comment on column marketing.campaign_results.difference is 'treatment_mean less control_mean';
comment on column marketing.campaign_results.difference_low is
'difference_low to difference_high: 95 % interval; null: not defined';
comment on column marketing.campaign_results.difference_high is 'see difference_low';
comment on column marketing.campaign_results.p_value is
'how often chance alone would make a difference at least so large';
comment on column marketing.campaign_results.relative_lift is
'difference as a share of control_mean; null where that is 0';
comment on column marketing.campaign_results.adjusted_difference is
'the same difference, sharper by what the customers did in the year before the contact (CUPED); where it is there, go
by it; null: no such history, or not randomised';
comment on column marketing.campaign_results.adjusted_low is 'adjusted_low to adjusted_high: its 95 % interval';
comment on column marketing.campaign_results.adjusted_high is 'see adjusted_low';
comment on column marketing.campaign_results.adjusted_p_value is 'p-value of the adjusted difference';
comment on column marketing.campaign_results.variance_reduction is
'how much of the variance the adjustment takes away: 0.4 is worth 1 / (1 - 0.4) times the customers';
comment on column marketing.campaign_results.corrected_p_value is
'p-value (the adjusted one where there is one) corrected for how many arms and segments of the campaign are looked at
in this metric (Holm)';
comment on column marketing.campaign_results.minimum_detectable is
'the true difference that a test of this size finds in 80 % of all cases: smaller ones are mostly missed';
comment on column marketing.campaign_results.cost is
'of contacting the customers of the arm, with their part of the fixed cost';
comment on column marketing.campaign_results.roi is
'(what the campaign brought in the metric less the cost) per cost; of metric margin, and of revenue, where it
flatters; null: no cost';
comment on column marketing.campaign_results.roi_low is 'roi_low to roi_high: 95 % interval';
comment on column marketing.campaign_results.roi_high is 'see roi_low';
comment on column marketing.campaign_results.is_trusted is 'false: a check has failed; note says which';
comment on column marketing.campaign_results.note is 'in words: why a number is missing, or what to beware of';
comment on column marketing.campaign_results.checks is 'what was checked, in numbers: see docs/campaign-results.md';
comment on column marketing.campaign_results.as_of_date is
'the day of the evaluation: everything known before its 00:00 UTC went in, nothing after';
