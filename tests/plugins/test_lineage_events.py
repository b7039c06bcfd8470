"""What leaves the house as an OpenLineage event: data sets by their names, and no row and no person."""

import json

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Dataset, Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import error_message_run

from segmentation import tables
from segmentation_airflow import lineage_events
from tests import receivers


class Operator:
    def __init__(self, task_id, **op_kwargs):
        self.task_id, self.op_kwargs = task_id, op_kwargs


def names(operator):
    found = lineage_events.StageLineage(operator).extract()
    return [each.name for each in found.inputs], [each.name for each in found.outputs]


def test_a_task_reads_and_writes_tables_by_their_names():
    assert names(Operator("extract", entity="orders")) == (["shop.orders"], ["staged.orders"])
    assert names(Operator("publish"))[1][0] == "marketing.customer_segments"
    assert names(Operator("questions")) == ([], [])


def test_all_that_a_task_reads_is_what_another_has_written_but_the_shop_itself():
    """Else a catalogue shows islands."""
    read, written = set(), set()
    for task in lineage_events.TABLES:
        for entity in tables.ENTITIES if task == "extract" else (None,):
            inputs, outputs = names(Operator(task, **({"entity": entity} if entity else {})))
            read |= set(inputs)
            written |= set(outputs)
    assert read - written == {f"shop.{entity}" for entity in tables.ENTITIES}
    assert {"staged.orders", "raw.products", "agg.product_days", "marketing.segment_history"} <= read & written


def test_an_event_over_http_names_no_row_and_no_parameter():
    class DagRun:
        def __init__(self):
            self.dagRun = {"run_id": "r", "conf": {"ids": ["C-4"]}}

    facet = DagRun()
    error = error_message_run.ErrorMessageRunFacet("3 rows, for example C-4", "python", "Traceback: C-4")
    with receivers.web() as (port, events):
        http = {"type": "http", "url": f"http://127.0.0.1:{port}", "endpoint": "api/v1/lineage"}
        name = "segmentation_airflow.lineage_events.WithoutRows"
        transport = {"type": "transform", "transformer_class": name, "transport": http}
        client = OpenLineageClient(config={"transport": transport})
        run = Run("01a223d6-75e5-785e-88f3-4d507e09351e", {"errorMessage": error})
        job, data = Job("fenqun", "j"), [Dataset("fenqun", "raw")]
        at = "2026-07-01T00:00:00Z"
        client.emit(RunEvent(eventTime=at, producer="fenqun", run=run, job=job, eventType=RunState.FAIL, inputs=data))
        [(path, body)] = events
    assert path == "/api/v1/lineage"
    assert body["inputs"][0]["name"] == "raw"
    assert body["run"]["facets"]["errorMessage"]["message"] == "3 rows"
    assert "C-4" not in json.dumps(body)
    event = type("Event", (), {"run": type("Run", (), {"facets": {"airflowDagRun": facet}})()})()
    lineage_events.WithoutRows({}).transform(event)
    assert facet.dagRun == {"run_id": "r"}
