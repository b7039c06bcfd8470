"""`ops.runs` and `ops.alerts` on a real Postgres."""

import datetime as dt
from dataclasses import replace

import pytest

from segmentation import history, task_runs, warehouse
from segmentation.task_runs import TaskRun

BEGUN = dt.datetime(2026, 1, 2, 5, tzinfo=dt.UTC)
RUN = TaskRun(
    "daily", "r", "extract", 3, 1, dt.date(2026, 1, 2), "extract orders", BEGUN, BEGUN + dt.timedelta(seconds=90),
    None, 12, 200, "up_for_retry", "no route",
)  # fmt: skip


def fetch(dsn, query):
    with warehouse.connect(dsn) as connection:
        return warehouse.fetch(connection, query)


def test_a_try_is_one_row_however_often_it_is_written(warehouse_dsn):
    """In a database that has nothing yet."""
    task_runs.write(warehouse_dsn, RUN)
    task_runs.write(warehouse_dsn, replace(RUN, state="failed"))
    task_runs.write(warehouse_dsn, replace(RUN, try_number=2, started_at=None, state="failed"))
    rows = fetch(warehouse_dsn, "select try_number, seconds, rows_out, state, cause from ops.runs order by try_number")
    assert rows == [(1, 90.0, 12, "failed", "no route"), (2, None, 12, "failed", "no route")]


def test_the_same_thing_is_told_once_for_all_parts_of_a_task(warehouse_dsn):
    assert task_runs.claim(warehouse_dsn, RUN, "failed task", "no route")
    assert not task_runs.claim(warehouse_dsn, replace(RUN, map_index=4), "failed task", "no route either")
    assert task_runs.claim(warehouse_dsn, replace(RUN, try_number=4), "failed task", "again")
    assert task_runs.claim(warehouse_dsn, RUN, "late data", "old")
    assert fetch(warehouse_dsn, "select count(*) from ops.alerts") == [(3,)]


def test_what_did_not_arrive_is_news_again_and_what_did_is_not(warehouse_dsn):
    others = [replace(RUN, map_index=each) for each in range(1, 5)]
    assert task_runs.claim(warehouse_dsn, RUN, "failed task", "no route")
    assert not task_runs.claim(warehouse_dsn, others[0], "failed task", "while the first is being told")
    task_runs.delivered(warehouse_dsn, RUN, "failed task", False)
    assert task_runs.claim(warehouse_dsn, others[1], "failed task", "the second way")
    task_runs.delivered(warehouse_dsn, others[1], "failed task", True)
    assert not task_runs.claim(warehouse_dsn, others[2], "failed task", "told already")
    assert fetch(warehouse_dsn, "select cause, is_delivered from ops.alerts") == [("the second way", True)]


def test_who_was_killed_while_telling_holds_nobody_up(warehouse_dsn):
    assert task_runs.claim(warehouse_dsn, RUN, "failed task", "no route")
    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.execute(connection, "update ops.alerts set told_at = told_at - interval '61 seconds'")
    assert task_runs.claim(warehouse_dsn, replace(RUN, map_index=1), "failed task", "no route")


def test_old_runs_are_dropped(warehouse_dsn):
    task_runs.write(warehouse_dsn, RUN)
    task_runs.write(warehouse_dsn, replace(RUN, run_id="s", finished_at=BEGUN + dt.timedelta(days=2)))
    with warehouse.connect(warehouse_dsn) as connection:
        assert task_runs.drop_old(connection, BEGUN + dt.timedelta(days=1)) == 1
    assert fetch(warehouse_dsn, "select run_id from ops.runs") == [("s",)]


def test_dashboards_may_read_it_once_their_role_is_there(warehouse_dsn):
    history.ensure_schema(warehouse_dsn)
    make = "do $$ begin create role dashboard_reader nologin; exception when duplicate_object then null; end $$"
    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, make)
    history.ensure_schema(warehouse_dsn)
    may = "select has_table_privilege('dashboard_reader', '{}', 'select')"
    assert [fetch(warehouse_dsn, may.format(t)) for t in ("ops.runs", "ops.alerts", "ops.drift")] == [
        [(True,)], [(True,)], [(False,)]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "result", "rows"),
    [
        ("extract", {"rows": 5, "deleted": 1}, (None, 5)),
        ("extract", {"accepted_batch": 3}, (None, None)),
        (
            "validate_raw",
            {"batch": 1, "tables": {"a": {"rows": 5, "accepted": 4}, "b": {"rows": 2, "accepted": 2}}},
            (7, 6),
        ),
        ("validate_scores", {"table": "t", "rows": 9, "rules": 3, "warnings": []}, (9, 9)),
        ("aggregates", {"agg.order_days": 4, "agg.sessions": 3}, (None, 7)),
        ("features", 8, (None, 8)),
        ("compact", 8, (None, None)),
        ("publish", {"snapshot_id": 1, "rows": 6}, (None, 6)),
        ("export", {"path": "x", "rows": {"raw": 3}}, (None, None)),
        ("score", None, (None, None)),
    ],
)
def test_rows_are_those_that_a_stage_tells_of(task, result, rows):
    assert task_runs.rows_of(task, result) == rows
