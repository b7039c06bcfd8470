"""The loader on a real Postgres: all of a file or nothing, and every line accounted for."""

import gzip
import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from local.load import Report, WrongFile, load, simulate
from local.simulator import practice_shop
from local.simulator.settings import Settings
from segmentation import tables, warehouse
from tests.local.samples import CDNOW_LINE, DIRTY_LINES, as_csv, cancellation, line

TABLES = ["customers", "products", "orders", "order_items"]
TABLES += ["events", "support_tickets", "campaigns", "campaign_contacts"]


def fetch(dsn, query):
    with warehouse.connect(dsn) as connection:
        return warehouse.fetch(connection, query)


def execute(dsn, statement):
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, statement)


def contents(dsn):
    """Everything that a load may change."""
    names = [*(f"shop.{name}" for name in TABLES), "quarantine.rows", "quarantine.loads"]
    return {name: sorted(fetch(dsn, f"select t::text from {name} as t")) for name in names}


@pytest.fixture
def retail(tmp_path):
    path = tmp_path / "retail.csv"
    path.write_text(
        as_csv([line(), line(), line(customer="", price="0"), cancellation(), line(invoice="2", price="0.125")])
    )
    return str(path)


@pytest.fixture
def cds(tmp_path):
    path = tmp_path / "cds.txt"
    path.write_text(f"{CDNOW_LINE}\n 00021 0002 19970102  3   10.00\n 00021\n")
    return str(path)


def test_a_file_in_the_warehouse(warehouse_dsn, retail):
    report = load(retail, warehouse_dsn)

    assert report == Report(
        source="retail.csv",
        lines=5,
        customers=1,
        orders=2,
        order_items=2,
        quarantined={"no customer": 1, "cancelled invoice": 1, "exact duplicate": 1},
        all_reasons={
            "no customer": 1,
            "cancelled invoice": 1,
            "quantity <= 0": 1,
            "price <= 0": 1,
            "exact duplicate": 1,
        },
        returns_applied=1,
        day=date(2010, 12, 2),
        is_new=True,
    )
    assert fetch(
        warehouse_dsn,
        "select order_id, line_no, product_id, quantity, unit_price, returned_quantity, updated_at::text "
        "from shop.order_items order by order_id",
    ) == [
        ("2", 1, "85123A", 6, Decimal("0.13"), 0, "2010-12-01 08:26:00+00"),
        ("536365", 1, "85123A", 6, Decimal("2.55"), 4, "2010-12-05 09:00:00+00"),
    ]
    assert fetch(warehouse_dsn, "select order_id, total_amount from shop.orders order by 1") == [
        ("2", Decimal("0.75")),
        ("536365", Decimal("15.30")),
    ]
    assert fetch(
        warehouse_dsn,
        "select source, table_name, line_no, reason, reasons, row ->> 'InvoiceNo', note "
        "from quarantine.rows order by row_id",
    ) == [
        ("retail.csv", None, 3, "exact duplicate", ["exact duplicate"], "536365", None),
        ("retail.csv", None, 4, "no customer", ["no customer", "price <= 0"], "536365", None),
        (
            "retail.csv",
            None,
            5,
            "cancelled invoice",
            ["cancelled invoice", "quantity <= 0"],
            "C1",
            "returned 4 of order 536365 line 1",
        ),
    ]
    assert fetch(warehouse_dsn, "select source, lines, order_items, orders, customers from quarantine.loads") == [
        ("retail.csv", 5, 2, 2, 1)
    ]


def test_a_database_without_any_table_gets_them(warehouse_dsn, retail):
    execute(warehouse_dsn, "drop schema shop cascade")
    execute(warehouse_dsn, "drop schema quarantine cascade")

    assert load(retail, warehouse_dsn).is_new
    assert fetch(warehouse_dsn, "select count(*) from shop.campaign_contacts") == [(0,)]


@pytest.mark.parametrize("entity", tables.ENTITIES.values(), ids=lambda entity: entity.name)
def test_the_practice_shop_has_the_columns_that_the_pipeline_reads(warehouse_dsn, entity):
    table = f"'shop.{entity.name}'::regclass"
    columns = fetch(
        warehouse_dsn,
        f"select attname from pg_attribute where attrelid = {table} and attnum > 0 order by attnum",
    )

    assert [name for (name,) in columns] == entity.schema.names


def test_the_same_file_again_changes_nothing_and_says_the_same(warehouse_dsn, retail):
    first = load(retail, warehouse_dsn)
    before = contents(warehouse_dsn)

    again = load(retail, warehouse_dsn)

    assert again == Report(**vars(first) | {"is_new": False})
    assert list(again.all_reasons) == list(first.all_reasons)
    assert contents(warehouse_dsn) == before


def test_another_file_replaces_the_shop_and_its_own_quarantine_only(warehouse_dsn, retail, cds):
    load(retail, warehouse_dsn)
    execute(
        warehouse_dsn,
        "insert into quarantine.rows (source, table_name, reason, reasons, row) "
        "values ('a gate', 'orders', 'odd', '{odd}', '{}')",
    )
    execute(warehouse_dsn, "insert into shop.campaigns values ('c', 'C', null, null, now(), now(), 0, 0, now())")

    report = load(cds, warehouse_dsn)

    assert (report.lines, report.orders, report.quarantined) == (3, 2, {"wrong number of fields": 1})
    assert report.day == date(1997, 1, 3)
    assert fetch(warehouse_dsn, "select source, line_no from quarantine.rows order by 1") == [
        ("a gate", None),
        ("cds.txt", 3),
    ]
    assert fetch(warehouse_dsn, "select count(*) from shop.campaigns") == [(0,)]
    assert fetch(warehouse_dsn, "select order_id from shop.orders order by 1") == [("cdnow-1",), ("cdnow-2",)]


def test_a_changed_file_of_the_same_name_is_loaded(warehouse_dsn, cds):
    load(cds, warehouse_dsn)
    with open(cds, "a") as file:
        file.write(CDNOW_LINE.replace("0101", "0102") + "\n")

    report = load(cds, warehouse_dsn)

    assert (report.is_new, report.orders) == (True, 3)


def test_a_gzip_is_loaded_like_the_file_in_it(warehouse_dsn, retail, tmp_path):
    packed = tmp_path / "packed.csv.gz"
    with open(retail, "rb") as file:
        packed.write_bytes(gzip.compress(file.read()))

    assert load(str(packed), warehouse_dsn).order_items == 2


def test_the_simulated_shop_is_made_once_and_kept(warehouse_dsn):
    report = load(None, warehouse_dsn)

    assert report.source == "simulated shop"
    assert (report.lines, report.quarantined, report.day) == (report.order_items, {}, date(2026, 7, 1))
    assert 1_900 < report.customers < 2_000
    for name in TABLES:
        assert fetch(warehouse_dsn, f"select count(*) > 0 from shop.{name}") == [(True,)]
    assert load(None, warehouse_dsn) == Report(**vars(report) | {"is_new": False})


def test_a_simulated_shop_that_has_grown_is_kept_too(warehouse_dsn):
    simulate(warehouse_dsn, Settings(customers=50, products=50), 100)
    practice_shop.grow(warehouse_dsn, 3, lambda *_: None)

    report = load(None, warehouse_dsn)

    assert (report.is_new, report.day) == (False, Settings().first_day + timedelta(days=103))
    assert fetch(warehouse_dsn, "select count(*) from shop.orders") == [(report.orders,)]
    assert fetch(warehouse_dsn, "select count(*) from shop.order_items") == [(report.lines,)]


def test_a_file_and_a_simulated_shop_replace_each_other(warehouse_dsn, retail):
    load(retail, warehouse_dsn)
    assert load(None, warehouse_dsn).is_new
    assert fetch(warehouse_dsn, "select source from quarantine.loads") == [("simulated shop",)]
    assert fetch(warehouse_dsn, "select count(*) from quarantine.rows") == [(0,)]

    assert load(retail, warehouse_dsn).is_new
    assert fetch(warehouse_dsn, "select to_regclass('truth.customers')") == [(None,)]
    assert fetch(warehouse_dsn, "select count(*) from shop.events") == [(0,)]


@pytest.mark.parametrize("table", ["customers", "orders", "order_items"])
def test_a_failure_in_the_middle_leaves_the_old_shop(warehouse_dsn, retail, cds, table):
    load(retail, warehouse_dsn)
    column = {"customers": "customer_id", "orders": "order_id", "order_items": "order_id"}[table]
    execute(
        warehouse_dsn,
        f"alter table shop.{table} add constraint no_cds check ({column} not in ('00021', 'cdnow-2'))",
    )
    before = contents(warehouse_dsn)

    with pytest.raises(Exception, match="no_cds"):
        load(cds, warehouse_dsn)

    assert contents(warehouse_dsn) == before


def test_a_failure_at_the_very_end_leaves_the_old_shop(warehouse_dsn, retail, cds):
    load(retail, warehouse_dsn)
    execute(warehouse_dsn, "alter table quarantine.loads add check (source != 'cds.txt')")
    before = contents(warehouse_dsn)

    with pytest.raises(Exception, match="violates check constraint"):
        load(cds, warehouse_dsn)

    assert contents(warehouse_dsn) == before


def test_a_reader_in_the_middle_sees_the_old_shop_without_waiting(warehouse_dsn, retail, cds):
    load(retail, warehouse_dsn)
    seen = []

    def look(text, done, total):
        if text.startswith("writing quarantine"):
            with warehouse.connect(warehouse_dsn) as reader:
                warehouse.execute(reader, "set lock_timeout = '2s'")
                seen.append(warehouse.fetch(reader, "select order_id from shop.orders order by 1"))
                seen.append(warehouse.fetch(reader, "select count(*) from quarantine.rows"))

    load(cds, warehouse_dsn, look)

    assert seen == [[("2",), ("536365",)], [(3,)]]


def test_two_loads_at_once_take_turns(warehouse_dsn, retail, cds):
    failures = []

    def run(path):
        try:
            load(path, warehouse_dsn)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(path,)) for path in (retail, cds, retail, cds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    loaded = fetch(warehouse_dsn, "select source, order_items from quarantine.loads")
    assert loaded in ([("retail.csv", 2)], [("cds.txt", 2)])
    assert fetch(warehouse_dsn, "select count(*) from shop.order_items") == [(2,)]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"recency,history,mens\n1,2,3\n", "found that a.csv begins with 'recency,history,mens'"),
        (
            "a.csv",
            ",".join(line()).encode(),
            "found that a.csv begins with '536365,85123A,HEART T-LIGHT,6,2010-12-01 08",
        ),
        ("a.csv", as_csv([line()]).replace(",", ";").encode(), "parted by semicolons in a.csv"),
        ("a.csv", as_csv([line()]).replace("Country", "Land").encode(), "found no Country in a.csv"),
        ("a.csv", as_csv([]).encode(), "found the header only in a.csv"),
        ("a.csv", as_csv([line(customer="")]).encode(), "found none in the 1 line of a.csv: 1 no customer"),
        ("a.csv", b"", "found that a.csv is empty"),
        ("a.csv.gz", as_csv([line()]).encode(), "expected a gzip file, as the name a.csv.gz says, found text"),
        ("a.csv", gzip.compress(as_csv([line()]).encode())[:-9], "found that a.csv breaks off or is damaged"),
    ],
)
def test_a_wrong_file_changes_nothing(warehouse_dsn, retail, tmp_path, name, content, sentence):
    load(retail, warehouse_dsn)
    before = contents(warehouse_dsn)
    wrong = tmp_path / name
    wrong.write_bytes(content)

    with pytest.raises(WrongFile) as refusal:
        load(str(wrong), warehouse_dsn)

    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith("expected ")
    assert "\n" not in str(refusal.value)
    assert contents(warehouse_dsn) == before


@given(DIRTY_LINES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_lines_the_counts_add_up_in_the_warehouse(warehouse_dsn, tmp_path, lines):
    path = tmp_path / "dirty.csv"
    path.write_text(as_csv([line(invoice="0"), *lines, ["\\.", 'a\\"b', "{\r}", "\0", "null", "", ",", "é"]]))

    report = load(str(path), warehouse_dsn)

    counted = fetch(
        warehouse_dsn,
        """
        select (select count(*) from shop.order_items), (select count(*) from quarantine.rows),
            (select count(*) from shop.orders), (select count(*) from shop.customers)
        """,
    )[0]
    assert counted == (report.order_items, sum(report.quarantined.values()), report.orders, report.customers)
    assert report.lines == len(lines) + 2 == report.order_items + sum(report.quarantined.values())
    reasons = fetch(warehouse_dsn, "select r, count(*) from quarantine.rows, unnest(reasons) as r group by 1")
    assert dict(reasons) == report.all_reasons
