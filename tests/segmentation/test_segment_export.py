"""A file tells of a segment's customers, but of no few of them by what they have in common."""

import csv
import datetime as dt

import pandas as pd
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation import publish, segment_export
from tests.segmentation.test_publish import put_scores

DAY = dt.date(2026, 1, 31)
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
ROWS = st.lists(
    st.fixed_dictionaries({"a": st.sampled_from("xy"), "b": st.none() | st.sampled_from("pqr"), "c": st.booleans()}),
    min_size=12,
    max_size=60,
)


@given(rows=ROWS, smallest=st.integers(1, 12))
@settings(deadline=None)
def test_every_combination_that_occurs_is_that_of_enough_rows(rows, smallest):
    frame = pd.DataFrame(rows).assign(n=range(len(rows)))
    told = segment_export.k_anonymous(frame, ["a", "b", "c"], smallest)
    groups = told.groupby(["a", "b", "c"], dropna=False).size()
    assert groups.min() >= smallest
    assert list(told["n"]) == list(range(len(rows)))
    for name in "abc":  # nothing is told that is not so
        said = told[name].notna()
        assert (told.loc[said, name] == frame.loc[said, name]).all()


def test_what_is_common_enough_is_told_whole():
    frame = pd.DataFrame({"a": ["x"] * 5 + ["y"] * 5, "b": ["p"] * 10})
    pd.testing.assert_frame_equal(segment_export.k_anonymous(frame, ["a", "b"], 5), frame.astype(object))


@pytest.fixture
def shop(stores):
    rows = [
        {"customer_id": f"c{n:02d}", "as_of_date": DAY, "segment_id": 1 + (n >= 40), "segment_name": f"s{n // 40}",
         "lifecycle_stage": "active" if n % 20 else "new", "value_tier": "high" if n < 20 else "low",
         "expected_spend_90d": 12.34, "purchase_probability_30d": 0.5, "scored_at": NOW, "model_versions": "{}",
         "reasons": ["bought 7 days ago"]}
        for n in range(45)
    ]  # fmt: skip
    put_scores(stores, DAY, rows)
    publish.publish_segments(DAY, stores)
    return stores


@pytest.mark.parametrize("kind", segment_export.FORMATS)
def test_a_segment_as_a_file(shop, kind):
    told = segment_export.export_segment(1, kind, shop)  # two are alone with their stage: 19 others keep them company
    assert told == {
        "path": f"{shop.lake}/exports/2026-01-31/segment_1.{kind}",
        "rows": 40,
        "emptied": 21,
        "like_formulas": 0,
    }
    read = pyarrow.csv.read_csv if kind == "csv" else pyarrow.parquet.read_table
    table = read(told["path"])
    assert table.column_names == ["customer_id", "as_of_date", "segment_id", *segment_export.COLUMNS]
    frame = table.to_pandas()
    assert list(frame["customer_id"]) == [f"c{n:02d}" for n in range(40)]
    assert frame["lifecycle_stage"].replace("", None).isna().sum() == 21


@pytest.mark.parametrize("held_out", [3, 15])
def test_no_row_has_an_offer_or_a_channel_without_saying_whether_it_is_held_out(stores, held_out):
    rows = [
        {"customer_id": f"c{n:02d}", "as_of_date": DAY, "segment_id": 1, "segment_name": "s", "value_tier": "high",
         "lifecycle_stage": "active", "scored_at": NOW, "model_versions": "{}", "strategy_id": "x",
         "offer": "a voucher", "contact_channel": "email", "in_holdout": n < held_out}
        for n in range(60)
    ]  # fmt: skip
    put_scores(stores, DAY, rows)
    publish.publish_segments(DAY, stores)
    told = pyarrow.parquet.read_table(segment_export.export_segment(1, "parquet", stores)["path"]).to_pylist()
    assert {row["in_holdout"] for row in told if row["offer"] or row["contact_channel"]} <= {True, False}
    contacted = [row["customer_id"] for row in told if row["contact_channel"] and not row["in_holdout"]]
    assert contacted == ([f"c{n:02d}" for n in range(15, 60)] if held_out == 15 else [])


FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "＝1", "=1\t2"]
HARMLESS = ["a=1", "1-1", "'=1", 'b"c', "c,d", "e\nf", "g\r\nh", "上海", "\u202ei", "j'k", "l;m", "null", "NULL", "\\N"]


@pytest.mark.parametrize("kind", segment_export.FORMATS)
def test_ids_come_out_of_a_file_as_they_are_and_those_like_formulas_are_told_of(stores, kind, caplog):
    """No sign is put before them: the tool that the file is for would not find its customer."""
    rows = [
        {"customer_id": each, "as_of_date": DAY, "segment_id": 1, "segment_name": "s", "lifecycle_stage": "active",
         "value_tier": "high", "scored_at": NOW, "model_versions": "{}"}
        for each in FORMULAS + HARMLESS
    ]  # fmt: skip
    put_scores(stores, DAY, rows)
    publish.publish_segments(DAY, stores)
    told = segment_export.export_segment(1, kind, stores)
    assert told["like_formulas"] == len(FORMULAS)
    if kind == "csv":
        with open(told["path"], newline="", encoding="utf-8") as file:
            ids = [row["customer_id"] for row in csv.DictReader(file)]
    else:
        ids = pyarrow.parquet.read_table(told["path"])["customer_id"].to_pylist()
    assert sorted(ids) == sorted(FORMULAS + HARMLESS)
    assert ("6 of 20 rows have a cell that begins like a formula" in caplog.text) == (kind == "csv")
    assert "calc" not in caplog.text, "logs name no customers"


def test_too_small_a_segment_is_refused(shop):
    for segment, customers in ((2, 5), (9, 0)):
        with pytest.raises(segment_export.SmallGroupError, match=f"segment {segment} has {customers} customers in"):
            segment_export.export_segment(segment, "csv", shop)


def test_another_kind_of_file_is_refused(shop):
    with pytest.raises(ValueError, match=r"csv or parquet, not as '../x'"):
        segment_export.export_segment(1, "../x", shop)
