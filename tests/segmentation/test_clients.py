"""What CRMs use: SQLAlchemy, an ODBC driver, and the example in docs/ that follows the feed into another database."""

import contextlib
import datetime as dt
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from segmentation import publish, retention, settings, warehouse
from tests.segmentation.test_feed import FIRST, NOW, write
from tests.segmentation.test_publish import put_scores

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "follow_feed.py"
COLUMNS = "customer_id, segment_id, segment_name, value_tier, strategy_id"
ANY_MIGRATION = settings.Gates(
    rules={"marketing.customer_segments: too many customers have moved to another segment": {"max_value": 1}}
)


@pytest.fixture(autouse=True)
def _any_migration(monkeypatch):
    config = settings.Settings(gates=ANY_MIGRATION, publish=settings.Publish(keep_days=1, keep_changes_days=1))
    monkeypatch.setattr(settings, "load", lambda: config)


def members(draw, customers):
    chosen = draw.sample(range(customers), int(customers * 0.9))
    return {f"c{n}": (draw.randint(1, 3), draw.choice(["high", "low"]), draw.choice([None, "x"])) for n in chosen}


def publish_day(stores, number, draw, customers=400):
    write(stores, FIRST + dt.timedelta(days=number), members(draw, customers))
    return publish.publish_segments(FIRST + dt.timedelta(days=number), stores)


def follow(stores, target):
    """Starts the example; its output is read by whoever waits."""
    url = stores.marketing.replace("postgresql://", "postgresql+psycopg2://")
    command = [sys.executable, str(EXAMPLE), url, f"sqlite:///{target}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def followed(stores, target):
    process = follow(stores, target)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def copied(target):
    with sqlite3.connect(target) as copy:
        return sorted(copy.execute(f"select {COLUMNS} from customer_segments"), key=str)


def current(stores):
    with warehouse.connect(stores.marketing) as connection:
        query = f"select {COLUMNS} from marketing.customer_segments"
        return sorted(warehouse.fetch(connection, query), key=str)


def test_the_example_copies_once_then_follows_whatever_is_published_or_gone_back_to(stores, tmp_path):
    draw, target = random.Random(3), tmp_path / "crm.db"
    publish_day(stores, 0, draw)
    assert "copied whole" in followed(stores, target)
    assert copied(target) == current(stores)
    for number in (1, 2, 2):
        publish_day(stores, number, draw)
    said = followed(stores, target)
    assert "copied whole" not in said
    assert copied(target) == current(stores)
    publish.roll_back_segments(2, stores)
    assert "copied whole" not in followed(stores, target)
    assert copied(target) == current(stores)
    assert followed(stores, target).count("\n") == 1


def test_the_example_copies_anew_after_a_sleep_longer_than_the_feed_is_kept(stores, tmp_path):
    draw, target = random.Random(4), tmp_path / "crm.db"
    publish_day(stores, 0, draw)
    followed(stores, target)
    for number in (1, 2, 3):
        publish_day(stores, number, draw)
    retention.drop_old_snapshots(dt.datetime.now(dt.UTC) + dt.timedelta(days=30), stores)
    assert "copied whole" in followed(stores, target)
    assert copied(target) == current(stores)


def test_the_example_survives_being_killed_at_any_moment(stores, tmp_path):
    draw, target, killed = random.Random(5), tmp_path / "crm.db", 0
    publish_day(stores, 0, draw, customers=20_000)
    begun = time.monotonic()
    followed(stores, tmp_path / "another.db")
    usual = time.monotonic() - begun
    for number in range(4):
        publish_day(stores, number, draw, customers=20_000)
        for _ in range(5):
            process = follow(stores, target)
            time.sleep(usual * draw.uniform(0.2, 0.9))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
        followed(stores, target)
        assert copied(target) == current(stores)
    assert killed >= 8


def publish_held_out(stores, number, held_out):
    """A day on which all of segment 3 have an offer and a channel; customer -> `in_holdout`."""
    day = FIRST + dt.timedelta(days=number)
    rows = [
        {"customer_id": name, "as_of_date": day, "segment_id": 3, "segment_name": "s", "lifecycle_stage": "active",
         "value_tier": "low", "scored_at": NOW, "model_versions": "{}", "strategy_id": "x", "offer": "a voucher",
         "contact_channel": "email", "in_holdout": is_held_out}
        for name, is_held_out in held_out.items()
    ]  # fmt: skip
    put_scores(stores, day, rows)
    publish.publish_segments(day, stores)


def contacted_by(program):
    """The query by which the page about clients contacts somebody with a program."""
    text = (DOCS / "clients.md").read_text(encoding="utf-8").replace("\\\n", " ")
    [query] = re.findall(rf'^    {program} .*"(select .*)"$', text, re.MULTILINE)
    return query


def test_nobody_who_is_held_out_is_contacted_by_the_examples(stores, tmp_path):
    target, wanted = tmp_path / "crm.db", [("a", "a voucher", "email"), ("d", "a voucher", "email")]
    publish_held_out(stores, 0, {"a": True, "b": True, "c": False, "d": None})
    followed(stores, target)
    publish_held_out(stores, 1, {"a": False, "b": True, "c": True, "d": None})
    assert "copied whole" not in followed(stores, target)
    with warehouse.connect(stores.marketing) as connection:
        assert sorted(warehouse.fetch(connection, contacted_by("psql"))) == wanted
    with sqlite3.connect(target) as copy:
        assert sorted(copy.execute(contacted_by("sqlite3"))) == wanted


def test_a_copy_made_before_it_had_all_columns_is_made_anew(stores, tmp_path):
    target = tmp_path / "crm.db"
    publish_held_out(stores, 0, {"a": True})
    with sqlite3.connect(target) as copy:
        copy.execute("create table customer_segments (customer_id varchar(200) primary key, segment_id integer)")
        copy.execute("create table segments_cursor (change_id bigint not null)")
        copy.execute("insert into segments_cursor values (1)")
    assert "copied whole" in followed(stores, target)
    with sqlite3.connect(target) as copy:
        assert copy.execute("select customer_id, in_holdout from customer_segments").fetchall() == [("a", 1)]


def test_the_contract_says_who_must_not_be_contacted():
    for page in ("clients.md", "contract.md"):
        said = (DOCS / page).read_text(encoding="utf-8").replace("**", "")
        assert "Who is `in_holdout` must not be contacted" in said


def test_sqlalchemy_reads_every_relation(stores):
    publish_day(stores, 0, random.Random(6))
    engine = sa.create_engine(stores.marketing.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        row = "('2026-01-31', 'p', 1, 'slow', 'hold')"
        columns = "(as_of_date, product_id, units_per_week, movement, action)"
        connection.execute(sa.text(f"insert into marketing_internal.product_movement_rows {columns} values {row}"))
    tables = sa.MetaData()
    tables.reflect(engine, schema="marketing", views=True)
    assert set(tables.tables) == {
        "marketing.customer_segments", "marketing.segment_changes", "marketing.segment_history",
        "marketing.segment_profiles", "marketing.snapshots", "marketing.product_movement",
    }  # fmt: skip
    with engine.connect() as connection:
        for table in tables.tables.values():
            assert connection.execute(sa.select(table).limit(1)).first() is not None


@pytest.fixture
def by_odbc(stores):
    """A connection as a CRM on ODBC makes it, by the drivers' own settings."""
    pyodbc = pytest.importorskip("pyodbc", reason="there is no libodbc here (Debian: libodbc2)", exc_type=ImportError)
    drivers = [name for name in pyodbc.drivers() if name == "PostgreSQL Unicode"]
    if not drivers:
        pytest.skip("there is no ODBC driver for PostgreSQL here (Debian: odbc-postgresql)")
    url = sa.make_url(stores.marketing)
    parts = {"Server": url.host, "Port": url.port, "Database": url.database, "Uid": url.username, "Pwd": url.password}
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    with contextlib.closing(pyodbc.connect(f"Driver={{{drivers[0]}}};{text}", autocommit=True)) as connection:
        yield connection


def test_an_odbc_driver_reads_the_table_the_feed_and_a_past_day(stores, by_odbc):
    members = {"a": (1, "high", "x"), 'ü "7"': (2, "low", None)}
    write(stores, FIRST, members)
    publish.publish_segments(FIRST, stores)
    write(stores, FIRST + dt.timedelta(days=1), {"a": (2, "high", "x")})
    publish.publish_segments(FIRST + dt.timedelta(days=1), stores)
    cursor = by_odbc.cursor()
    [row] = cursor.execute("select * from marketing.customer_segments where customer_id = ?", "a").fetchall()
    found = dict(zip((column[0] for column in cursor.description), row, strict=True))
    assert (found["segment_id"], found["value_tier"], found["strategy_id"]) == (2, "high", "x")
    assert (found["as_of_date"], found["reasons"]) == (FIRST + dt.timedelta(days=1), '{"bought lately"}')
    feed = "select customer_id, change from marketing.segment_changes where change_id > ? order by change_id"
    assert {tuple(row) for row in cursor.execute(feed, 2).fetchall()} == {("a", "moved"), ('ü "7"', "left")}
    then = cursor.execute("select customer_id from marketing.customer_segments_at(?)", FIRST).fetchall()
    assert {name for (name,) in then} == set(members)
    named = {row.column_name for row in cursor.columns(table="customer_segments", schema="marketing")}
    assert {"customer_id", "offer", "contact_channel"} <= named
