-- What the contract's relations and columns mean: docs/output-contract.md is made from these (`make docs`).
comment on view marketing.customer_segments is
'one row per customer: one whole published snapshot, the one with the latest day';
comment on column marketing.customer_segments.customer_id is 'key; unique';
comment on column marketing.customer_segments.as_of_date is
'everything known before this day 00:00 UTC went in, nothing after';
comment on column marketing.customer_segments.segment_id is
'stable across retrainings: the same id keeps meaning the same people; 0 is who never ordered';
comment on column marketing.customer_segments.segment_name is 'unique per segment_id; marketers may change it';
comment on column marketing.customer_segments.lifecycle_stage is
'prospect (no order), new (first order at most 30 days ago), active (last order at most 90 days ago), lapsing
(180), lapsed';
comment on column marketing.customer_segments.value_tier is
'by spend in 365 days among buyers: high is the top 20 %, medium the next 30 %, low the rest';
comment on column marketing.customer_segments.expected_spend_90d is
'what the customer is expected to spend in the next 90 days, in the shop''s currency; in a young shop by BG/NBD
and Gamma-Gamma, for buyers';
comment on column marketing.customer_segments.purchase_probability_30d is
'of an order in the next 30 days, calibrated; null where the shop''s data are too few to train it';
comment on column marketing.customer_segments.churn_probability_90d is
'of no order in the next 90 days, calibrated; null for prospects';
comment on column marketing.customer_segments.churn_risk is 'high from 0.7, medium from 0.4, low; null for prospects';
comment on column marketing.customer_segments.new_customer_potential is
'high, general, low; null unless lifecycle_stage is prospect or new';
comment on column marketing.customer_segments.interest_group is
'group of customers who like the same things: the category most bought from in a year, else most looked at';
comment on column marketing.customer_segments.preferred_channel is
'where this customer answers campaigns, in 365 days; who answers none: comes most, in 90 days, else orders most';
comment on column marketing.customer_segments.content_preference is
'articles, videos or products, whichever is looked at most in 90 days, or null';
comment on column marketing.customer_segments.service_risk is
'high, medium, low: complaints and returns to come; null where the shop has neither';
comment on column marketing.customer_segments.strategy_id is
'the marketing strategy chosen, or null where none may be used';
comment on column marketing.customer_segments.offer is 'what the strategy offers';
comment on column marketing.customer_segments.contact_channel is
'a channel that this customer has consented to, or null';
comment on column marketing.customer_segments.in_holdout is
'true: leave this customer alone, so that the effect can be measured';
comment on column marketing.customer_segments.recommended_products is
'product ids, best first, in stock or of unknown stock; null: the shop tells of no products, or nothing is known to
recommend';
comment on column marketing.customer_segments.reasons is 'up to three things that weighed most, in words';
comment on column marketing.customer_segments.snapshot_id is 'which publication this row belongs to; see snapshots';
comment on column marketing.customer_segments.model_versions is
'registered model name -> version that scored the row';
comment on column marketing.customer_segments.scored_at is 'when it was computed';
comment on column marketing.customer_segments.high_value_probability_90d is
'of being among the top fifth of buyers by spend of the next 90 days; null for prospects';
comment on column marketing.customer_segments.strategy_basis is
'what the choice of the strategy rests on: learnt (from campaigns), explored (tried, to learn more), assumed (by the
file of strategies), or null without a strategy';
comment on view marketing.segment_changes is
'the feed, for CRMs that sync by difference: what changed each time that another snapshot became current';
comment on column marketing.segment_changes.change_id is
'rises; the cursor: ask for what is greater than the last that you have seen';
comment on column marketing.segment_changes.customer_id is 'who';
comment on column marketing.segment_changes.change is
'entered; moved: to another segment; updated: same segment, but another strategy, offer, tier, band or the like;
left; erased: forget this customer';
comment on column marketing.segment_changes.from_segment_id is 'null for who entered';
comment on column marketing.segment_changes.to_segment_id is 'null for who left or was erased';
comment on column marketing.segment_changes.from_strategy_id is 'the strategy before';
comment on column marketing.segment_changes.to_strategy_id is 'the strategy now';
comment on column marketing.segment_changes.as_of_date is 'the day of the snapshot that became current';
comment on column marketing.segment_changes.snapshot_id is 'the snapshot that became current';
comment on table marketing.segment_history is
'what each customer was since when: type 2 of slowly changing dimensions, by the days that were current';
comment on column marketing.segment_history.customer_id is 'key, with valid_from';
comment on column marketing.segment_history.segment_id is 'as in customer_segments';
comment on column marketing.segment_history.segment_name is 'as in customer_segments';
comment on column marketing.segment_history.value_tier is 'as in customer_segments';
comment on column marketing.segment_history.strategy_id is 'as in customer_segments';
comment on column marketing.segment_history.valid_from is 'the first day on which it was so';
comment on column marketing.segment_history.valid_to is 'the first day on which it was no longer so; null: current';
comment on table marketing.segment_profiles is
'each segment of a snapshot in numbers; groups that are too small to be told are left out';
comment on column marketing.segment_profiles.snapshot_id is 'key, with segment_id';
comment on column marketing.segment_profiles.segment_id is 'as in customer_segments';
comment on column marketing.segment_profiles.segment_name is 'as in customer_segments';
comment on column marketing.segment_profiles.customers is
'how many; null: too few to tell, or one could tell from the others';
comment on column marketing.segment_profiles.share is 'of all customers of the snapshot, 0 to 1';
comment on column marketing.segment_profiles.average_expected_spend_90d is 'mean over the segment';
comment on column marketing.segment_profiles.average_purchase_probability_30d is 'mean over the segment';
comment on column marketing.segment_profiles.average_churn_probability_90d is 'mean over the segment';
comment on column marketing.segment_profiles.sets_apart is
'the values that are most over-represented: column, value, share here, share of all customers';
comment on column marketing.segment_profiles.came_from is
'customers by the segment they had in the published snapshot of the day before: segment_id, entered, or few (too
few to tell)';
comment on table marketing.snapshots is
'one row per attempt to publish a day';
comment on column marketing.snapshots.snapshot_id is 'key; rises';
comment on column marketing.snapshots.as_of_date is 'the day';
comment on column marketing.snapshots.status is
'building: being written; published: the snapshot of its day; superseded: its day was published again, or an
earlier day was gone back to; rejected: never served';
comment on column marketing.snapshots.row_count is 'customers in it';
comment on column marketing.snapshots.model_versions is 'registered model name -> version';
comment on column marketing.snapshots.validation is 'what the checks found, table by table';
comment on column marketing.snapshots.dag_run_id is 'the Airflow run';
comment on column marketing.snapshots.created_at is 'when it was begun';
comment on column marketing.snapshots.published_at is 'when it was published, or gone back to';
comment on column marketing.snapshots.is_kept is 'false: its rows are gone, only this line is left';
comment on column marketing.snapshots.last_change_id is
'replaying segment_changes with a greater change_id on this snapshot gives what is current; null: it never was
current';
comment on function marketing.customer_segments_at is
'the same columns for the published snapshot of any kept day';
