"""
Customer segmentation, stage by stage. No Airflow in here: every function runs in a notebook.

| stage    | module               | reads                                  | writes                             |
|----------|----------------------|----------------------------------------|------------------------------------|
| extract  | `extract`            | `shop.*` in the warehouse              | `staged.*` in the lake             |
| validate | `validate`           | `staged.*`; a lake table by day        | `raw.*`; stops the run, or not     |
| features | `aggregates`         | the history of `raw.*`                 | `agg.*`, per customer and day      |
| features | `features`           | `agg.*`, `raw.*`                       | `feat.*`                           |
| features | `contact_features`   | `agg.*`, `raw.*`, past campaigns       | `feat.contact_examples`            |
| train    | `cluster`            | `feat.training_examples`               | model `customer_segments`          |
| train    | `classify`           | `feat.training_examples`               | a model per target                 |
| train    | `compare`            | new versions, and the champions        | a verdict per model                |
| train    | `promote`            | verdicts, and what humans answered     | aliases `champion`, `previous`     |
| request  | `rollback`           | promoted versions                      | alias `champion`, further back     |
| score    | `score`              | `feat.customer_daily`, promoted models | `score.customer_daily`             |
| score    | `recommend`          | `agg.*`, `raw.products`                | `score.recommendations_daily`      |
| strategy | `strategy`           | `score.customer_daily`, the YAML file  | `score.strategy_daily`             |
| publish  | `publish`            | `score.*`                              | `marketing.*`                      |
| evaluate | `evaluate`           | campaigns in `raw.*`, who was where    | `marketing.campaign_results`       |
| policy   | `learn_policy`       | campaigns, `feat.contact_examples`     | model `strategy_uplift`            |
| movement | `movement`           | `agg.product_days`, `raw.products`     | `marketing.product_movement`       |
| look     | `segments_page`      | `marketing.*`, `quality.results`       | nothing: a page of HTML            |
| request  | `segment_export`     | `marketing.customer_segments`          | a file in the lake                 |
| request  | `erase`              | all that is kept                       | the same, without a person; proof  |
| request  | `personal_export`    | all that is kept of a person           | a file in the lake                 |
| tidy     | `retention`          | `marketing.snapshots`                  | fewer of them                      |
| tidy     | `compaction`         | the files of `raw.*`                   | fewer of them                      |
| watch    | `performance`        | old `score.customer_daily`, what came  | `ops.performance`                  |
| watch    | `drift`              | what models learnt from, and the day   | `ops.drift`                        |
| watch    | `retrain`            | `ops.performance`, `ops.drift`         | `ops.retrains`; asks for a train   |

The doors: `warehouse` (databases; `conversion` from what they hand out), `lake` (Parquet), `engine` (SQL over the lake:
`sources`, `duckdb_engine`, `spark_engine`), `registry` (MLflow; `training_run`, `model_artifact`, and `model_ledger`,
what training has registered), `expectations` (Great Expectations). `history` keeps `raw.*` as versions. The names:
`tables`, `sql`, `settings`, `errors`; `plain_yaml` reads the files that people write. A stage imports these, never
another stage.

What extract needs besides: `extract_window`, `deletions`. What validate needs: `suites` (the rules), `incoming` (what
is judged; `cleaning`), `row_rules` and `judged_rows` (each row), `measures` (the whole), `verdict` (what was found),
and where that goes: `quarantine`, and `gate` (`quality`, `data_docs`). What the features need: `feature_snapshot`
(those of a day; `families`, what there is, and the dictionary; `purchase_features`, by `purchase_model` and
`purchase_likelihoods`), `demand` (how busy days were), and `md5_sample` (some customers; recommend, too). What the
models of the targets need: `examples` (which rows are of when), `preparation` (`selection`), `baselines`, `candidates`,
`search`, `contest` (which is chosen; `recipes`, `amount_blend`), `season` (how busy a day will be), `ensembles` (what
is registered), `judge` (`ranked`, `bootstrap`), `fairness`, `importance`; `model_report` leaves it in MLflow by
`pictures` and `model_pictures`. What compare and promote need: `promotion_rules`, `strategy_changes`. What score needs:
`scoring`, `explain` (`tree_shap`), `reasons`, `tastes`, `model_cache`, `streamed_quantiles`.
What the segments need: `buyers`; `clusterings` (what is tried), `cluster_score` and `cluster_contest` (what is chosen);
`lineage`, `naming` (what stays, and what it is called); `segment_rules`, `segment_pages`, `segment_pictures`, which
`cluster_report` leaves in MLflow.
What recommend needs: `product_candidates`, `rank_weights`.
What strategy needs: `strategy_file` (`conditions`, `strategy_columns`), `strategy_choice`, `strategy_session` (as
`strategy_changes` does), `strategy_audit`, and `strategy_learnt` (what campaigns have taught, and what is explored).
What publish needs: `published_rows` (`ordered_rows`), `consent` (who may be in it), `snapshots` (its table),
`snapshot_audit`, `feed` (what changed), `profiles`, `page_counts` (for the page), `withdrawals` (who goes out of older
snapshots).
What the Segments page needs: `page_sections` (what is shown), `page_pictures`, `page_words` (English and Chinese).
What erase and the export of a person need: `personal_data` (whose a row is), `erasures` (the ledger, and that nobody
writes meanwhile), `erase_lake`, `erase_marketing`, `registry_files`, `mentions` (in texts), `erasure_scan` (the proof).
What the campaigns need: `campaign_effects` (the rows of one: `effects`, the statistics; `observational`, where nobody
was held out), `choice_days` (which choice one went by), `campaign_results` (their table), `campaign_pages`;
`campaign_customers` (who was drawn, and what they did). What is learnt from them: `randomised` (which results count),
`strategy_uplift` (effects by customer, and what a policy is worth; `foresight`, `effect_regression`, `arm_regression`),
`policy_value`, `policy_pictures`; of one campaign, in notebooks: `uplift`.
What is told of a run, and what is kept of how it went: `notices`, `causes`, `task_runs`.
What is measured afterwards needs: `outcomes` (as training does), `judge`, `distributions`.
"""
