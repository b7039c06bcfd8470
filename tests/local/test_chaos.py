"""What `make chaos` would notice: a row that is lost, half a snapshot, an error that no outage explains, a leftover."""

import datetime as dt
import re
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.linear_model import LogisticRegression

from local.chaos import command, faults, programme, report, told
from local.chaos.command import _plan
from local.chaos.faults import Fault, Ground, Outcome
from local.chaos.readers import Readers
from local.errors import StackError
from local.processes import spawn
from local.stack import Addresses, Stack
from local.stages import DAILY, Step
from local.state import Running, State
from segmentation import compaction, publish, sql, warehouse
from segmentation.registry import Registry
from segmentation.settings import Stores
from tests.segmentation.test_publish import write_scores

DAYS = dt.date(2026, 1, 30), dt.date(2026, 1, 31)


@pytest.fixture(scope="module")
def published(new_warehouse, tmp_path_factory):
    """Two days of a shop of 300 customers: where they are kept, and the addresses by which they are told."""
    folder = tmp_path_factory.mktemp("chaos")
    with new_warehouse() as dsn, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # MLflow on SQLite keeps its artifacts in the working directory
        stores = Stores(dsn, dsn, str(folder / "lake"), f"sqlite:///{folder / 'mlflow.db'}")
        for day, others in zip(DAYS, (100, 120), strict=True):
            write_scores(stores, day, 300 - others, others=others)
            publish.publish_segments(day, stores)
        compaction.compact_history(stores)
        yield stores, Addresses("", stores.registry, "", dsn, dsn)


def parts(differences):
    return {each.part for each in differences}


def told_after(published, statement):
    """What is told, and what is broken, once a statement has done its damage; which is taken back."""
    stores, addresses = published
    tables = {"marketing.segment_history", "marketing_internal.segment_rows", "marketing_internal.change_rows"}
    with warehouse.connect(stores.marketing) as connection:
        for table in tables:
            copy = table.replace(".", "_")
            warehouse.run_script(connection, f"drop table if exists {copy}; create table {copy} as table {table}")
        warehouse.run_script(connection, statement)
    try:
        return told.tell(addresses, stores.lake, DAYS), told.broken(addresses, stores.lake)
    finally:
        with warehouse.connect(stores.marketing) as connection:
            for table in tables:
                copy = table.replace(".", "_")
                warehouse.run_script(connection, f"delete from {table}; insert into {table} table {copy}")


def test_what_is_as_it_was_does_not_differ_and_nothing_is_broken(published):
    stores, addresses = published
    first, again = (told.tell(addresses, stores.lake, DAYS) for _ in range(2))
    assert told.differences(first, again) == []
    assert told.broken(addresses, stores.lake) == []
    assert {len(first[part]) for part in ("published table", "feed replayed")} == {300}
    assert len(first["lake: score.customer_daily"]) == 600
    assert told.checksum(first["history"]) == told.checksum(again["history"])


@pytest.mark.parametrize(
    ("damage", "differing", "broken"),
    [
        (
            "delete from marketing_internal.segment_rows where snapshot_id = 2 and customer_id = 'c7'",
            {"published table"},
            {"feed", "history"},
        ),
        ("delete from marketing.segment_history where customer_id = 'c7'", {"history"}, {"history"}),
        (
            "delete from marketing_internal.change_rows where change_id = (select max(change_id) "
            "from marketing_internal.change_rows)",
            {"feed", "feed replayed"},
            {"feed"},
        ),
        (
            "update marketing_internal.segment_rows set reasons = '{}' where snapshot_id = 2 and customer_id = 'c7'",
            {"published table"},
            set(),
        ),
    ],
)
def test_a_row_that_is_lost_or_changed_is_noticed(published, damage, differing, broken):
    stores, addresses = published
    before = told.tell(addresses, stores.lake, DAYS)
    found, wrong = told_after(published, damage)
    assert parts(told.differences(before, found)) == differing
    assert parts(wrong) == broken
    assert told.differences(before, told.tell(addresses, stores.lake, DAYS)) == []


def test_what_erasures_took_out_of_the_feed_is_no_gap(published):
    stores, _ = published
    lost = "delete from marketing_internal.change_rows where change_id = 7"
    noted = """insert into privacy.erasures (id_hash, run_id, finished_at, removed) values
        ('a', 'run', now(), '{"marketing_internal.change_rows": 1, "tombstones": 2}'),
        ('b', 'run', now(), '{"marketing_internal.change_rows": 1, "tombstones": 2}')"""
    assert "gaps" in " ".join(str(each) for each in told_after(published, lost)[1])
    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(connection, sql.read("privacy", "schema"))
        warehouse.run_script(connection, noted)
    try:
        assert "gaps" not in " ".join(str(each) for each in told_after(published, lost)[1])
        two = f"{lost} or change_id = 9"
        assert "1 entries were taken out" in " ".join(str(each) for each in told_after(published, two)[1])
    finally:
        with warehouse.connect(stores.marketing) as connection:
            warehouse.run_script(connection, "delete from privacy.erasures")


def test_an_example_of_what_differs_is_told():
    [difference] = told.differences({"a": [(1, "x"), (2, "y"), (2, "y")]}, {"a": [(1, "x"), (2, "y"), (3, "z")]})
    assert str(difference) == "a: 1 of 3 rows are missing, 1 are more; missing: (2, 'y'); more: (3, 'z')"


def test_what_a_killed_task_leaves_in_the_lake_is_noticed(published):
    stores, addresses = published
    history = Path(stores.lake, "history", "customers")
    [first, *_] = sorted(history.iterdir())
    leftover, stranger = history / "x.parquet.0a.tmp", history / "stranger.parquet"
    leftover.touch()
    stranger.touch()
    away = first.rename(first.with_suffix(".away"))
    try:
        words = " ".join(str(each) for each in told.broken(addresses, stores.lake))
    finally:
        away.rename(first)
        leftover.unlink()
        stranger.unlink()
    assert "1 unfinished files" in words
    assert "stranger.parquet" in words
    assert f"{first.relative_to(stores.lake)} is missing" in words


@pytest.fixture
def readers(published, postgres_server):
    stores, _ = published
    with warehouse.connect(stores.marketing) as connection:
        [(name,)] = warehouse.fetch(connection, "select current_database()")
        if not warehouse.fetch(connection, "select 1 from pg_roles where rolname = 'crm_reader'"):
            warehouse.execute(connection, "create role crm_reader nologin")
    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(connection, "comment on schema marketing_internal is ''")  # grants come with the role
    publish.publish_segments(DAYS[1], stores)
    # The stack's database is called `warehouse`; the test's is another of the same server
    server = SimpleNamespace(url=lambda _, *login: postgres_server.url(name, *login))
    made = Readers(server, look_ups=1, scans=1)
    made.start(["c1", "c2", "c3"])
    wait_for(lambda: made.counts.scans > 3 and made.counts.look_ups > 3)
    yield made
    made.stop()


def wait_for(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def cut_off(stores):
    with warehouse.connect(stores.marketing) as connection:
        cut = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'chaos_reader'"
        assert warehouse.fetch(connection, cut)


def test_readers_are_content_with_whole_snapshots_and_with_an_outage_that_is_known(published, readers):
    stores, _ = published
    publish.publish_segments(DAYS[1], stores)
    with readers.outage():
        cut_off(stores)
        wait_for(lambda: readers.counts.refused >= 2)
    scans = readers.counts.scans
    wait_for(lambda: readers.counts.scans > scans + 3)
    assert readers.findings == []


def test_readers_notice_half_a_snapshot_and_a_customer_who_is_not_there(published, readers):
    stores, _ = published
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(
            connection,
            "delete from marketing_internal.segment_rows where customer_id = 'c2' and snapshot_id = "
            "(select snapshot_id from marketing_internal.current_snapshot)",
        )
    wait_for(lambda: len(readers.findings) >= 2)
    publish.publish_segments(DAYS[1], stores)
    assert any("had 300 rows, then 299" in finding for finding in readers.findings)
    assert "0 rows of customer c2" in readers.findings


def test_readers_notice_an_error_while_nothing_was_down(published, readers):
    cut_off(published[0])
    wait_for(lambda: readers.findings)
    assert re.search("terminating connection|closed the connection", readers.findings[0])


def test_readers_excuse_no_wrong_answer_by_an_outage(published, readers):
    stores, _ = published
    with readers.outage():
        with warehouse.connect(stores.marketing) as connection:
            warehouse.execute(connection, "alter view marketing.customer_segments rename to away")
        try:
            wait_for(lambda: readers.findings)
        finally:
            with warehouse.connect(stores.marketing) as connection:
                warehouse.execute(connection, "alter view marketing.away rename to customer_segments")
    assert "customer_segments" in readers.findings[0]


def test_readers_notice_a_mix_of_snapshots():
    seen = Readers(None)
    seen.saw(300, 2, 1, 1, 17)
    seen.saw(0, 0, 0, None, None)
    assert seen.findings == [
        "a scan saw 300 rows of 2 snapshots and 1 days",
        "a scan saw 0 rows of 0 snapshots and 0 days",
    ]


def test_readers_accept_that_an_erased_person_leaves_each_snapshot_once_and_nothing_else():
    seen = Readers(postgres=None)
    for snapshot in (1, 2):
        seen.saw(300, 1, 1, snapshot, "before")
    seen.somebody_leaves(1)
    for snapshot, rows, content in ((1, 300, "before"), (1, 299, "after"), (2, 299, "after"), (1, 299, "after")):
        seen.saw(rows, 1, 1, snapshot, content)
    assert seen.findings == []
    for rows, content in ((300, "before"), (298, "less"), (299, "others")):
        seen.saw(rows, 1, 1, 1, content)
    assert seen.findings == [f"snapshot 1 had 299 rows, then {rows}, or others" for rows in (300, 298, 299)]


@pytest.fixture
def ground(tmp_path, monkeypatch):
    monkeypatch.setattr(Stack, "up", lambda self, say: None)
    stack = Stack(tmp_path / "home")
    stack.folders.create()
    return Ground(stack, Readers(stack.postgres), lambda line: None)


@pytest.mark.parametrize("kind", ["artifacts", "lake"])
def test_a_store_fails_for_a_time_and_has_everything_afterwards(ground, kind):
    folder = getattr(ground.stack.folders, kind)
    file = folder / "deep" / "file"
    file.parent.mkdir()
    file.write_text("kept")
    fault = threading.Thread(target=ground.inject, args=(Fault(kind, "score", 0, 0.5), None))
    fault.start()
    wait_for(folder.is_file)
    with pytest.raises(NotADirectoryError):
        file.read_text()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        (folder / "deeper").mkdir(parents=True)
    fault.join()
    assert file.read_text() == "kept"


def test_a_task_is_killed_and_nobody_elses_process(ground, tmp_path):
    ours, other = (
        spawn(["sleep", "60"], cwd=folder, log=tmp_path / "log", env={"PATH": "/usr/bin:/bin"})
        for folder in (ground.stack.folders.run, tmp_path)
    )
    try:
        assert ground.inject(Fault("task", "score", 0, 0), other.pid) == ""
        assert ground.inject(Fault("task", "score", 0, 0), ours.pid) == f"process {ours.pid}"
        wait_for(lambda: not ours.is_alive())
        assert other.is_alive()
    finally:
        psutil.Process(other.pid).kill()


def test_what_ends_by_itself_later_on_is_brought_back(ground, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(Stack, "up", lambda self, say: begun.append(self))
    scheduler = spawn(["sleep", "60"], cwd=tmp_path, log=tmp_path / "log", env={"PATH": "/usr/bin:/bin"})
    State(components={"scheduler": Running(scheduler.pid, scheduler.born, "")}).save(ground.stack.folders.state)
    ground.watch_over()
    assert begun == []
    psutil.Process(scheduler.pid).kill()
    wait_for(lambda: not scheduler.is_alive())
    ground.watch_over()
    assert begun == [ground.stack]


@pytest.mark.skipif(faults.can_mount() is not None, reason=f"no small disk: {faults.can_mount()}")
def test_a_full_disk_takes_no_byte_more(ground, tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "DISK_BYTES", 4 * 1024**2)
    with faults.small_disk(ground.stack.folders.home):
        fault = threading.Thread(target=ground.inject, args=(Fault("disk", "score", 0, 0.5), None))
        fault.start()
        ballast = ground.stack.folders.home / faults.BALLAST
        wait_for(lambda: ballast.exists() and ballast.stat().st_size >= 4 * 1024**2)
        with pytest.raises(OSError, match="No space left"):
            (ground.stack.folders.home / "one").write_bytes(b"x" * 8192)
        fault.join()
        (ground.stack.folders.home / "two").write_bytes(b"x" * 8192)
    assert not (ground.stack.folders.home / "two").exists()


def test_a_training_that_was_run_again_counts_once_and_another_model_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")

    def trained(day, auc):
        with registry.training("churn_90d", day) as run:
            run.metrics({"auc": auc, "training_seconds": auc * len(registry.versions("churn_90d"))})
            columns = pd.DataFrame({"x": [0.0, 1.0]})
            estimator = LogisticRegression().fit(columns, [0, 1])
            version = run.register("churn_90d", estimator, columns, np.array([0.0, 1.0]), {})
        registry.promote("churn_90d", version, "")
        return told.registered(registry)

    trained(DAYS[0], 0.7)
    once = trained(DAYS[1], 0.8)
    assert [row[3] for row in once.rows] == [("previous",), ("champion",)]
    again = trained(DAYS[1], 0.8)
    assert again.rows == once.rows
    assert again.names["churn_90d", "3"] == again.names["churn_90d", "2"]
    assert trained(DAYS[1], 0.8 + 1e-12).rows != once.rows


def test_faults_are_drawn_by_the_seed_and_meet_every_kind_and_task():
    import random

    usual = {"extract": 1.0, "score": 2.0, "publish": 3.0}

    def planned():
        met, draw = Counter(), random.Random(5)
        step = Step(DAILY, DAYS[0])
        return [_plan(draw, step, usual, ["task", "postgres", "disk"], met, 100) for _ in range(4)]

    plans = planned()
    assert plans == planned()
    assert {(fault.kind, fault.task) for plan in plans for fault in plan} == {
        (kind, task) for kind in ("task", "postgres", "disk") for task in usual
    }
    places = [[list(usual).index(fault.task) for fault in plan] for plan in plans]
    assert places == [sorted(each) for each in places]


def test_whom_the_reference_erased_is_there_again_in_the_next_pass(ground, tmp_path, monkeypatch):
    ground.stack.folders.erased.mkdir(parents=True)
    (ground.stack.folders.erased / "somebody.json").write_text("{}")
    ledgers = []
    monkeypatch.setattr(command, "restore", lambda stack, *_, **__: ledgers.append(stack.folders.erased.exists()))
    command._go_back(ground, tmp_path / "baseline")
    assert ledgers == [False]


def test_a_baseline_beside_which_persons_were_erased_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("FENQUN_CHAOS", str(tmp_path / "home"))
    (tmp_path / "backups" / "erased").mkdir(parents=True)
    (tmp_path / "backups" / "erased" / "somebody.json").write_text("{}")
    with pytest.raises(StackError, match="persons who would be erased again"):
        command.chaos(command.Asked(1, baseline=tmp_path / "backups" / "20260101T000000Z"))


class NotBroughtBack:
    """A ground on which what was hit stays down."""

    log = staticmethod(lambda line: None)

    def inject(self, fault, pid):
        raise StackError("postgres does not come up")


def test_a_fault_that_could_not_be_mended_stays_in_the_record():
    fault = Fault("postgres", "score", 0, 0)
    outcome = Outcome(1, fault, DAILY, DAILY)
    runner = programme.Runner.__new__(programme.Runner)
    runner.ground = NotBroughtBack()
    runner._inject(fault, outcome, None, SimpleNamespace(tasks={}))
    assert outcome.hit
    assert outcome.problems == ["not brought back: StackError: postgres does not come up"]
    assert not outcome.is_recovered


def test_what_went_wrong_is_told_even_where_nothing_was_hit():
    class Broken:
        def disturbed(self, step, wanted, usual, outcomes):
            raise StackError("the run stands still")

    ground = SimpleNamespace(readers=SimpleNamespace(findings=[]), log=lambda line: None)
    result, step = command.Result(seed=1), Step(DAILY, DAYS[0])
    reference = SimpleNamespace(usual=[{}], told=[None])
    wanted = [Fault("task", "score", 0, 0)]
    assert not command._gone_through(ground, Broken(), result, step, wanted, reference, 0)
    assert [each.problems for each in result.outcomes] == [["StackError: the run stands still"]]


def test_the_page_counts_what_was_not_recovered_from():
    run = {
        "made_at": "2026-07-01 00:00", "has_airflow": True, "code": "abc", "seed": 1, "seconds": 60,
        "clears": 1, "checks": 1,
        "readers": {"scans": 10, "look_ups": 100, "refused": 3}, "findings": ["a scan saw 3 rows"], "left_out": {},
        "faults": [
            {"kind": "task", "dag": DAILY, "task": "publish", "step": DAILY, "restored_seconds": 0, "run_seconds": 9,
             "problems": problems}
            for problems in ([], ["history: 1 of 3 rows are missing"])
        ],
    }  # fmt: skip
    page = report.page([run])
    assert "**2 faults in 1 run, 1 recovered from.**" in page
    assert f"| {DAILY} | `publish` | 1 of 2 | 1 of 2 |" in page
    assert "- task at publish (segment_customers_daily): history: 1 of 3 rows are missing" in page
    assert "- readers: a scan saw 3 rows" in page
    assert f"No fault has met: {DAILY} `aggregates`, {DAILY} `compact`, " in page
    assert "never killed themselves" not in page


def test_an_outcome_with_a_problem_is_not_recovered():
    outcome = Outcome(1, Fault("task", "publish", 0, 0), DAILY, DAILY)
    assert outcome.is_recovered
    outcome.problems.append("history: 1 of 3 rows are missing")
    assert not outcome.is_recovered
