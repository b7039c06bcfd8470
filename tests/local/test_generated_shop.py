"""The generated shop: always the same, within the contract, and with everything in it that the pipeline must bear."""

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow.compute as pc
import pytest

from local import generated_shop
from segmentation import tables


@pytest.fixture(scope="module")
def made():
    return generated_shop.generate()


@pytest.fixture(scope="module")
def rows(made):
    return {name: table.to_pylist() for name, table in made.items()}


def test_the_same_arguments_give_the_same_rows(made):
    assert all(made[name].equals(table) for name, table in generated_shop.generate().items())
    assert generated_shop.fingerprint() == generated_shop.fingerprint()


def test_other_arguments_give_another_shop(made):
    other = generated_shop.generate(customers=50, last_day=date(2025, 3, 1), seed=1)

    assert other["customers"].num_rows == 50
    assert pc.max(other["orders"]["ordered_at"]).as_py() < datetime(2025, 3, 2, tzinfo=UTC)
    assert generated_shop.fingerprint(seed=1) != generated_shop.fingerprint()


@pytest.mark.parametrize("name", ["customers", "products", "orders", "order_items"])
def test_tables_are_the_contracts(made, name):
    entity = tables.ENTITIES[name]

    assert made[name].schema == entity.schema
    keys = made[name].select(list(entity.key)).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == made[name].num_rows


def test_every_reference_leads_somewhere(rows):
    customers = {row["customer_id"]: row for row in rows["customers"]}
    orders = {row["order_id"]: row for row in rows["orders"]}
    products = {row["product_id"] for row in rows["products"]}

    assert all(row["ordered_at"] >= customers[row["customer_id"]]["signed_up_at"].replace(microsecond=0)
               for row in rows["orders"])  # fmt: skip
    assert {row["order_id"] for row in rows["order_items"]} == set(orders)
    assert {row["product_id"] for row in rows["order_items"]} <= products
    assert all(0 <= row["returned_quantity"] <= row["quantity"] for row in rows["order_items"])


def test_orders_cost_what_their_lines_cost_less_the_discount(rows):
    gross = defaultdict(Decimal)
    for row in rows["order_items"]:
        gross[row["order_id"]] += row["quantity"] * row["unit_price"]

    assert all(row["total_amount"] + row["discount_amount"] == gross[row["order_id"]] for row in rows["orders"])
    assert all(row["total_amount"] > 0 for row in rows["orders"])


def test_it_covers_what_the_pipeline_has_to_bear(rows):
    customers, orders = rows["customers"], rows["orders"]
    buyers = {row["customer_id"] for row in orders}
    statuses = {row["status"] for row in orders}
    days = [row["ordered_at"].date() for row in orders]

    def share(items):
        items = list(items)
        return sum(map(bool, items)) / len(items)

    assert len(customers) == 2_000
    assert len(rows["products"]) == 60
    assert len({row["category"] for row in rows["products"]}) == 6
    assert 0.02 < share(row["customer_id"] not in buyers for row in customers) < 0.2
    assert 0.015 < share(not row["profiling_consent"] for row in customers) < 0.045
    assert 0.01 < share(row["status"] == "cancelled" for row in orders) < 0.06
    assert statuses == {"placed", "paid", "shipped", "delivered", "cancelled"}
    assert 0.02 < share(row["returned_quantity"] for row in rows["order_items"]) < 0.1
    for column in ("birth_year", "gender", "income_band", "city"):
        assert 0.05 < share(row[column] is None for row in customers) < 0.5
    assert max(days) == date(2026, 6, 30)
    assert (max(days) - min(days)).days > 500
