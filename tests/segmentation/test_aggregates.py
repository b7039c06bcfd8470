"""The aggregates: whatever the batches bring, they amount to what the history as a whole says; and they cost little."""

import datetime as dt
import posixpath
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentation import aggregates, compaction, engine, history, lake, settings, sql, tables
from tests import frames

DAY = dt.date(2026, 1, 31)
CUSTOMERS = [{"customer_id": key} for key in "abc"]


def at(day: int, hour: int = 12) -> dt.datetime:
    """An hour of January 2026."""
    return dt.datetime(2026, 1, day, hour, tzinfo=dt.UTC)


def accept(stores, day: int, deleted=None, **rows) -> None:
    """Accepts rows, and deletions by key, as what a day of January brought."""
    date = dt.date(2026, 1, day)
    parts = {}
    for name, entity in tables.ENTITIES.items():
        living = frames.table(entity, rows.get(name, []))
        living = living.append_column("is_deleted", pa.array([False] * living.num_rows, pa.bool_()))
        gone = [dict(zip(entity.key, key, strict=True)) | {"is_deleted": True} for key in (deleted or {}).get(name, [])]
        both = pa.concat_tables([living, frames.typed(gone, entity.version_schema)])
        lake.write(stores.lake, entity.staged, date, [], entity.staged_schema)
        parts[name] = history.Part(both.to_batches)
    history.append(stores, date, parts)


def kept(stores, aggregate, day: dt.date, as_of: dt.date) -> list[dict]:
    """What an aggregate amounts to as known for a day, of what was before another, without what adds up to nothing."""
    with engine.session(stores.lake) as session:
        session.put(aggregate.table, history.aggregated(stores, aggregate, day, as_of))
        return engine.table_of(session.batches(summed(aggregate, aggregate.table, "true"))).to_pylist()


def from_scratch(stores, aggregate, day: dt.date, as_of: dt.date) -> list[dict]:
    """The same from all versions of the rows, in one go."""
    batch = history.accepted_batch(stores, day)
    with engine.session(stores.lake) as session:
        for name in (tables.ORDERS.name, tables.ORDER_ITEMS.name):
            session.put(f"raw.{name}_timeline", history.timeline(stores, name, batch))
        session.put("raw.events", history.happened(stores, tables.EVENTS.name, batch))
        rows = f"({sql.read('aggregates', aggregate.name)}) as a"
        is_known = f"{aggregate.day} < date '{as_of}' and changed_on < date '{as_of}'"
        return engine.table_of(session.batches(summed(aggregate, rows, is_known))).to_pylist()


def summed(aggregate, rows: str, condition: str) -> str:
    """The statement that adds up an aggregate's rows, without what adds up to nothing."""
    keys = ", ".join(name for name in aggregate.keys.names if name != "changed_on")
    sums = ", ".join(f"sum({name}) as {name}" for name in aggregate.measures.names)
    some = " or ".join(f"sum({name}) <> 0" for name in aggregate.measures.names)
    return f"select {keys}, {sums} from {rows} where {condition} group by all having {some} order by all"


def order(key: str, customer: str, day: int, **columns) -> dict:
    placed = at(day)
    return {"order_id": key, "customer_id": customer, "ordered_at": placed, "updated_at": placed, **columns}


def appended(stores, name: str) -> list[list[dict]]:
    """The rows of every file of an aggregate, the oldest first."""
    files = history.files_of(stores, name)
    return [pq.read_table(posixpath.join(stores.lake, file.path)).to_pylist() for file in files]


@pytest.mark.parametrize("seed", [1, 2])
def test_any_history_amounts_to_what_all_its_versions_say(stores, seed):
    """Rows that are new, late, changed, repeated, moved to another day, deleted and deleted rows that come back."""
    rng = random.Random(seed)
    orders: dict[str, dict] = {}
    items: dict[tuple, dict] = {}
    events: dict[str, dict] = {}
    for day in range(10, 20):
        new_orders, new_items, new_events = {}, {}, {}
        gone = {"orders": [], "order_items": [], "events": []}
        for _ in range(6):
            key = f"o{rng.randrange(25)}"
            updated = at(max(day - rng.choice([0, 0, 0, 1, 3]), 1), rng.randrange(24))
            new_orders[key] = {
                "order_id": key,
                "customer_id": rng.choice("abc"),
                "ordered_at": at(rng.randrange(1, day + 1)),
                "status": rng.choice(["placed", "delivered", "cancelled"]),
                "channel": rng.choice(["web", "app", None]),
                "total_amount": rng.randrange(100),
                "coupon_code": rng.choice([None, "X"]),
                "updated_at": updated,
            }
            line = (key, rng.randrange(1, 3))
            new_items[line] = {
                "order_id": line[0],
                "line_no": line[1],
                "product_id": rng.choice(["p1", "p2"]),
                "quantity": rng.randrange(1, 5),
                "returned_quantity": rng.choice([0, 0, 1]),
                "updated_at": at(day, rng.randrange(24)),
            }
            event = f"e{rng.randrange(60)}"
            new_events[event] = events.get(event) or {
                "event_id": event,
                "customer_id": rng.choice("abc"),
                "occurred_at": at(max(day - rng.choice([0, 0, 1, 5]), 1), rng.randrange(24)),
                "event_type": rng.choice(["page_view", "product_view", "add_to_cart"]),
                "session_id": rng.choice(["s1", "s2", None]),
                "product_id": rng.choice(["p1", None]),
            }
        for known, name in ((orders, "orders"), (items, "order_items"), (events, "events")):
            fresh = {"orders": new_orders, "order_items": new_items, "events": new_events}[name]
            rest = sorted(set(known) - set(fresh))
            if rest and rng.random() < 0.5:
                lost = rng.choice(rest)
                gone[name].append(lost if isinstance(lost, tuple) else (lost,))
        orders |= new_orders
        items |= new_items
        events |= new_events
        accept(
            stores,
            day,
            gone,
            orders=new_orders.values(),
            order_items=new_items.values(),
            events=new_events.values(),
        )
        if day != 14:  # two batches at once
            aggregates.build_aggregates(dt.date(2026, 1, day), stores)
    compaction.compact_history(stores)
    compared = 0
    for aggregate in tables.AGGREGATES.values():
        for day, as_of in ((19, 31), (19, 15), (14, 14), (12, 11), (11, 31)):
            known, before = dt.date(2026, 1, day), dt.date(2026, 1, as_of)
            wanted = from_scratch(stores, aggregate, known, before)
            assert kept(stores, aggregate, known, before) == wanted, (aggregate.name, day, as_of)
            compared += len(wanted)
    assert compared > 50, "else this shows little"


def test_a_late_row_costs_its_own_day(stores):
    orders = [order(f"o{n}", "abc"[n % 3], 1 + n % 20) for n in range(60)]
    events = [
        {"event_id": f"e{n}", "customer_id": "abc"[n % 3], "occurred_at": at(1 + n % 20), "session_id": f"s{n}"}
        for n in range(60)
    ]
    accept(stores, 21, orders=orders, events=events)
    late = {"event_id": "late", "customer_id": "a", "occurred_at": at(4), "session_id": "s_late"}
    accept(stores, 22, orders=[order("late", "b", 3)], events=[late])
    aggregates.build_aggregates(dt.date(2026, 1, 22), stores)
    assert [(row["customer_id"], row["ordered_on"].day) for row in appended(stores, "order_days")[1]] == [("b", 3)]
    assert [(row["customer_id"], row["visited_on"].day) for row in appended(stores, "sessions")[1]] == [("a", 4)]
    assert len(appended(stores, "sessions")[0]) == 60


def test_rows_that_come_again_unchanged_add_nothing(stores):
    rows = {"orders": [order("o1", "a", 3)], "events": [{"event_id": "e1", "customer_id": "a", "occurred_at": at(3)}]}
    accept(stores, 5, **rows)
    accept(stores, 6, **rows)
    added = aggregates.build_aggregates(dt.date(2026, 1, 6), stores)
    assert added == {"order_days": 1, "product_days": 0, "sessions": 1, "product_views": 0}
    assert [len(rows) for rows in appended(stores, "order_days")] == [1, 0]
    assert aggregates.build_aggregates(dt.date(2026, 1, 6), stores) == dict.fromkeys(added, 0)


def test_a_build_that_is_killed_goes_on_where_it_was(stores, monkeypatch):
    events = [{"event_id": "e1", "customer_id": "a", "occurred_at": at(3)}]
    accept(stores, 5, orders=[order("o1", "a", 3)], events=events)
    day, whole, written = dt.date(2026, 1, 5), lake.write_file, []

    def dies(target, batches, schema, notes=None):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(target)
        return whole(target, batches, schema, notes)

    monkeypatch.setattr(lake, "write_file", dies)
    with pytest.raises(KeyboardInterrupt):
        aggregates.build_aggregates(day, stores)
    monkeypatch.undo()
    with pytest.raises(history.NotAcceptedError, match=r"agg\.sessions is not built for 2026-01-05: run the task agg"):
        history.aggregated(stores, tables.SESSIONS, day, day)
    aggregates.build_aggregates(day, stores)
    assert [len(appended(stores, name)) for name in tables.AGGREGATES] == [1, 1, 1, 1]
    assert len(kept(stores, tables.SESSIONS, day, day)) == 1


def test_an_aggregate_whose_statement_changes_is_made_anew(stores, monkeypatch):
    accept(stores, 5, orders=[order("o1", "a", 3)])
    day = dt.date(2026, 1, 5)
    aggregates.build_aggregates(day, stores)
    before = history.files_of(stores, "order_days"), history.files_of(stores, "sessions")
    read = sql.read

    def changed(stage, name):
        text = read(stage, name)
        return text.replace("'unknown'", "'none'") if name == "order_days" else text

    monkeypatch.setattr(sql, "read", changed)
    aggregates.build_aggregates(day, stores)
    after = history.files_of(stores, "order_days"), history.files_of(stores, "sessions")
    assert before[0] != after[0]
    assert before[1] == after[1]
    assert [row["channel"] for row in kept(stores, tables.ORDER_DAYS, day, day)] == ["none"]


def test_a_day_that_was_not_accepted_is_named(stores):
    with pytest.raises(history.NotAcceptedError, match="nothing has been accepted for 2026-01-31: run extract"):
        aggregates.build_aggregates(DAY, stores)


def test_files_of_the_aggregates_are_merged_too(stores):
    fan_in = settings.History().files_per_merge
    for day in range(1, fan_in + 3):
        accept(stores, day, orders=[order(f"o{day}", "a", day)])
        aggregates.build_aggregates(dt.date(2026, 1, day), stores)
    last = dt.date(2026, 1, fan_in + 2)
    before = kept(stores, tables.ORDER_DAYS, last, DAY)
    compaction.compact_history(stores)
    assert len(history.files_of(stores, "order_days")) < fan_in
    assert kept(stores, tables.ORDER_DAYS, last, DAY) == before
    assert aggregates.build_aggregates(last, stores)["order_days"] == 0


@pytest.mark.parametrize("rows", [1, 12])
def test_new_aggregates_are_made_of_some_days_at_a_time_and_are_the_same(stores, monkeypatch, caplog, rows):
    orders = [order(f"o{n}", "abc"[n % 3], 1 + n % 9, channel="web", status="cancelled" if n % 4 == 0 else "placed",
                    total_amount=n) for n in range(40)]  # fmt: skip
    items = [{"order_id": f"o{n}", "product_id": f"p{n % 5}", "returned_quantity": n % 2} for n in range(40)]
    events = [
        {"event_id": f"e{n}", "customer_id": "abc"[n % 3], "occurred_at": at(1 + n % 11, n % 24), "product_id": "p1",
         "session_id": f"s{n % 7}", "event_type": "product_view"} for n in range(60)
    ]  # fmt: skip
    accept(stores, 20, customers=CUSTOMERS, orders=orders, order_items=items, events=events)
    day = dt.date(2026, 1, 20)
    found = {}
    for most in (10_000_000, rows):
        told = settings.Settings(history={"first_rows": most})
        monkeypatch.setattr(settings, "load", lambda told=told: told)
        monkeypatch.setattr(aggregates, "_definition", lambda aggregate, most=most: f"{aggregate.name} {most}")
        caplog.clear()
        caplog.set_level("INFO")
        appended_rows = aggregates.build_aggregates(day, stores)
        found[most] = {name: appended(stores, name) for name in tables.AGGREGATES}
        assert {name: len(files[0]) for name, files in found[most].items()} == appended_rows
        parts = [text for text in caplog.messages if text.startswith("agg.sessions from ")]
        assert len(parts) == {10_000_000: 0, 1: 11, 12: 6}[most]
    assert found[rows] == found[10_000_000]
    assert all(files[0] for files in found[rows].values())
