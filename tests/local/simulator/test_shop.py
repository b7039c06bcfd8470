"""The simulated shop keeps the source contract, and holds what a real shop holds."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from local.simulator import columns
from local.simulator.settings import Settings
from local.simulator.simulation import Simulation
from segmentation import tables
from tests.local.simulator.conftest import DIRTY, create, everything, fetch, silent

DAYS = 100
END = datetime.combine(DIRTY.first_day + timedelta(days=DAYS), datetime.min.time(), UTC)


@pytest.fixture(scope="module")
def dsn(new_database):
    dsn = new_database()
    create(dsn, DIRTY, DAYS)
    return dsn


@pytest.mark.parametrize("entity", tables.ENTITIES.values(), ids=lambda entity: entity.name)
def test_every_entity_has_rows_a_key_an_index_and_the_contracts_columns(dsn, warehouse_dsn, entity):
    of_table = f"attrelid = 'shop.{entity.name}'::regclass and attnum > 0"
    columns = f"select attname, atttypid::regtype::text, attnotnull from pg_attribute where {of_table} order by attnum"
    indexes = f"select count(*)::int from pg_index where indrelid = 'shop.{entity.name}'::regclass"

    assert fetch(dsn, columns) == fetch(warehouse_dsn, columns)
    assert fetch(dsn, f"select count(*) > 0 from shop.{entity.name}") == [(True,)]
    assert fetch(dsn, f"{indexes} and indisprimary and indisvalid") == [(1,)]
    assert fetch(dsn, f"{indexes} and not indisprimary") == [(1,)]


REFERENCES = [
    ("orders", "customer_id", "customers"),
    ("order_items", "order_id", "orders"),
    ("order_items", "product_id", "products"),
    ("events", "customer_id", "customers"),
    ("events", "product_id", "products"),
    ("support_tickets", "customer_id", "customers"),
    ("campaign_contacts", "customer_id", "customers"),
    ("campaign_contacts", "campaign_id", "campaigns"),
]


@pytest.mark.parametrize(("table", "key", "other"), REFERENCES)
def test_every_reference_leads_somewhere(dsn, table, key, other):
    lost = f"not exists (select from shop.{other} as b where a.{key} = b.{key})"
    assert fetch(dsn, f"select count(*) from shop.{table} as a where {key} is not null and {lost}") == [(0,)]


NEVER = {
    "orders before the sign-up": "orders join shop.customers using (customer_id) where ordered_at < signed_up_at",
    "events before the sign-up": "events join shop.customers using (customer_id) where occurred_at < signed_up_at",
    "orders of products to come": (
        "order_items join shop.orders using (order_id) join shop.products using (product_id) "
        "where ordered_at < launched_at"
    ),
    "orders updated before they were made": "orders where updated_at < ordered_at",
    "customers updated before they signed up": "customers where updated_at < signed_up_at",
    "products updated before their launch": "products where updated_at < launched_at",
    "tickets resolved before they were opened": "support_tickets where resolved_at < opened_at",
    "tickets answered before they were resolved": "support_tickets where satisfaction > 0 and resolved_at is null",
    "clicks before the opening": "campaign_contacts where clicked_at < coalesce(opened_at, 'infinity')",
    "contacts outside the campaign": (
        "campaign_contacts join shop.campaigns using (campaign_id) where contacted_at not between starts_at and ends_at"
    ),
    "responses of the held-out": (
        "campaign_contacts where arm = 'control' and num_nonnulls(opened_at, clicked_at, unsubscribed_at) > 0"
    ),
    "contacts without consent": (
        "campaign_contacts as c join shop.campaigns using (campaign_id) "
        "join truth.customers as t using (customer_id) where channel = 'email' "
        "and extract(epoch from contacted_at) * 1000000 > email_withdrawn_us + 200000000000"
    ),
    "items of late orders before the order": (
        "order_items as i join shop.orders as o using (order_id) where i.updated_at < o.ordered_at"
    ),
    "free orders": "orders where total_amount <= 0 or discount_amount < 0",
    "free products": "products where list_price <= 0 or unit_cost not between 0.01 and list_price or stock_on_hand < 0",
    "odd lines": "order_items where quantity < 1 or unit_price <= 0 or returned_quantity not between 0 and quantity",
    "lines that are not numbered through": (
        "(select order_id from shop.order_items group by 1 having max(line_no) != count(*) or min(line_no) != 1) as x"
    ),
    "orders without lines": "orders where order_id not in (select order_id from shop.order_items)",
    "totals that are not the lines' less the discount": (
        "orders join (select order_id, sum(quantity * unit_price) as gross from shop.order_items group by 1) as i "
        "using (order_id) where gross != total_amount + discount_amount"
    ),
    "unknown states": "orders where status not in ('placed', 'paid', 'shipped', 'delivered', 'cancelled')",
    "events in the cart without a product": "events where event_type like '%cart' and product_id is null",
    "events of a session by two customers": (
        "(select session_id from shop.events group by 1 having count(distinct customer_id) > 1) as x"
    ),
    "satisfaction out of range": "support_tickets where satisfaction not between 1 and 5",
}


@pytest.mark.parametrize("what", NEVER)
def test_there_are_no(dsn, what):
    source = NEVER[what] if NEVER[what].startswith("(") else f"shop.{NEVER[what]}"
    assert fetch(dsn, f"select count(*) from {source}") == [(0,)]


def test_nothing_is_after_the_last_day(dsn):
    times = fetch(
        dsn,
        "select table_name, column_name from information_schema.columns "
        "where table_schema = 'shop' and data_type = 'timestamp with time zone' "
        "and (table_name, column_name) not in (('campaigns', 'starts_at'), ('campaigns', 'ends_at'))",
    )
    assert len(times) > 15
    for table, column in times:
        assert fetch(dsn, f"select coalesce(max({column}) < '{END}', true) from shop.{table}") == [(True,)]
    assert fetch(dsn, f"select max(updated_at) > '{END - timedelta(days=1)}' from shop.orders") == [(True,)]


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("orders", "status", {"placed", "paid", "shipped", "delivered", "cancelled"}),
        ("orders", "channel", {"web", "app", "store", "social"}),
        ("events", "channel", {"web", "app", "email", "wechat", "douyin", "bilibili"}),
        ("events", "event_type", {"page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "ad_view",
                                  "ad_click", "article_read", "video_view"}),
        ("support_tickets", "category", {"complaint", "return", "refund", "question"}),
        ("customers", "income_band", {"low", "middle", "high", None}),
        ("customers", "profiling_consent", {True, False}),
        ("campaign_contacts", "arm", {"treatment", "control"}),
        ("campaigns", "channel", {"email", "sms", "push"}),
    ],
)  # fmt: skip
def test_everything_the_contract_names_occurs(dsn, table, column, values):
    assert {value for (value,) in fetch(dsn, f"select distinct {column} from shop.{table}")} == values


def test_some_customers_never_order_and_some_demographics_are_missing(dsn):
    assert fetch(
        dsn,
        "select bool_or(customer_id not in (select customer_id from shop.orders)), bool_or(birth_year is null), "
        "bool_or(city is null), bool_or(gender is null) from shop.customers",
    ) == [(True, True, True, True)]


def test_rows_are_made_in_pieces_that_the_chunk_bounds():
    small = dataclasses.replace(DIRTY, customers=4_000, chunk_customers=100)

    def largest(settings):
        return max(table.num_rows for _, table in Simulation.new(settings, 60).pieces(silent))

    assert largest(small) < largest(dataclasses.replace(small, chunk_customers=4_000)) / 8


def test_the_same_settings_give_the_same_rows():
    one, again = everything(DIRTY, 40), everything(DIRTY, 40)

    assert all(one[name].equals(again[name]) for name in one)


def test_a_shop_of_one_customer_and_one_day(new_database):
    dsn = new_database()
    create(dsn, Settings(customers=1, span_days=1, products=50), 1)

    assert fetch(dsn, "select count(*) from shop.products") == [(50,)]


def test_what_was_in_the_shop_is_gone(new_database):
    dsn = new_database()
    create(dsn, DIRTY, 5)
    counts = create(dsn, dataclasses.replace(DIRTY, seed=8), 30)

    for name, count in counts.items():
        assert fetch(dsn, f"select count(*) from {name}") == [(count,)]
    assert fetch(dsn, "select seed, first_day, last_day from truth.settings") == [
        (8, DIRTY.first_day, DIRTY.first_day + timedelta(days=29))
    ]


def test_an_order_late_by_days_is_updated_when_it_arrives(dsn):
    rows = fetch(
        dsn,
        "select extract(epoch from min(i.updated_at) - o.ordered_at)::float8 / 86400 "
        "from shop.orders as o join shop.order_items as i using (order_id) "
        "where i.returned_quantity = 0 group by o.order_id, o.ordered_at having min(i.updated_at) > o.ordered_at",
    )
    delays = [delay for (delay,) in rows]

    assert len(delays) > 20
    assert 0.99 <= min(delays) < 1.5 < 2.5 < max(delays) <= 3.01


def test_settings_are_checked_and_written_down():
    for name, value in {"customers": 0, "control_share": 1.1, "purchases": -1, "products": 3, "span_days": 0}.items():
        with pytest.raises(ValueError, match=f"cannot have {name} = "):
            Settings(**{name: value})
    assert Settings.from_json(DIRTY.as_json()) == DIRTY
    assert DIRTY.fingerprint() == dataclasses.replace(DIRTY, chunk_customers=5).fingerprint()
    assert DIRTY.fingerprint() != dataclasses.replace(DIRTY, seed=5).fingerprint()


def test_arrow_columns_are_what_they_say():
    assert columns.fixed("O", (np.array([7, 123456789]), 9), "-", (np.array([3, 12]), 2)).to_pylist() == [
        "O000000007-03",
        "O123456789-12",
    ]
    assert [str(value) for value in columns.money(np.array([5, -1050, 2**40])).to_pylist()] == [
        "0.05", "-10.50", "10995116277.76"]  # fmt: skip
    moment = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)
    times = columns.times(np.array([int(moment.timestamp()) * 10**6 + 999_999, 2**62]))
    assert times.to_pylist() == [moment, None]
    assert columns.times_as_text(times).to_pylist() == ["2026-02-28 23:59:58", None]
    assert columns.shares_as_text(np.array([[0.25, 1.0]])).to_pylist() == ["{0.250,0.750}"]
    assert pa.types.is_string(columns.customer_ids(np.array([1])).type)
