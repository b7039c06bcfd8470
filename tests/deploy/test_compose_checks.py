"""What the smoke test of the deployment takes for a training that left its numbers in MLflow."""

import pytest

from local import compose_checks
from local.errors import StackError

LEARNT = {"data": {"metrics": [{"key": "auc", "value": 0.9}, {"key": "f1", "value": 0.5}]}}
SKIPPED = {"data": {"params": [{"key": "skipped", "value": "12 positives of ..."}]}}
EMPTY = {"data": {}}


def test_an_experiment_has_numbers_or_the_reason_why_not():
    found = compose_checks.numbers_of({"churn_90d": [LEARNT, LEARNT], "new_customer_90d": [SKIPPED]})
    assert found == {"churn_90d": 4, "new_customer_90d": 0}


@pytest.mark.parametrize(
    "runs_of",
    [
        pytest.param({}, id="nothing was tried"),
        pytest.param({"churn_90d": [SKIPPED]}, id="nothing was learnt"),
        pytest.param({"churn_90d": [LEARNT], "spend_90d": [EMPTY]}, id="a run says nothing"),
        pytest.param({"churn_90d": [LEARNT], "spend_90d": []}, id="no run"),
    ],
)
def test_numbers_that_are_missing_without_a_reason_are_a_failure(runs_of):
    with pytest.raises(StackError, match="should have metrics in each experiment"):
        compose_checks.numbers_of(runs_of)


def test_only_what_tasks_of_the_dag_have_written_counts():
    def event(kind, job, *outputs):
        return {
            "eventType": kind,
            "job": {"name": job},
            "outputs": [{"namespace": "fenqun", "name": n} for n in outputs],
        }

    events = [
        event("START", "segment_customers_daily.publish", "begun"),
        event("COMPLETE", "segment_customers_daily.publish", "marketing.customer_segments", "marketing.snapshots"),
        event("FAIL", "segment_customers_daily.score", "failed"),
        event("COMPLETE", "segment_customers_daily_of_others.publish", "others"),
        {"eventType": "COMPLETE", "job": {"name": "segment_customers_daily.compact"}},
    ]
    written = compose_checks.written_by(events, "segment_customers_daily")
    assert written == {"marketing.customer_segments", "marketing.snapshots"}
