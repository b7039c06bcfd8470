"""What a day knew stays what it knew, whatever comes later; the latest state is always at hand."""

import datetime as dt
import itertools
import random

import pyarrow as pa
import pytest

from segmentation import compaction, history, lake, settings, tables, warehouse
from tests import frames

D1, D2, D3, D4 = (dt.date(2026, 1, day) for day in (10, 11, 12, 13))


def accept(stores, day, rows, deleted=(), entity=tables.ORDERS):
    """One entity's rows as a day's batch, without a gate."""
    data = frames.staged(entity, frames.table(entity, rows))
    gone = frames.typed([{**key, "is_deleted": True} for key in deleted], entity.staged_schema)
    lake.write(stores.lake, entity.staged, day, [*data.to_batches(), *gone.to_batches()], entity.staged_schema)
    path = lake.path(stores.lake, entity.staged, day)
    return history.append(stores, day, {entity.name: frames.part_of(path, entity, 2)})


def orders(stores, day):
    return frames.rows_of(history.known(stores, "orders", day), ["order_id", "status"])


def order(key, ordered, status="placed", updated=None):
    return {
        "order_id": key, "customer_id": "a", "ordered_at": ordered, "status": status, "updated_at": updated or ordered
    }  # fmt: skip


def test_before_anything_was_accepted_there_is_nothing_and_no_day_is_known(stores):
    assert frames.rows_of(history.latest(stores, "orders"), ["order_id"]) == set()
    assert history.accepted_batch(stores, D1) is None
    with pytest.raises(history.NotAcceptedError, match="nothing has been accepted for 2026-01-10"):
        history.known(stores, "orders", D1)


def test_only_what_happened_before_a_day_is_known_for_it(stores):
    accept(stores, D2, [order("o1", D1), order("o2", D2), order("o3", D3)])
    assert orders(stores, D2) == {("o1", "placed")}


def test_late_rows_are_taken_and_an_earlier_day_stays_as_it_was(stores):
    accept(stores, D2, [order("o1", D1)])
    accept(stores, D3, [order("late", D1, updated=D2)])
    assert orders(stores, D2) == {("o1", "placed")}
    assert orders(stores, D3) == {("o1", "placed"), ("late", "placed")}


def test_an_update_is_a_new_version_and_an_earlier_day_keeps_the_old(stores):
    accept(stores, D2, [order("o1", D1), order("o2", D1)])
    accept(stores, D3, [order("o1", D1, "shipped", updated=D2)])
    assert orders(stores, D2) == {("o1", "placed"), ("o2", "placed")}
    assert orders(stores, D3) == {("o1", "shipped"), ("o2", "placed")}


def test_a_past_day_accepted_late_gets_the_state_of_then(stores):
    accept(stores, D3, [order("o1", D1), order("o2", D1, "cancelled", updated=D3)])
    accept(stores, D4, [order("o1", D1, "shipped", updated=D3)])
    accept(stores, D2, [])
    # o1 was placed then; of o2 only the later state is known, and its updated_at tells the features so
    assert orders(stores, D2) == {("o1", "placed"), ("o2", "cancelled")}


def test_a_deletion_is_a_version_and_what_comes_back_lives_again(stores):
    accept(stores, D2, [order("o1", D1), order("o2", D1)])
    accept(stores, D3, [], deleted=[{"order_id": "o1"}])
    accept(stores, D4, [order("o1", D1, "paid", updated=D3)])
    assert orders(stores, D2) == {("o1", "placed"), ("o2", "placed")}
    assert orders(stores, D3) == {("o2", "placed")}
    assert orders(stores, D4) == {("o1", "paid"), ("o2", "placed")}


def test_customers_come_in_their_latest_state(stores):
    customer = {"customer_id": "a", "signed_up_at": D1, "updated_at": D1}
    accept(stores, D2, [customer], entity=tables.CUSTOMERS)
    accept(stores, D3, [{**customer, "profiling_consent": False, "updated_at": D2}], entity=tables.CUSTOMERS)
    columns = ["customer_id", "profiling_consent"]
    assert frames.rows_of(history.known(stores, "customers", D2), columns) == {("a", True)}
    assert frames.rows_of(history.known(stores, "customers", D3), columns) == {("a", False)}
    assert frames.rows_of(history.latest(stores, "customers"), columns) == {("a", False)}


def test_a_key_of_two_columns(stores):
    item = {"order_id": "o1", "line_no": 1}
    accept(stores, D2, [item, {**item, "line_no": 2}], entity=tables.ORDER_ITEMS)
    accept(stores, D3, [{**item, "quantity": 5, "updated_at": D2}], entity=tables.ORDER_ITEMS)
    known = frames.rows_of(history.known(stores, "order_items", D3), ["order_id", "line_no", "quantity"])
    assert known == {("o1", 1, 5), ("o1", 2, 1)}


def test_a_killed_acceptance_leaves_nothing_that_counts_and_its_file_goes(stores, monkeypatch):
    accept(stores, D2, [order("o1", D1)])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(history, "_advance", killed)
        accept(stores, D3, [order("o2", D1)])
    assert history.accepted_batch(stores, D3) is None
    assert frames.rows_of(history.latest(stores, "orders"), ["order_id"]) == {("o1",)}
    folder = f"{stores.lake}/history/orders"
    assert len(lake.files_in(folder)) == 2
    compaction.compact_history(stores)
    assert len(lake.files_in(folder)) == 1
    accept(stores, D3, [order("o2", D1)])
    assert orders(stores, D3) == {("o1", "placed"), ("o2", "placed")}


def test_staged_files_go_when_they_are_accepted(stores):
    accept(stores, D2, [order("o1", D1)])
    assert not lake.files_in(f"{stores.lake}/staged/orders/as_of={D2}")


def test_quarantined_rows_are_kept_with_the_batch_or_not_at_all(stores):
    rejects = pa.table(
        {"source": ["raw.orders"], "reason": ["null key"], "reasons": [["null key"]], "row": ['{"a": 1}']}
    )
    frames.stage(stores, D2)
    nothing = history.Part(lambda: iter(()), refused=[rejects])
    history.append(stores, D2, {"orders": nothing})
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(connection, "select source, reason, reasons, row from quarantine.rows")
    assert found == [("raw.orders", "null key", ["null key"], {"a": 1})]


def test_a_quarantine_of_an_older_release_gets_its_new_columns(stores):
    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(
            connection,
            "drop table quarantine.rows; create table quarantine.rows (row_id bigint generated always as identity "
            "primary key, source text not null, table_name text, line_no bigint, reason text not null, "
            "reasons text[] not null, row jsonb not null, note text, quarantined_at timestamptz default now()); "
            "insert into quarantine.rows (source, reason, reasons, row) values ('a file', 'x', '{x}', '[]')",
        )
    history.ensure_schema(stores.marketing)
    with warehouse.connect(stores.marketing) as connection:
        assert warehouse.fetch(connection, "select source, day, copy_no, released_at from quarantine.rows") == [
            ("a file", None, None, None)
        ]


def test_compaction_bounds_the_number_of_files_and_changes_no_day(stores, monkeypatch):
    config = settings.Settings(history=settings.History(files_per_merge=3, merge_rows=1000))
    monkeypatch.setattr(settings, "load", lambda: config)
    rng = random.Random(7)
    days = [D1 + dt.timedelta(days=n) for n in range(40)]
    statuses = itertools.cycle(["placed", "paid", "shipped", "delivered"])
    seen = {}
    for number, day in enumerate(days):
        ordered = days[0] - dt.timedelta(days=1)
        rows = [order(f"o{rng.randrange(30)}", ordered, next(statuses), updated=day) for _ in range(3)]
        rows = list({row["order_id"]: row for row in rows}.values())
        gone = [{"order_id": f"o{rng.randrange(30)}"}] if number % 7 == 3 else []
        accept(stores, day, [row for row in rows if {"order_id": row["order_id"]} not in gone], gone)
        compaction.compact_history(stores)
        seen[day] = orders(stores, day)
    assert len(history.files_of(stores, "orders")) <= 2 * 4 + 1
    for day in days:
        assert orders(stores, day) == seen[day]


def test_retired_files_go_a_day_later(stores, monkeypatch):
    config = settings.Settings(history=settings.History(files_per_merge=2))
    monkeypatch.setattr(settings, "load", lambda: config)
    for day in (D1, D2, D3):
        accept(stores, day, [order(f"o{day}", D1)])
    assert compaction.compact_history(stores) == 2
    folder = f"{stores.lake}/history/orders"
    assert len(lake.files_in(folder)) == 4
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "update ops.versions set retired_at = retired_at - interval '25 hours'")
    compaction.compact_history(stores)
    assert len(lake.files_in(folder)) == 2
