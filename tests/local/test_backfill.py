"""`make backfill`, against a small stand-in for Airflow's back-fills; the real ones are in tests/integration."""

from datetime import date, timedelta

import pytest

from local import backfill, failures
from local.errors import StackError

FIRST, LAST = date(2026, 6, 2), date(2026, 6, 4)


class FakeAirflow:
    """Runs a day each time it is asked how things are, until one fails; then calls the back-fill complete, later."""

    address = "http://airflow"

    def __init__(self, fails=None):
        self.fails = fails
        self.runs, self.backfills, self.sent = [], [], []
        self.asked_in_vain = 2

    def get(self, path, **_):
        if path.startswith("/dags/"):
            return {"is_stale": False, "is_paused": False}
        if path == "/backfills":
            return {"backfills": self.backfills}
        self._go_on()
        return self.backfills[-1]

    def pages(self, path, _, **parameters):
        return [dict(run) for run in self.runs] if path.endswith("/dagRuns") else []

    def send(self, method, path, body=None):
        self.sent.append((method, path))
        if method == "PUT":
            self.backfills[-1] |= {"is_paused": True, "completed_at": "2026-06-05T01:00:00Z"}
            return None
        self.backfills.append({"id": 7, "is_paused": False, "completed_at": None, **body})
        for number in range((LAST - FIRST).days + 1):
            day = FIRST + timedelta(days=number)
            self.runs.append({"dag_run_id": f"{day}", "logical_date": f"{day}T00:00:00Z", "state": "queued",
                              "start_date": f"{day}T05:00:00Z", "end_date": f"{day}T05:01:00Z"})  # fmt: skip
        return self.backfills[-1]

    def page_of(self, run):
        return f"{self.address}/{run.run_id}"

    def _go_on(self):
        waiting = [run for run in self.runs if run["state"] == "queued"]
        if waiting:
            waiting[0]["state"] = "failed" if waiting[0]["dag_run_id"] == f"{self.fails}" else "success"
        elif self.asked_in_vain:
            self.asked_in_vain -= 1
        else:
            self.backfills[-1]["completed_at"] = "2026-06-05T01:00:00Z"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(backfill, "POLL_SECONDS", 0)
    monkeypatch.setattr(backfill, "wait_for_dag", lambda *_: None)
    monkeypatch.setattr(failures, "of_run", lambda *_: ["publish: no space left"])


def test_it_waits_until_airflow_has_ended_it_and_cancels_nothing():
    airflow, said = FakeAirflow(), []
    days = backfill.backfill(airflow, "daily", FIRST, LAST, say=said.append)
    assert [(each.day, each.state, each.seconds) for each in days] == [
        (FIRST + timedelta(days=number), "success", 60.0) for number in range(3)
    ]
    assert airflow.sent == [("POST", "/backfills")], "Airflow would hold the runs of a cancelled one for ever"
    assert airflow.backfills[-1]["completed_at"]
    assert sum("success" in line for line in said) == 3


def test_after_a_day_that_fails_none_begins():
    airflow = FakeAirflow(fails=FIRST + timedelta(days=1))
    with pytest.raises(StackError, match=r"no space left(.|\n)*make backfill DAG=daily FROM=2026-06-03 TO=2026-06-04"):
        backfill.backfill(airflow, "daily", FIRST, LAST, say=lambda _: None)
    assert airflow.sent[-1] == ("PUT", "/backfills/7/cancel")
    assert airflow.runs[-1]["state"] == "queued"


def test_a_second_one_is_refused_with_the_days_of_the_first():
    airflow = FakeAirflow()
    airflow.send("POST", "/backfills", {"from_date": "2026-06-02T00:00:00Z", "to_date": "2026-06-04T00:00:00Z"})
    with pytest.raises(StackError, match="Back-fill 7 of daily, from 2026-06-02 to 2026-06-04, is going"):
        backfill.backfill(airflow, "daily", FIRST, LAST)
