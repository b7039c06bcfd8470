"""Cleaning does what the settings ask for, column by column, tells it all, and touches nothing else."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from pydantic import ValidationError

from segmentation import history, lake, settings, tables, validate, warehouse
from tests import frames

DAY = frames.DAY
AGO = DAY - dt.timedelta(days=1)
CUSTOMERS = [{"customer_id": f"c{n}", "signed_up_at": AGO} for n in range(10)]


def orders(*totals, discounts=None, prefix="o"):
    discounts = discounts or [1] * len(totals)
    return [
        {"order_id": f"{prefix}{n:03}", "customer_id": "c1", "ordered_at": AGO, "updated_at": DAY,
         "total_amount": total, "discount_amount": discount}
        for n, (total, discount) in enumerate(zip(totals, discounts, strict=True))
    ]  # fmt: skip


def clean(monkeypatch, **columns):
    config = settings.Settings(clean=settings.Clean(columns={f"orders.{name}": how for name, how in columns.items()}))
    monkeypatch.setattr(settings, "load", lambda: config)


def accepted(stores, rows, column, day=DAY, entity=tables.ORDERS):
    """Value by key of what the gate accepts of some rows."""
    frames.stage(stores, day, customers=CUSTOMERS if day == DAY else [], **{entity.name: rows})
    validate.accept_raw(day, stores)
    return dict(frames.rows_of(history.latest(stores, entity.name), [entity.key[0], column]))


def told(stores):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(
            connection,
            "select table_name, rule, broken_count, examples from quality.results where scope = 'cleaning' order by 1",
        )


def quarantined(stores):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(connection, "select reason, row ->> 'order_id' from quarantine.rows order by row_id")


def test_without_settings_nothing_is_mended(stores):
    rows = orders(10, 20, 1_000_000, discounts=[1, 2, 3])
    assert accepted(stores, rows, "total_amount") == {"o000": 10, "o001": 20, "o002": 1_000_000}
    assert told(stores) == []


@pytest.mark.parametrize(("how", "value"), [("mean", "4.33"), ("median", "2.00")])
def test_missing_values_are_filled_and_told(stores, monkeypatch, how, value):
    clean(monkeypatch, discount_amount={"missing": how})
    found = accepted(stores, orders(5, 5, 5, 5, discounts=[1, 2, 10, None]), "discount_amount")
    assert found == {"o000": 1, "o001": 2, "o002": 10, "o003": Decimal(value)}
    [(table, rule, count, examples)] = told(stores)
    assert (table, count, examples) == ("raw.orders", 1, ["o003"])
    assert rule == f"discount_amount: missing values filled by the {how}, {float(value):g}"


def test_missing_values_are_dropped_to_quarantine(stores, monkeypatch):
    clean(monkeypatch, discount_amount={"missing": "drop"})
    found = accepted(stores, orders(5, 5, discounts=[1, None]), "discount_amount")
    assert set(found) == {"o000"}
    assert quarantined(stores) == [("discount_amount is missing", "o001")]


def test_a_model_fills_by_the_other_numbers(stores, monkeypatch):
    """The discount is a tenth of the total: the model finds that, which no mean does."""
    clean(monkeypatch, discount_amount={"missing": "model"})
    totals = [10 * n for n in range(1, 61)]
    found = accepted(stores, orders(*totals, discounts=[*(t / 10 for t in totals[:-1]), None]), "discount_amount")
    assert abs(found["o059"] - 60) < 1
    assert found["o000"] == 1
    assert told(stores)[0][1:3] == ("discount_amount: missing values filled by the model", 1)


def test_outliers_are_winsorised(stores, monkeypatch):
    clean(monkeypatch, total_amount={"outliers": "winsorise", "z_score": 3})
    found = accepted(stores, orders(*[100, 102] * 50, 9_000), "total_amount")
    assert found["o000"] == 100
    assert 100 < found["o100"] < 9_000
    [(_, rule, count, examples)] = told(stores)
    assert rule.startswith("total_amount: outliers set to the limits, ")
    assert (count, examples) == (1, ["o100"])


def test_outliers_are_quarantined(stores, monkeypatch):
    clean(monkeypatch, total_amount={"outliers": "quarantine", "z_score": 3})
    found = accepted(stores, orders(*[100, 102] * 50, 9_000), "total_amount")
    assert "o100" not in found
    assert len(found) == 100
    [(reason, key)] = quarantined(stores)
    assert (key, reason[:63]) == ("o100", "total_amount is an outlier, beyond 3 standard deviations of the")


def test_limits_are_learnt_from_the_history_when_there_is_enough(stores, monkeypatch):
    accepted(stores, orders(*[100, 102] * 100), "total_amount")
    clean(monkeypatch, total_amount={"outliers": "winsorise", "z_score": 3}, discount_amount={"missing": "mean"})
    found = accepted(
        stores, orders(500, 600, 101, discounts=[None, 1, 1], prefix="n"), "total_amount", DAY + dt.timedelta(days=1)
    )
    assert 103 < found["n000"] == found["n001"] < 105
    assert found["n002"] == 101


def test_deletions_pass_through_untouched(stores, monkeypatch):
    accepted(stores, orders(1, 2, 3), "total_amount")
    clean(monkeypatch, discount_amount={"missing": "median"}, total_amount={"outliers": "winsorise", "z_score": 0.5})
    after = DAY + dt.timedelta(days=1)
    frames.stage(stores, after, orders=orders(4, discounts=[None], prefix="n"))
    staged = lake.read(stores.lake, tables.ORDERS.staged, after)
    gone = frames.typed([{"order_id": "o001", "is_deleted": True}], tables.ORDERS.staged_schema)
    whole = pa.concat_tables([staged, gone])
    lake.write(stores.lake, tables.ORDERS.staged, after, whole.to_batches(), whole.schema)
    validate.accept_raw(after, stores)
    assert set(frames.rows_of(history.latest(stores, "orders"), ["order_id", "discount_amount"])) == {
        ("o000", 1), ("o002", 1), ("n000", 1)
    }  # fmt: skip


def test_whole_numbers_stay_whole(stores, monkeypatch):
    config = settings.Settings(
        clean=settings.Clean(
            columns={
                "customers.birth_year": {"missing": "mean", "outliers": "winsorise", "z_score": 1},
            }
        )
    )
    monkeypatch.setattr(settings, "load", lambda: config)
    years = [1980, 1981, 1981, None, 1905]
    rows = [{"customer_id": f"c{n}", "signed_up_at": AGO, "birth_year": year} for n, year in enumerate(years)]
    frames.stage(stores, customers=rows, orders=orders(1))
    validate.accept_raw(DAY, stores)
    found = dict(frames.rows_of(history.latest(stores, "customers"), ["customer_id", "birth_year"]))
    assert (found["c0"], found["c3"]) == (1980, 1962)
    assert 1905 < found["c4"] < 1950


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("orders.totall", r"orders\.totall: there is no such column in the source contract"),
        ("orders.status", r"orders\.status: only numbers can be filled in or be outliers"),
        ("order_items.line_no", r"order_items\.line_no: only numbers"),
    ],
)
def test_columns_that_cannot_be_cleaned_are_refused_at_start(column, message):
    with pytest.raises(ValidationError, match=message):
        settings.Clean(columns={column: {"missing": "mean"}})
