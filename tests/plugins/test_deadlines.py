"""The deadline that Airflow 3.3 can clear: registered, kept as our own, and counted from `queued_at`."""

import datetime as dt

from airflow import plugins_manager
from airflow.serialization.decoders import decode_deadline_reference
from airflow.serialization.encoders import encode_deadline_reference

from segmentation_airflow import defaults
from segmentation_airflow.deadlines import FirstQueued
from segmentation_plugin import SegmentationPlugin

QUEUED = dt.datetime(2026, 6, 1, 5, tzinfo=dt.UTC)


class Session:
    """Stands for Airflow's: keeps the question, answers with the time."""

    def scalar(self, query):
        self.query = str(query.compile(compile_kwargs={"literal_binds": True}))
        return QUEUED


def test_the_deadline_is_registered_and_counts_from_the_first_queueing(monkeypatch):
    registered = {f"{each.__module__}.{each.__name__}": each for each in SegmentationPlugin.deadline_references}
    monkeypatch.setattr(plugins_manager, "get_deadline_references_plugins", lambda: registered)
    encoded = encode_deadline_reference(defaults.deadline("NOT_SET", "120").reference)
    assert encoded["reference_type"] == "FirstQueued", "Airflow counts DagRunQueuedAtDeadline anew, and fails"
    session, allowed = Session(), dt.timedelta(hours=2)
    due = decode_deadline_reference(encoded).evaluate_with(session=session, interval=allowed, dag_id="a", run_id="b")
    assert due == QUEUED + allowed
    assert "dag_run.dag_id = 'a' AND dag_run.run_id = 'b'" in session.query
    assert set(registered.values()) == {FirstQueued}
