"""The families, their dictionary, and what is off where a shop has no rows of an entity."""

import datetime as dt

import pytest
import yaml

from local import docs
from segmentation import families, features, lake, sql, tables
from tests import frames
from tests.sql.test_sql import run_on_duckdb

DAY = frames.DAY
CUSTOMERS = [{"customer_id": key, "signed_up_at": dt.date(2025, 3, 1)} for key in "ab"]
ORDERS = [
    {"order_id": f"o{n}", "customer_id": "ab"[n % 2], "ordered_at": dt.date(2025, 6, 1) + dt.timedelta(days=9 * n)}
    for n in range(20)
]


def test_the_dictionary_is_the_one_in_docs():
    assert docs.FEATURES.read_text(encoding="utf-8") == docs.features(), "run `make docs`"


def test_every_column_of_the_table_is_in_the_dictionary_and_no_other(stores):
    frames.write_raw(stores, customers=CUSTOMERS, orders=ORDERS)
    features.build_features(DAY, stores)
    with lake.open_parquet(stores.lake, tables.CUSTOMER_FEATURES, DAY) as file:
        names = file.schema_arrow.names
    told = [column.name for family in families.every() for column in family.columns]
    assert names == ["customer_id", "as_of_date", *told]
    assert len(set(told)) == len(told) > 100


def test_every_statement_of_the_features_is_a_family_or_known_by_name():
    files = {path.stem for path in (sql.SQL_HOME / "features").glob("*.sql")}
    assert files == {family.name for family in families.in_sql()} | {
        "population",
        "category_buys",
        "category_prices",
        "demand",
        "first_order",
        "outcomes",
        "training_examples",
    }


def test_a_shop_of_customers_and_orders_gets_what_these_tell(stores):
    frames.write_raw(stores, customers=CUSTOMERS, orders=ORDERS)
    features.build_features(DAY, stores)
    rows = lake.read(stores.lake, tables.CUSTOMER_FEATURES, DAY)
    off = {"basket", "interest", "browsing", "viewed_interest", "media", "campaign_response", "service"}
    for family in families.every():
        for column in family.columns:
            is_null = rows[column.name].null_count == rows.num_rows
            if family.name in off:
                assert is_null, column
            elif column.null is None:
                assert rows[column.name].null_count == 0, column
    page = lake.read_text(lake.beside(stores.lake, tables.CUSTOMER_FEATURES, DAY, tables.DICTIONARY))
    assert page.count("**Off: ") == len(off)
    assert "**Off: no rows of support_tickets before the day.**" in page
    assert "**Off: no rows of order_items before the day.**" in page


def test_an_entity_that_begins_later_is_off_before(stores):
    """Nought sessions a year ago would be a lie where nobody counted them."""
    event = {"event_id": "e1", "customer_id": "a", "occurred_at": dt.date(2026, 1, 20), "session_id": "s1"}
    frames.write_raw(stores, customers=CUSTOMERS, orders=ORDERS, events=[event])
    features.build_training_examples(DAY, stores)
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, DAY).to_pandas()
    newest = examples["as_of_date"] == DAY
    assert newest.sum() == 2
    assert list(examples.loc[newest, "sessions_365d"]) == [1, 0]
    assert examples.loc[~newest, "sessions_365d"].isna().all()
    page = lake.read_text(lake.beside(stores.lake, tables.TRAINING_EXAMPLES, DAY, tables.DICTIONARY))
    assert "**Off: no rows of events before the day (2025-" in page


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("", r"spend\.sql has \d+ features and \d+ meanings"),
        ("-- Spend, I guess", r"spend\.sql, spend_total: not `Meaning\. \[unit; window\]`: Spend, I guess"),
    ],
)
def test_a_column_without_a_meaning_is_named(monkeypatch, comment, message):
    source = sql.source("features", "spend").replace("    -- Spend. [currency; ever]\n", f"    {comment}\n", 1)
    monkeypatch.setattr(sql, "source", lambda *_: source)
    with pytest.raises(families.MeaningError, match=message):
        families._read("spend")


def test_the_worked_example_is_true(monkeypatch):
    """docs/adding-a-feature.md, run: the column goes where it says, and its case passes."""
    statement = sql.read("features", "order_frequency")
    column = "sum(case when extract(isodow from ordered_on) >= 6 then orders else 0 end) as weekend_orders"
    share = "cast(c.weekend_orders as double) / nullif(c.orders, 0) as weekend_order_share"
    page = (docs.FEATURES.parent / "adding-a-feature.md").read_text(encoding="utf-8")
    assert column in page
    assert share in page
    statement = statement.replace("        sum(orders) as orders,", f"        sum(orders) as orders, {column},")
    statement = statement.replace("    p.customer_id,", f"    p.customer_id, {share},")
    monkeypatch.setattr(sql, "read", lambda *_: statement)
    lines = page.split("weekend.yaml`.\n\n")[1].split("\n\n**3.**")[0].splitlines()
    case = yaml.safe_load("\n".join(line.removeprefix("    ") for line in lines))
    [row] = run_on_duckdb("features", "order_frequency", case)
    [wanted] = case["expect"]
    assert {name: row[name] for name in wanted} == wanted
