"""Simulated shops in databases of their own, made once."""

import itertools
from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pytest

from local import load
from local.simulator import campaign_truth, practice_shop
from local.simulator.settings import Settings
from local.simulator.simulation import Simulation
from segmentation import sql, warehouse

_names = (f"simulated_{number}" for number in itertools.count(1))
CONSENTED = "case when email_consent then 'email' when push_consent then 'push' when sms_consent then 'sms' end"
# Plenty of everything that is rare.
DIRTY = Settings(
    seed=7,
    customers=800,
    first_day=date(2025, 9, 1),
    span_days=120,
    products=60,
    campaigns_per_block=2,
    late_orders_share=0.05,
    late_sessions_share=0.05,
    deleted_orders_share=0.02,
    deleted_customers_a_year=0.3,
)


def silent(text: str, done: int, total: int) -> None:
    """Nobody watches."""


def everything(settings: Settings, days: int) -> dict[str, pa.Table]:
    """All tables of the first days of a shop, without a database."""
    parts: dict[str, list[pa.Table]] = {}
    for name, table in Simulation.new(settings, days).pieces(silent):
        parts.setdefault(name, []).append(table)
    return {name: pa.concat_tables(tables) for name, tables in parts.items()}


@pytest.fixture(scope="session")
def new_database(postgres_server) -> Callable[[], str]:
    """Makes a database with the shop's empty tables; returns its DSN."""

    def make() -> str:
        name = next(_names)
        with warehouse.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            warehouse.execute(connection, f"create database {warehouse.identifier(name)}")
        dsn = postgres_server.url(name)
        with warehouse.connect(dsn) as connection:
            load.apply_contract(connection)
        return dsn

    return make


def create(dsn: str, settings: Settings, days: int) -> dict[str, int]:
    with warehouse.connect(dsn) as connection:
        return practice_shop.create(connection, settings, days, silent)


def fetch(dsn: str, query: str) -> list[tuple]:
    with warehouse.connect(dsn) as connection:
        return warehouse.fetch(connection, query)


def publish(
    dsn, day, strategy="'coupon'", channel=CONSENTED, held="substr(md5(c.customer_id), 1, 1) < '4'", who="true"
):
    """Makes a snapshot of a day current: each customer's strategy, channel and arm by expressions of SQL."""
    with warehouse.connect(dsn) as connection:
        warehouse.run_script(connection, sql.read("publish", "schema"))
        [(number,)] = warehouse.fetch(
            connection,
            "insert into marketing.snapshots (as_of_date, status, is_kept) values (:day, 'published', true) "
            "on conflict (as_of_date) where status = 'published' do update set status = 'published' "
            "returning snapshot_id",
            {"day": day},
        )
        warehouse.run_script(
            connection,
            f"drop table if exists marketing_internal.segment_rows_{number}; "
            f"create table marketing_internal.segment_rows_{number} "
            f"partition of marketing_internal.segment_rows for values in ({number}); "
            "insert into marketing_internal.segment_rows (customer_id, as_of_date, segment_id, segment_name, "
            "lifecycle_stage, value_tier, strategy_id, contact_channel, in_holdout, snapshot_id, model_versions, "
            f"scored_at) select customer_id, '{day}', 1, 'all', 'active', 'low', strategy_id, "
            f"case when strategy_id is not null then channel end, held, {number}, '{{}}', now() from "
            f"(select c.customer_id, {strategy} as strategy_id, {channel} as channel, {held} as held "
            f"from shop.customers as c where {who}) as s; "
            "insert into marketing_internal.current_snapshot (snapshot_id) "
            f"values ({number}) on conflict (is_only_row) do update set snapshot_id = {number}",
        )


@pytest.fixture(scope="session")
def big_shop(new_database) -> tuple[str, Settings]:
    """20,000 customers over half a year, with the usual dirt and many campaigns."""
    settings = Settings.until(
        date(2026, 6, 30), 168, customers=20_000, campaigns_per_block=2, contact_share=0.6, seed=11
    )
    dsn = new_database()
    create(dsn, settings, 168)
    return dsn, settings


def what_contacts_did(dsn):
    """What each contact was to bring, as `campaign_truth` tells it, beside what it brought: `bought` and `spend`."""
    told = campaign_truth.of_contacts(dsn)
    did = fetch(
        dsn,
        "select c.campaign_id, c.customer_id, count(o.*)::int, coalesce(sum(o.total_amount), 0)::float8 "
        "from shop.campaign_contacts as c inner join shop.campaigns as k using (campaign_id) "
        "left join shop.orders as o on o.customer_id = c.customer_id and o.status != 'cancelled' "
        "and o.ordered_at >= c.contacted_at and o.ordered_at < k.ends_at group by 1, 2 order by 1, 2",
    )
    assert list(zip(told["campaign_id"], told["customer_id"], strict=True)) == [row[:2] for row in did]
    return told.assign(bought=[row[2] > 0 for row in did], spend=[row[3] for row in did])
