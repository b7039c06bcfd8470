"""The Data Docs show what was found, load nothing from elsewhere, and run nothing that a customer's id may hold."""

import datetime as dt
import re

import pytest

from segmentation import data_docs, history, lake, quality, settings, warehouse
from segmentation.suites import Rule
from segmentation.verdict import ROWS, TABLE, Result, Verdict

DAY = dt.date(2026, 1, 31)
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
NEGATIVE = Rule("total_amount is negative", "quarantine", "expect_column_values_to_be_between",
                {"column": "total_amount", "min_value": 0})  # fmt: skip
ORPHAN = Rule("orphan: who?", "quarantine", "references", {"column": "customer_id", "table": "raw.customers"})
STALE = Rule("the newest row is too old", "stop", "expect_column_values_to_be_between",
             {"column": "newest_age_days", "max_value": 14})  # fmt: skip
DRIFTED = Rule("channel has drifted", "warn", "expect_column_values_to_be_between",
               {"column": "psi.channel", "max_value": 0.25})  # fmt: skip


def write(stores, *results, day=DAY, run_id="a run", table="raw.orders"):
    verdict = Verdict(table, 9_000, 12, results)
    history.ensure_schema(stores.marketing)
    quality.write(stores.marketing, [verdict], day, run_id)
    return data_docs.write(stores, [verdict], day, run_id)


@pytest.fixture
def page(stores):
    """A table's page, on which most is broken."""
    results = (
        Result(NEGATIVE, ROWS, False, 9_000, 12, examples=["o1", EVIL]),
        Result(ORPHAN, ROWS, True, 9_000),
        Result(STALE, TABLE, False, 9_000, value=20.0, remark="newest_age_days is 20 (at most 14)", examples=["o9"]),
    )
    write(stores, *results)
    return lake.read_text(f"{settings.data_docs_of(stores.lake)}/{DAY}/raw.orders.html")


def test_a_page_shows_rules_counts_and_keys_of_the_whole_table(page):
    for text in (
        "total_amount is negative (quarantine)",
        "12 unexpected values found",
        "of 9000 total rows",
        "o1",
        "orphan: who? (quarantine)",
        "the newest row is too old (stop)",
        "newest_age_days is 20 (at most 14)",
    ):
        assert text in page, text


def test_a_page_needs_nothing_from_elsewhere_and_its_links_lead_to_pages(page):
    assert re.findall(r"<(?:script|link|img|iframe)\b", page) == []
    assert {link for link in re.findall(r'href="([^"]*)"', page) if not link.startswith("#")} == {"index.html"}
    assert "default-src 'none'" in page
    assert "<style>" in page


def test_what_a_key_holds_is_text(page):
    assert "alert(1)" in page
    assert "<img" not in page
    assert "<script" not in page


def test_the_lists_lead_to_the_pages_and_show_the_latest_attempt(stores):
    write(stores, Result(STALE, TABLE, False, 9_000, value=20.0))
    path = write(stores, Result(STALE, TABLE, True, 9_000, value=1.0), Result(DRIFTED, TABLE, False, 9_000, value=1.0))
    write(stores, Result(NEGATIVE, ROWS, True, 5), table="feat.customer_daily", run_id=EVIL)
    text = lake.read_text(path)
    assert path == data_docs.day_page(stores, DAY)
    assert re.findall(r'href="([^"]*)"', text) == ["../index.html", "raw.orders.html", "feat.customer_daily.html"]
    assert "the newest row is too old" not in text
    assert "! channel has drifted" in text
    assert "<img" not in text
    days = lake.read_text(f"{settings.data_docs_of(stores.lake)}/index.html")
    assert re.findall(r'href="([^"]*)"', days) == [f"{DAY}/index.html"]
    assert "raw.orders: channel has drifted" in days


def test_another_folder_may_be_named(stores, tmp_path, monkeypatch):
    config = settings.Settings(gates=settings.Gates(data_docs=str(tmp_path / "elsewhere")))
    monkeypatch.setattr(settings, "load", lambda: config)
    assert write(stores, Result(STALE, TABLE, True, 1)) == str(tmp_path / "elsewhere" / f"{DAY}" / "index.html")
    assert (tmp_path / "elsewhere" / "index.html").exists()


def test_results_are_rows_that_can_be_queried(stores):
    write(stores, Result(NEGATIVE, ROWS, False, 9_000, 12, examples=["o1"]), Result(STALE, TABLE, True, 1, value=1.5))
    with warehouse.connect(stores.marketing) as connection:
        assert warehouse.fetch(
            connection,
            "select run_id, day, table_name, rule, scope, severity, is_met, row_count, broken_count, value, examples "
            "from quality.results order by result_id",
        ) == [
            ("a run", DAY, "raw.orders", NEGATIVE.name, "rows", "quarantine", False, 9_000, 12, None, ["o1"]),
            ("a run", DAY, "raw.orders", STALE.name, "table", "stop", True, 1, 0, 1.5, []),
        ]
