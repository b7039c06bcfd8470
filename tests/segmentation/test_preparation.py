"""What estimators take: gaps filled or kept, categories by level, nothing learnt but in `fit`."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import skew
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from segmentation import preparation
from segmentation.preparation import (
    Encoder,
    FeatureSelector,
    NoFeaturesError,
    SampledPowerTransformer,
    inputs,
    is_number,
    scaled_numbers,
)

NAN = np.nan


def test_numbers_and_booleans_become_floats_and_categories_text():
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "money": [Decimal("1.50"), None, Decimal("2")],
            "flag": [True, None, False],
            "sure": [True, False, True],
            "city": ["Ely", None, "Bath"],
            "kind": pd.Categorical(["a", None, "b"]),
            "other": [0, 0, 0],
        },
        index=list("xyz"),
    )
    made = inputs(frame, ["city", "flag", "kind", "money", "sure", "whole"])
    assert list(made) == ["city", "flag", "kind", "money", "sure", "whole"]
    assert made.index.tolist() == ["x", "y", "z"]
    assert made["city"].tolist() == ["Ely", "unknown", "Bath"]
    assert made["kind"].tolist() == ["a", "unknown", "b"]
    expected = {"flag": [1, NAN, 0], "money": [1.5, NAN, 2], "sure": [1, 0, 1], "whole": [1, 2, 3]}
    pd.testing.assert_frame_equal(made[list(expected)], pd.DataFrame(expected, index=list("xyz"), dtype="float64"))


def test_a_column_is_of_the_same_kind_even_if_a_batch_has_none_of_it():
    """A flag without a value must not become a category, nor a category a number."""
    schema = pa.schema([("flag", pa.bool_()), ("city", pa.string()), ("whole", pa.int64()), ("share", pa.float64())])
    some = pa.table({"flag": [True, None], "city": ["Ely", None], "whole": [1, None], "share": [0.5, None]}, schema)
    none = pa.table({name: [None, None] for name in schema.names}, schema)
    one, other = (inputs(table.to_pandas(), schema.names) for table in (some, none))
    assert one.dtypes.tolist() == other.dtypes.tolist()
    assert other["city"].tolist() == ["unknown", "unknown"]
    assert other[["flag", "whole", "share"]].isna().all(axis=None)


def test_what_is_infinite_counts_as_missing():
    made = inputs(pd.DataFrame({"ratio": [np.inf, -np.inf, 1.0]}), ["ratio"])
    assert made["ratio"].tolist() == pytest.approx([NAN, NAN, 1], nan_ok=True)


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ([1, 2], True),
        ([True, None], True),
        ([None, "a"], False),
        ([None, None], True),
        ([dt.date.min.isoformat()], False),
    ],
)
def test_what_is_a_number(values, number):
    assert is_number(pd.Series(values)) == is_number(pd.Series(values, dtype=object)) == number


def customers(rows=2_000, seed=0):
    rng = np.random.default_rng(seed)
    actual = rng.random(rows) < 0.4
    frame = pd.DataFrame(
        {
            "tells": actual + rng.normal(0, 1, rows),
            "noise": rng.normal(0, 1, rows),
            "city": np.where(actual & (rng.random(rows) < 0.5), "Ely", "Bath"),
            "same": 1.0,
        }
    )
    return frame, actual


def test_the_selector_keeps_what_tells_something_in_the_order_of_the_frame():
    frame, actual = customers()
    selector = FeatureSelector({"min_examples": 50}).fit(frame, actual)
    assert selector.columns_ == ["tells", "city"]
    assert list(selector.transform(frame[::-1])) == ["tells", "city"]


def test_the_selector_takes_amounts_for_whether_there_are_any():
    frame, actual = customers()
    assert FeatureSelector().fit(frame, np.where(actual, 17.5, 0.0)).columns_ == ["tells", "city"]


def test_the_selector_heeds_its_limits_and_what_has_gone_missing():
    frame, actual = customers()
    assert FeatureSelector({"max_chi2_p": 1.0, "min_mutual_information": 0.0}).fit(frame, actual).columns_ == [
        "tells", "noise", "city"
    ]  # fmt: skip
    assert FeatureSelector(missing_newest={"tells": 0.5}).fit(frame, actual).columns_ == ["noise", "city"]
    assert FeatureSelector(missing_newest={}).fit(frame, actual).columns_ == ["tells", "city"]


def test_where_nothing_varies_there_are_no_features():
    frame, actual = customers()
    with pytest.raises(NoFeaturesError, match="no feature varies among the training examples"):
        FeatureSelector().fit(frame[["same"]].assign(nothing=NAN), actual)


def test_numbers_come_as_they_are_gaps_included_for_trees():
    frame = pd.DataFrame({"x": [1.0, NAN], "city": ["Ely", "Bath"], "y": [3.0, 4.0]})
    encoder = Encoder(least_share=0.01).fit(frame)
    assert encoder.transform(frame).tolist() == [[1, 3, 0, 1], pytest.approx([NAN, 4, 1, 0], nan_ok=True)]
    assert list(encoder.get_feature_names_out()) == ["x", "y", "city=Bath", "city=Ely"]
    assert encoder.sources_ == ["x", "y", "city", "city"]


def test_rare_levels_and_new_ones_count_as_one():
    towns = ["Ely"] * 50 + ["Bath"] * 48 + ["Wick", "Deal"]
    encoder = Encoder(least_share=0.02).fit(pd.DataFrame({"city": towns}))
    assert encoder.names_ == ["city=Bath", "city=Ely", "city=other"]
    told = encoder.transform(pd.DataFrame({"city": ["Ely", "Wick", "Ulm", "unknown"]}))
    assert told.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_without_rare_levels_a_new_one_is_none_of_them():
    encoder = Encoder().fit(pd.DataFrame({"city": ["Ely", "Bath"] * 50}))
    assert encoder.transform(pd.DataFrame({"city": ["Ulm"]})).tolist() == [[0, 0]]


def test_the_most_frequent_levels_have_columns():
    cities = [f"city{n:02}" for n in range(40) for _ in range(40 - n)]
    encoder = Encoder(least_share=0.0001, most_levels=5).fit(pd.DataFrame({"city": cities}))
    assert encoder.names_ == ["city=city00", "city=city01", "city=city02", "city=city03", "city=other"]


def test_the_means_are_those_of_the_output():
    frame, _ = customers()
    encoder = Encoder(scaled_numbers()).fit(frame[["tells", "city"]])
    told = encoder.transform(frame)
    assert encoder.means_ == pytest.approx(told.mean(axis=0))
    assert encoder.means_[0] == pytest.approx(0, abs=1e-9)


def test_gaps_are_filled_with_the_median_and_flagged():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, NAN], "full": [1.0, 2.0, 3.0, 4.0]})
    encoder = Encoder(scaled_numbers()).fit(frame)
    assert encoder.names_ == ["x", "full", "missingindicator_x"]
    assert encoder.sources_ == ["x", "full", "x"]
    told = encoder.transform(frame)
    assert told[3, 0] == pytest.approx(told[1, 0])  # 2, the median
    assert told[3, 2] > 0 > told[0, 2]


def test_a_median_is_that_of_the_rows_learnt_from():
    encoder = Encoder(scaled_numbers()).fit(pd.DataFrame({"x": [1.0, 2.0, 3.0]}))
    told = encoder.transform(pd.DataFrame({"x": [NAN, 2.0, 900.0, 900.0]}))
    assert told[0, 0] == told[1, 0]


@pytest.mark.parametrize("values", [[NAN, NAN, NAN, NAN], [7.0, 7.0, 7.0, 7.0]])
def test_what_does_not_vary_where_it_is_learnt_says_nothing_later(values):
    """A rule's only column may be empty at early cutoffs."""
    outcomes = np.array([0, 1, 1, 1])
    rule = make_pipeline(Encoder(scaled_numbers()), LogisticRegression()).fit(pd.DataFrame({"x": values}), outcomes)
    told = rule.predict_proba(pd.DataFrame({"x": [7.0, 900.0, NAN]}))[:, 1]
    assert told == pytest.approx([0.75] * 3, abs=1e-3)


def test_long_tails_are_drawn_in():
    amounts = np.random.default_rng(0).lognormal(3, 1, (2_000, 1))
    told = scaled_numbers().fit_transform(pd.DataFrame(amounts, columns=["x"]))
    assert abs(skew(told[:, 0])) < 0.3 < 3 < skew(amounts[:, 0])


def test_more_rows_than_enough_do_not_change_the_power_much():
    amounts = np.random.default_rng(0).gamma(2, 10, (40_000, 1))
    few, all_of_them = (SampledPowerTransformer(rows).fit(amounts) for rows in (2_000, 40_000))
    assert few.lambdas_ == pytest.approx(all_of_them.lambdas_, abs=0.05)


def test_columns_are_scaled_as_by_the_steps_themselves_to_the_last_bit():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"spent": rng.gamma(0.3, 200.0, 3_001), "change": rng.normal(0, 5, 3_001), "same": 2.0})
    frame["rare"] = np.where(rng.random(3_001) < 0.2, NAN, frame["spent"] ** 2)
    encoder = Encoder(scaled_numbers()).fit(frame)
    encoder.numbers_[2].lambdas_[1] = 2.0  # whose formula for what is below 0 is another
    newer = frame.assign(change=NAN, spent=-frame["spent"]).iloc[:777]
    for rows in (frame, newer):
        assert (encoder.transform(rows) == encoder.numbers_.transform(rows)).all()


def test_coded_inputs_are_the_same_inputs():
    frame = pd.DataFrame(
        {
            "x": [1.0, np.inf, NAN],
            "count": pd.array([1, None, 3], "Int64"),
            "city": ["Ely", None, "unknown"],
            "left": ["a", "b", "a"],
        }
    )
    plain, coded = (make(frame, list(frame.columns)) for make in (preparation.inputs, preparation.coded_inputs))
    texts = {name: coded[name].astype(object) for name in ("city", "left")}
    pd.testing.assert_frame_equal(coded.assign(**texts), plain.astype(dict.fromkeys(texts, object)))
    assert coded["city"].cat.categories.tolist() == ["Ely", "unknown"]
    encoder = Encoder().fit(plain)
    np.testing.assert_array_equal(encoder.transform(coded), encoder.transform(plain))
