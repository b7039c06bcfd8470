"""
Customer segmentation, stage by stage. No Airflow in here: every function runs in a notebook.

| stage    | module               | reads                                  | writes                             |
|----------|----------------------|----------------------------------------|------------------------------------|
| extract  | `extract`            | `shop.*` in the warehouse              | `raw.*` in the lake                |
| validate | `validate`           | any lake table                         | nothing: stops the run, or not     |
| features | `features`           | `raw.*`                                | `feat.*`                           |
| train    | `cluster` (`naming`) | `feat.training_examples`               | model `customer_segments`          |
| train    | `classify`           | `feat.training_examples`               | models `churn_90d`, `purchase_30d` |
| train    | `promote`            | what the two have registered           | alias `champion`                   |
| score    | `score`              | `feat.customer_daily`, promoted models | `score.customer_daily`             |
| publish  | `publish`            | `score.customer_daily`                 | `marketing.*`                      |

The doors: `warehouse` (Postgres), `lake` (Parquet), `engine` (DuckDB), `registry` (MLflow). The names: `tables`, `sql`,
`settings`, `errors`. A stage imports doors and names, never another stage.
"""
