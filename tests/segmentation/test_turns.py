"""A day of a table is worked at by one run at a time; and a backup's standstill lets nobody write."""

import datetime as dt
import logging
import re
import threading
import time
from pathlib import Path

import psycopg2
import pytest

from segmentation import erasures, extract, features, recommend, score, strategy, tables, turns, validate, warehouse
from segmentation.standstill import standstill

DAY = dt.date(2026, 1, 31)


class Stage:
    """A stage that can be kept at work, and notes who is in it at once."""

    def __init__(self):
        self.inside, self.most, self.go_on = 0, 0, threading.Event()
        self.entered = threading.Event()

        @turns.takes_turns("feat.customer_daily")
        @erasures.holds_off_erasure
        def build(day, stores):
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.entered.set()
            assert self.go_on.wait(30)
            self.inside -= 1

        self.build = build

    def begin(self, day, stores):
        thread = threading.Thread(target=self.build, args=(day, stores), daemon=True)
        thread.start()
        return thread


def waiting(stores):
    """How many sessions wait for an advisory lock."""
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(
            connection, "select count(*) from pg_locks where locktype = 'advisory' and not granted "
            "and database = (select oid from pg_database where datname = current_database())"
        )[0][0]  # fmt: skip


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_of_a_day_waits_and_says_so(stores, caplog):
    caplog.set_level(logging.INFO)
    stage = Stage()
    first = stage.begin(DAY, stores)
    wait_for(stage.entered.is_set)
    second = stage.begin(DAY, stores)
    wait_for(lambda: waiting(stores) == 1)
    assert "another run is at feat.customer_daily of 2026-01-31: waiting until it has ended that" in caplog.text
    assert stage.inside == 1
    stage.go_on.set()
    first.join(30)
    second.join(30)
    assert stage.most == 1
    assert "the other run is through with feat.customer_daily of 2026-01-31: going on" in caplog.text


def test_another_day_does_not_wait(stores):
    stage = Stage()
    threads = [stage.begin(DAY + dt.timedelta(days=number), stores) for number in range(2)]
    wait_for(lambda: stage.most == 2)
    stage.go_on.set()
    for thread in threads:
        thread.join(30)


def test_a_killed_run_s_turn_ends(stores):
    stage = Stage()
    stage.go_on.set()
    holder = psycopg2.connect(stores.marketing)
    with holder.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [turns.lock_of("feat.customer_daily", DAY)])
    second = stage.begin(DAY, stores)
    wait_for(lambda: waiting(stores) == 1)
    holder.close()
    second.join(30)
    assert stage.most == 1


@pytest.mark.parametrize(
    ("stage", "arguments", "table"),
    [
        (extract.extract_entity, {"name": "orders"}, "staged.orders"),
        (validate.accept_raw, {}, "staged.campaign_contacts"),
        (validate.validate_table, {"table": "score.customer_daily"}, "score.customer_daily"),
        (features.build_features, {}, tables.CUSTOMER_FEATURES),
        (features.build_training_examples, {}, tables.TRAINING_EXAMPLES),
        (score.score_customers, {"scored_at": dt.datetime(2026, 1, 31, tzinfo=dt.UTC)}, tables.CUSTOMER_SCORES),
        (strategy.choose_strategies, {"key": "k" * 16}, tables.STRATEGIES),
        (recommend.recommend_products, {}, tables.RECOMMENDATIONS),
    ],
)
def test_every_stage_that_writes_a_day_takes_its_turn(stores, stage, arguments, table, caplog):
    """Held up by another session at that very table's day, and by nothing else."""
    holder = psycopg2.connect(stores.marketing)
    with holder.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [turns.lock_of(table, DAY)])
    errors = []

    def run():
        try:
            stage(day=DAY, stores=stores, **arguments)
        except Exception as error:
            errors.append(error)  # an empty shop: what counts is when

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_for(lambda: waiting(stores) == 1)
    assert f"another run is at {table} of {DAY}" in caplog.text
    assert not errors
    holder.close()
    wait_for(lambda: waiting(stores) == 0)
    thread.join(300)  # it may first have to make MLflow's tables
    assert not thread.is_alive()


def test_the_locks_in_the_backup_s_recipe_are_those_of_the_standstill(stores):
    """Taken by hand as docs/backup.md has it, in its order; and by the script for docker compose."""
    recipe, script = (
        (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
        for name in ("docs/backup.md", "deploy/backup.sh")
    )
    by_hand = [int(number) for number in re.findall(r"select pg_advisory_lock\((-?\d+)\)", recipe)]
    assert [int(number) for number in re.findall(r"select pg_advisory_lock\((-?\d+)\)", script)] == by_hand
    held = (
        "select (classid::bigint << 32) | objid::bigint from pg_locks where locktype = 'advisory' and granted "
        "and objsubid = 1 and database = (select oid from pg_database where datname = current_database())"
    )
    with standstill(stores), warehouse.connect(stores.marketing) as connection:
        assert {number for (number,) in warehouse.fetch(connection, held)} == set(by_hand)
    assert len(by_hand) == 3


def test_a_standstill_waits_for_who_is_writing_and_others_wait_for_it(stores):
    stage, still, end = Stage(), threading.Event(), threading.Event()

    def stand():
        with standstill(stores) as snapshot, warehouse.connect(stores.marketing) as connection:
            warehouse.execute(connection, "set transaction isolation level repeatable read")
            warehouse.execute(connection, "set transaction snapshot :name", {"name": snapshot})
            assert warehouse.fetch(connection, "select 1") == [(1,)]
            still.set()
            assert end.wait(30)

    first = stage.begin(DAY, stores)
    wait_for(stage.entered.is_set)
    standing = threading.Thread(target=stand, daemon=True)
    standing.start()
    wait_for(lambda: waiting(stores) == 1)
    assert not still.is_set()
    stage.go_on.set()
    first.join(30)
    wait_for(still.is_set)
    stage.entered.clear()
    second = stage.begin(DAY, stores)
    wait_for(lambda: waiting(stores) == 1)
    assert not stage.entered.is_set()
    end.set()
    standing.join(30)
    second.join(30)
    assert stage.entered.is_set()
