"""
# Go back to an earlier snapshot of the segments

`marketing.customer_segments` shows snapshot `snapshot_id` at once, whole, and no reader waits. It must be one that was
published and is still kept (`select * from marketing.snapshots where is_kept`); those of later days become
`superseded`. `segment_changes` tells what that changes for whom. The next day that is published becomes current as
ever, so mend the cause, or pause `segment_customers_daily`, before. Nothing is computed anew.
See docs/runbooks/roll-back-a-snapshot.md.
"""

from airflow.sdk import Param, dag, task

from segmentation_airflow.assets import CUSTOMER_SEGMENTS
from segmentation_airflow.defaults import FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.stages import stores

PARAMS = {"snapshot_id": Param(type="integer", minimum=1, description="the number in marketing.snapshots")}


@task(outlets=[CUSTOMER_SEGMENTS])
def roll_back(snapshot_id: str) -> dict:
    from segmentation import publish

    return publish.roll_back_segments(int(snapshot_id), stores())


@dag(
    schedule=None,
    start_date=FIRST_DAY,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params=PARAMS,
    tags=["segmentation", "on request"],
    doc_md=__doc__,
)
def roll_back_segments():
    roll_back("{{ params.snapshot_id }}")


roll_back_segments()
