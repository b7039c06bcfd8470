"""
# Write a segment to a file

The customers of segment `segment_id` in the current snapshot, as `exports/<day>/segment_<id>.csv` (or `parquet`) in the
lake, for tools that import files. Bands only, and no combination of them that few customers share: see docs/clients.md.
Task `export` returns where the file is. A second run of a day writes over it.
"""

from airflow.sdk import Param, dag, task

from segmentation_airflow.defaults import FIRST_DAY, TASK_DEFAULTS
from segmentation_airflow.stages import stores

PARAMS = {
    "segment_id": Param(type="integer", minimum=0, description="the number in marketing.customer_segments"),
    "format": Param("csv", type="string", enum=["csv", "parquet"]),
}


@task
def export(segment_id: str, kind: str) -> dict:
    from segmentation import segment_export

    return segment_export.export_segment(int(segment_id), kind, stores())


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
def export_segment():
    export("{{ params.segment_id }}", "{{ params.format }}")


export_segment()
