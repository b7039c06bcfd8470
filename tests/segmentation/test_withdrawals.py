"""Who withdraws a consent is out of every kept snapshot with the next publication; feed and history stay right."""

import datetime as dt

import pyarrow as pa
import pytest

from segmentation import history, lake, publish, settings, snapshots, sql, tables, warehouse, withdrawals
from tests import frames
from tests.segmentation.test_feed import ANY_MIGRATION, FIRST, NOW, fetch, replayed

ALL = {"profiling_consent": True, "email_consent": True, "sms_consent": True}
EMAIL, PROFILING = "email_consent", "profiling_consent"


@pytest.fixture(autouse=True)
def _any_migration(monkeypatch):
    monkeypatch.setattr(settings, "load", lambda: settings.Settings(gates=ANY_MIGRATION))


def day(number):
    return FIRST + dt.timedelta(days=number)


def say(stores, number, said):
    """What the shop says of customers on a day: name -> the consents that they have not."""
    changed = [
        {"customer_id": name, **ALL, **dict.fromkeys(columns, False), "updated_at": day(number)}
        for name, columns in said.items()
    ]
    frames.accept(stores, day(number), customers=changed)


def publish_day(stores, number, channels):
    """Publishes a day on which customers, who move every day, are reached so: name -> channel or None."""
    segments = {name: 1 + (number + ord(name)) % 3 for name in channels}
    rows = [
        {"customer_id": name, "as_of_date": day(number), "segment_id": segments[name], "lifecycle_stage": "active",
         "segment_name": f"s{segments[name]}", "value_tier": "low", "scored_at": NOW, "model_versions": "{}",
         "strategy_id": "x", "contact_channel": channel}
        for name, channel in channels.items()
    ]  # fmt: skip
    data = frames.typed(rows, tables.SEGMENT_COLUMNS)
    for table, columns in ((tables.CUSTOMER_SCORES, data), (tables.CUSTOMER_FEATURES, data.select(["customer_id"]))):
        lake.write(stores.lake, table, day(number), columns.to_batches(), columns.schema)
    return publish.publish_segments(day(number), stores)


def kept(stores):
    """Day -> who is in its published snapshot, and how each is reached."""
    query = (
        "select s.as_of_date, r.customer_id, r.contact_channel from marketing.snapshots as s "
        "cross join marketing.customer_segments_at(s.as_of_date) as r where s.status = 'published' order by 1, 2"
    )
    found = {}
    for date, name, channel in fetch(stores, query):
        found.setdefault((date - FIRST).days, {})[name] = channel
    return found


def check_what_is_told(stores):
    """The feed gives the current table, on each kept snapshot too, and so does the history; rows are counted."""
    columns = "select customer_id, segment_id, strategy_id from marketing"
    now = {name: tuple(told) for name, *told in fetch(stores, f"{columns}.customer_segments")}
    opened = fetch(stores, f"{columns}.segment_history where valid_to is null")
    assert {name: tuple(told) for name, *told in opened} == now
    feed = fetch(stores, "select change_id, customer_id, change, from_segment_id, to_segment_id, from_strategy_id, "
                         "to_strategy_id from marketing.segment_changes order by change_id")  # fmt: skip
    assert replayed({}, [row[1:] for row in feed]) == now
    for number, rows, cursor in fetch(stores, "select snapshot_id, row_count, last_change_id from marketing.snapshots"):
        there = fetch(stores, f"select customer_id, segment_id, strategy_id from {snapshots.partition(number)}")
        assert len(there) == rows
        members = {name: tuple(told) for name, *told in there}
        for change_id, name, _, _, segment, _, strategy in feed:
            if cursor is not None and change_id > cursor:
                members.pop(name, None)
                members |= {name: (segment, strategy)} if segment is not None else {}
        assert cursor is None or members == now


def test_who_withdraws_is_out_of_every_kept_day_with_the_next_publication(stores):
    say(stores, 0, {name: [] for name in "abcd"})
    publish_day(stores, 0, dict.fromkeys("abcd", "email"))
    publish_day(stores, 1, {"a": "email", "b": "email", "c": "sms"})
    say(stores, 2, {"b": [PROFILING], "c": [EMAIL], "d": [PROFILING]})
    publish_day(stores, 2, {"a": "email", "b": "email", "c": "sms"})
    assert kept(stores) == {
        0: {"a": "email", "c": None}, 1: {"a": "email", "c": "sms"}, 2: {"a": "email", "c": "sms"}
    }  # fmt: skip
    check_what_is_told(stores)
    told = "select customer_id from marketing.segment_changes where snapshot_id = 3 and change = 'left'"
    assert fetch(stores, told) == [("b",)]
    assert fetch(stores, "select valid_to from marketing.segment_history where customer_id = 'b' order by 1") == [
        (day(1),), (day(2),)
    ]  # fmt: skip


def test_going_back_to_a_snapshot_without_them_tells_what_is_so(stores):
    say(stores, 0, {name: [] for name in "abc"})
    for number in (0, 1):
        publish_day(stores, number, dict.fromkeys("abc", "email"))
    say(stores, 2, {"b": [PROFILING], "c": [EMAIL]})
    publish_day(stores, 2, {"a": "email", "b": "email", "c": None})
    publish.roll_back_segments(1, stores)
    assert kept(stores) == {0: {"a": "email", "c": None}}
    check_what_is_told(stores)
    say(stores, 3, {"a": [PROFILING], "b": []})
    publish_day(stores, 3, {"a": "email", "b": "email", "c": None})
    assert kept(stores) == {0: {"c": None}, 3: {"b": "email", "c": None}}
    check_what_is_told(stores)


def test_a_back_fill_leaves_what_is_current_to_the_next_publication_that_tells_of_it(stores):
    say(stores, 0, {name: [] for name in "ab"})
    for number in (0, 2):
        publish_day(stores, number, dict.fromkeys("ab", "email"))
    say(stores, 3, {"b": [PROFILING]})
    assert not publish_day(stores, 1, dict.fromkeys("ab", "email"))["is_current"]
    assert kept(stores) == {0: {"a": "email"}, 1: {"a": "email"}, 2: dict.fromkeys("ab", "email")}
    check_what_is_told(stores)
    publish_day(stores, 3, dict.fromkeys("ab", "email"))
    assert kept(stores) == {number: {"a": "email"} for number in range(4)}
    check_what_is_told(stores)


def test_a_publication_that_was_killed_before_is_made_up_for_by_the_next(stores, monkeypatch):
    say(stores, 0, {name: [] for name in "ab"})
    publish_day(stores, 0, dict.fromkeys("ab", "email"))
    say(stores, 1, {"b": [PROFILING]})
    with monkeypatch.context() as patch:
        patch.setattr(withdrawals, "forget", lambda *_: None)
        publish_day(stores, 1, dict.fromkeys("ab", "email"))
    assert set(kept(stores)[0]) == set("ab")
    publish_day(stores, 1, dict.fromkeys("ab", "email"))
    assert kept(stores) == {0: {"a": "email"}, 1: {"a": "email"}}
    check_what_is_told(stores)


def test_no_reader_is_waited_for_or_waits(stores):
    say(stores, 0, {name: [] for name in "ab"})
    for number in (0, 1):
        publish_day(stores, number, dict.fromkeys("ab", "email"))
    say(stores, 2, {"a": [EMAIL], "b": [PROFILING]})
    query = f"select customer_id, contact_channel from marketing.customer_segments_at('{FIRST}') order by 1"
    with warehouse.connect(stores.marketing) as reader, snapshots.only_publisher(stores.marketing) as connection:
        warehouse.execute(reader, "set transaction isolation level repeatable read")
        seen = warehouse.fetch(reader, query)
        warehouse.execute(connection, "set lock_timeout = '1s'")
        withdrawals.forget(connection, stores)
        assert warehouse.fetch(reader, query) == seen == [("a", "email"), ("b", "email")]
    assert fetch(stores, query) == [("a", None)]


def test_only_customers_of_whom_something_came_since_are_looked_at(stores):
    say(stores, 0, {"a": [], "b": []})
    [(moment,)] = fetch(stores, "select clock_timestamp()")
    say(stores, 1, {"b": []})
    say(stores, 2, {"b": [EMAIL], "c": []})
    changed = history.changed(stores, "customers", moment)
    assert sorted(changed["customer_id"].to_pylist()) == ["b", "b", "c"]
    assert history.changed(stores, "customers", moment + dt.timedelta(days=1)).num_rows == 0
    assert changed.schema == pa.schema([("customer_id", pa.string())])


def test_the_withdrawn_are_looked_up_by_the_key_of_each_snapshot(stores):
    snapshots.ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        for number in (1, 2):
            name = snapshots.partition(number)
            warehouse.run_script(
                connection,
                f"create table {name} partition of marketing_internal.segment_rows for values in ({number}); "
                f"insert into {name} (customer_id, as_of_date, segment_id, segment_name, lifecycle_stage, value_tier, "
                f"snapshot_id, model_versions, scored_at) select 'c' || n, '{FIRST}', 1, 's', 'new', 'low', {number}, "
                f"'{{}}', now() from generate_series(1, 20000) as n; "
                f"alter table {name} add primary key (customer_id); analyze {name}",
            )
        warehouse.run_script(connection, "create temporary table withdrawals (customer_id text, channel text)")
        warehouse.run_script(connection, "insert into withdrawals values ('c1', null), ('c2', 'email')")
        warehouse.run_script(connection, "analyze withdrawals")
        for statement in ("withdrawn_rows", "withdrawn_channels"):
            plan = "\n".join(
                line for (line,) in warehouse.fetch(connection, f"explain {sql.read('publish', statement)}")
            )
            assert "Seq Scan on segment_rows" not in plan
            assert plan.count("segment_rows_1_pkey") == plan.count("segment_rows_2_pkey") == 1
