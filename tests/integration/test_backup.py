"""
A back-fill leaves what daily runs leave, and a backup brings back what was destroyed, on a real Airflow and MLflow.

The tests build on each other, in order; the stack and its practice shop are made once.
"""

import datetime as dt
import shutil

import pytest

from local import backfill, backup, demo, restore, runs
from local.airflow_api import Airflow, AirflowError
from local.bench import backfill as bench
from local.errors import StackError
from local.simulator import practice_shop
from local.stack import Stack
from segmentation import tables, warehouse
from segmentation.registry import Registry

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(2400)]
ROWS = "select * from marketing.customer_segments order by customer_id"


class Shop:
    """The running stack; `day` is the day after the last one of its shop."""

    def __init__(self, home):
        self.stack = Stack(home / "stack")
        self.backups = home / "backups"
        self.stack.up()
        self.day = demo.fill(self.stack, None).day

    @property
    def airflow(self):
        addresses = self.stack.addresses()
        return Airflow(addresses.airflow, addresses.admin_password)

    def run(self, dag_id, day):
        return runs.run_dag(self.airflow, dag_id, day, {})

    def fetch(self, query):
        with warehouse.connect(self.stack.addresses().warehouse) as connection:
            return warehouse.fetch(connection, query)

    def champions(self):
        registry = Registry(self.stack.addresses().mlflow)
        return [
            (model, registry.resolve(model, self.day).version) for model in (tables.SEGMENTS_MODEL, *tables.TARGETS)
        ]

    def files(self, folder):
        return {str(path.relative_to(folder)): backup.described(path)["sha256"] for path in backup.walk(folder)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    try:
        yield shop
    finally:
        shop.stack.down()


def test_a_back_fill_leaves_what_daily_runs_leave(shop):
    days = [shop.day - dt.timedelta(days=number) for number in (2, 1)]
    shop.run(bench.WEEKLY, days[0])
    assert bench.compare(shop.stack, days, shop.backups) == []
    assert shop.fetch("select distinct as_of_date from marketing.customer_segments") == [(days[-1],)]


def test_days_that_were_run_are_left_out_and_a_second_back_fill_is_refused(shop):
    said = []
    yesterday = shop.day - dt.timedelta(days=1)
    before = shop.fetch("select max(snapshot_id) from marketing.snapshots")
    [only] = backfill.backfill(shop.airflow, bench.DAILY, yesterday, yesterday, say=said.append)
    assert only.state == "left out", "and it keeps no other one waiting"
    [left_out, new] = backfill.backfill(shop.airflow, bench.DAILY, yesterday, shop.day, say=said.append)
    assert (left_out.state, new.state) == ("left out", "success")
    assert any(f"{yesterday}: has been run already (success); left out." in line for line in said)
    assert shop.fetch("select max(snapshot_id) from marketing.snapshots")[0][0] == before[0][0] + 1
    body = {"dag_id": bench.DAILY, "from_date": f"{shop.day}T00:00:00Z", "to_date": f"{shop.day}T23:00:00Z",
            "max_active_runs": 1, "reprocess_behavior": "completed"}  # fmt: skip
    made = shop.airflow.send("POST", "/backfills", body)
    with pytest.raises(
        AirflowError, match=rf"Back-fill {made['id']} of {bench.DAILY}, from {shop.day} to {shop.day}, is"
    ):
        backfill.backfill(shop.airflow, bench.DAILY, shop.day, shop.day)
    shop.airflow.send("PUT", f"/backfills/{made['id']}/cancel")
    shop.run(bench.DAILY, shop.day)  # after the cancelled back-fill, whose runs Airflow would hold for ever
    shop.run(bench.DAILY, yesterday)  # after one that has ended by itself


def test_everything_comes_back_after_everything_was_destroyed(shop):
    rows, champions = shop.fetch(ROWS), shop.champions()
    lake, artifacts = (shop.files(folder) for folder in (shop.stack.folders.lake, shop.stack.folders.artifacts))
    left = bench.left(shop.stack)
    kept = backup.backup(shop.stack, str(shop.backups), keep=1)
    assert backup.whole(shop.backups) == [kept]
    shop.stack.down()
    shutil.rmtree(shop.stack.folders.home)

    victim = kept / "lake" / min(lake)
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StackError, match=min(lake)):
        restore.restore(shop.stack, str(kept))
    victim.write_bytes(whole)
    shop.stack.folders.create()
    shop.stack.folders.restoring.write_text(f"{kept}\n")  # as one leaves it that was killed
    with pytest.raises(StackError, match="A restore was cut short"):
        shop.stack.up()

    restore.restore(shop.stack, str(kept))
    assert shop.fetch(ROWS) == rows
    assert shop.champions() == champions
    assert bench.differing(left, bench.left(shop.stack)) == []
    assert shop.files(shop.stack.folders.lake) == lake
    assert shop.files(shop.stack.folders.artifacts) == artifacts
    with pytest.raises(StackError, match="is not empty"):
        restore.restore(shop.stack, str(kept))


def test_the_next_day_goes_on_and_who_was_erased_after_the_backup_is_erased_again(shop):
    tomorrow = shop.day + dt.timedelta(days=1)
    practice_shop.grow(shop.stack.addresses().warehouse, 1, lambda *_: None)
    shop.run(bench.DAILY, tomorrow)
    assert shop.fetch("select distinct as_of_date from marketing.customer_segments") == [(tomorrow,)]
    kept = backup.backup(shop.stack)
    [(customer,)] = shop.fetch("select min(customer_id) from marketing.customer_segments")
    runs.erase_customer(shop.airflow, shop.stack.addresses(), customer)
    assert customer not in [row[0] for row in shop.fetch(ROWS)]
    said = []
    restore.restore(shop.stack, str(kept), force=True, say=said.append)
    assert customer not in [row[0] for row in shop.fetch(ROWS)]
    assert shop.fetch("select count(*) from privacy.erasures where finished_at is not null") == [(1,)]
    assert any("erasing again 1 who were erased after the backup was made" in line for line in said)
