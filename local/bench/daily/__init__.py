"""
`make bench`: what a day costs, stage by stage, against its floors and against what people do instead.

| module     | what it has                                                                            |
|------------|----------------------------------------------------------------------------------------|
| `command`  | the sizes and parts in order; keeps what was measured in a JSON file as it comes       |
| `shop`     | the practice stack that all of it runs on: PostgreSQL and MLflow, Airflow when asked   |
| `process`  | one piece of work in a process of its own: wall, CPU, memory, and what others used     |
| `work`     | the pieces: the stages as the DAGs call them, their floors, and the weekly training    |
| `script`   | the script that people write instead                                                   |
| `airflow`  | the daily DAG end to end, and Airflow's own share                                      |
| `on_spark` | the stages that Spark can take over, beside DuckDB, and that section of the page       |
| `page`     | docs/benchmarks.md and its picture, made from that JSON and from nothing else          |
"""
