"""
# Classify the products, every week

`raw.products`, `agg.product_days` -> `marketing.product_movement`: how each product sells (fast, steady, slow, dead),
how long its stock will last, and what is to be done about it (restock, hold, promote, clear).

The day is the run's logical date: everything known before its 00:00 UTC goes in, nothing after. Any day can be run
again and leaves the same rows; an older day is kept beside the latest, which is what readers see. A day is extracted
once, by whichever DAG comes first; `reload_since` and `reload_until` load rows again. Nothing is classified where the
shop has no products or no order items: the task's log says so. What the classes mean: docs/products.md. What customers
are recommended is made every day, by `segment_customers_daily`.
"""

from airflow.sdk import dag

from segmentation_airflow.defaults import FIRST_DAY, PRODUCTS, TASK_DEFAULTS
from segmentation_airflow.products import movement
from segmentation_airflow.stages import RELOAD, aggregates, extract_and_accept


@dag(
    schedule=PRODUCTS,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params=RELOAD,
    tags=["segmentation", "weekly"],
    doc_md=__doc__,
)
def classify_products_weekly():
    day = "{{ ds }}"
    extract_and_accept(day) >> aggregates(day) >> movement(day)


classify_products_weekly()
