"""
Who decides about a model, in a real Airflow: silence keeps the champion, an answer moves it, one command takes it back.

The DAG is the real one from `compare` on; what comes before it is taken for done, and two small models for trained.
"""

import datetime as dt
import re
import time

import pytest

from local import follow, runs
from local.airflow_api import Airflow, Run
from local.errors import StackError
from local.stack import Stack
from segmentation import tables, warehouse
from segmentation.registry import Registry
from segmentation.settings import Stores
from tests.rivals import CHURN, SEGMENTS, SIZES, SOUND, churn, promote_both, segments, trained, write_examples

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
DAY = dt.date(2026, 1, 31)
NEXT = DAY + dt.timedelta(days=7)
WEEKLY, PATIENCE_SECONDS = "train_models_weekly", 120


class Shop:
    """A stack whose champions are of last week, and the weekly run as it is before `compare`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        addresses = stack.up()
        self.airflow = Airflow(addresses.airflow, addresses.admin_password)
        self.registry = Registry(addresses.mlflow, addresses.marketing)
        lake = str(stack.folders.lake)
        write_examples(Stores(addresses.marketing, addresses.marketing, lake, addresses.mlflow), NEXT)
        promote_both(self.registry, DAY)
        found = {
            "cluster": [trained(SEGMENTS, segments(self.registry, NEXT), SIZES)],
            "classify": [
                trained(CHURN, churn(self.registry, NEXT, border=30.0), SOUND)
                if model == CHURN
                else {"model": model, "skipped": "not in this test"}
                for model in tables.TARGETS
            ],
        }
        self.run = self.trained(found)

    def trained(self, results) -> Run:
        self.wait(lambda: self.airflow.get(f"/dags/{WEEKLY}"))
        self.airflow.send("PATCH", f"/dags/{WEEKLY}", {"is_paused": True})
        made = self.airflow.send("POST", f"/dags/{WEEKLY}/dagRuns", {"logical_date": f"{NEXT}T00:00:00Z", "conf": {}})
        run = Run(WEEKLY, made["dag_run_id"], NEXT)
        tasks = f"/dags/{WEEKLY}/dagRuns/{run.run_id}/taskInstances"
        for task, values in results.items():
            for index, value in enumerate(values):
                entry = {"key": "return_value", "value": value, "map_index": index if len(values) > 1 else -1}
                self.airflow.send("POST", f"{tasks}/{task}/xcomEntries", entry)
            self.airflow.send("PATCH", f"{tasks}/{task}", {"new_state": "success", "include_upstream": True})
        self.airflow.send("PATCH", f"/dags/{WEEKLY}", {"is_paused": False})
        return run

    def wait(self, look):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := look()):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        return found

    def question(self):
        """The one that is open, and that the scheduler knows to be: some seconds after it was asked, as with humans.

        Airflow 3.3.2 asks anew if the answer comes before the executor has told that the task's process has ended.
        """
        path = f"/dags/{WEEKLY}/dagRuns/{self.run.run_id}/hitlDetails"
        [found] = self.wait(lambda: self.airflow.pages(path, "hitl_details", state="awaiting_input"))
        tries, log = found["task_instance"]["try_number"], self.stack.folders.logs / "scheduler.log"
        heard = rf"Received executor event .*task_id='decide', .*try_number={tries}, map_index=0"
        self.wait(lambda: re.search(heard, log.read_text(errors="replace")))
        return found

    def let_the_time_pass(self):
        with warehouse.connect(self.stack.postgres.url("airflow")) as connection:
            late = (
                "update task_instance set trigger_timeout = now() - interval '1 second' where state = 'awaiting_input'"
            )
            assert warehouse.execute(connection, late) == 1

    def ended(self):
        result = follow.follow(self.airflow, self.run)
        assert result.is_success, result.failures


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        yield Shop(stack)
    finally:
        stack.down()


def test_a_human_sees_the_comparison_and_silence_keeps_the_champion(shop):
    question = shop.question()
    assert question["subject"] == f"{CHURN}: promote version 2 of {NEXT} instead of version 1?"
    assert "| changes | churn_risk would change for 35.0% of the customers |" in question["body"]
    assert (question["options"], question["defaults"]) == (["promote", "keep the champion"], ["keep the champion"])
    shop.let_the_time_pass()
    shop.ended()
    assert shop.registry.champion(CHURN).version == "1"
    assert shop.registry.version(CHURN, "2").tags["decided_by"] == "nobody"
    assert shop.registry.champion(SEGMENTS).version == "2", "what passed does not wait for the human"


def test_an_answer_moves_the_champion(shop):
    path = f"/dags/{WEEKLY}/dagRuns/{shop.run.run_id}/taskInstances"
    body = {"dry_run": False, "dag_run_id": shop.run.run_id, "task_ids": ["decide"], "include_downstream": True}
    shop.airflow.send("POST", f"/dags/{WEEKLY}/clearTaskInstances", {**body, "only_failed": False})
    shop.question()
    shop.airflow.send("PATCH", f"{path}/decide/0/hitlDetails", {"chosen_options": ["promote"], "params_input": {}})
    shop.ended()
    assert (shop.registry.champion(CHURN).version, shop.registry.previous(CHURN).version) == ("2", "1")
    tags = shop.registry.version(CHURN, "2").tags
    assert tags["decided_by"] == "admin"
    assert tags["promotion"].endswith("approved by admin")


def test_one_command_takes_it_back(shop, capsys):
    runs.roll_back(shop.airflow, CHURN, None)
    assert shop.registry.champion(CHURN).version == "1"
    assert f"champion is version 1 of {DAY}; out of use: 2 of {NEXT}" in capsys.readouterr().out
    with pytest.raises(StackError, match="no previous version"):
        runs.roll_back(shop.airflow, CHURN, None)
    assert shop.registry.resolve(CHURN, NEXT).version == "1"
