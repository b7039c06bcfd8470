"""Gaps between groups are found where they are, and not where chance makes them."""

import numpy as np
import pandas as pd
import pytest

from segmentation import fairness, judge


def shop(rows=3_000, seed=0, missed=0.0):
    """(frame, outcomes, probabilities): no group differs, but of men a share is taken for less likely than they are."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "gender": pd.Series(rng.choice(["female", "male", None], rows, p=[0.5, 0.4, 0.1]), dtype="str"),
            "age_years": np.where(rng.random(rows) < 0.1, np.nan, rng.integers(16, 90, rows)),
            "income_band": rng.choice(["low", "middle", "high"], rows),
        }
    )
    odds = rng.normal(-0.5, 1.2, rows)
    actual = rng.random(rows) < 1 / (1 + np.exp(-odds))
    odds -= 3 * ((frame["gender"] == "male") & (rng.random(rows) < missed))
    return frame, actual, 1 / (1 + np.exp(-odds))


def four_by_four():
    """Two groups of four, cut at 0.5: of the first both positives are found, of the second one of two."""
    frame = pd.DataFrame({"gender": ["f"] * 4 + ["m"] * 4})
    actual = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    return frame, actual, np.array([0.9, 0.8, 0.6, 0.1, 0.7, 0.4, 0.3, 0.2])


SMALL = {"min_rows": 4, "min_of_each": 2, "rounds": 20}


def test_groups_that_one_can_check_by_hand():
    table = fairness.by_group(*four_by_four(), **SMALL).set_index("group")
    assert table["attribute"].tolist() == ["gender", "gender"]
    assert table["true_positive_rate"].to_dict() == table["recall"].to_dict() == {"f": 1, "m": 0.5}
    assert table["selection_rate"].to_dict() == {"f": 0.75, "m": 0.25}
    assert table["precision"].to_dict() == {"f": pytest.approx(2 / 3), "m": 1}
    assert table["calibration_gap"].to_dict() == {"f": pytest.approx(0.1), "m": pytest.approx(-0.1)}
    assert table["base_rate"].to_dict() == {"f": 0.5, "m": 0.5}
    gaps = fairness.largest_gaps(table.reset_index())
    assert gaps["tpr_gap_gender"] == gaps["selection_gap_gender"] == 0.5
    assert gaps["calibration_gap_gender"] == pytest.approx(0.2)
    assert gaps["auc_gap_gender"] == 0
    assert gaps["fairness_gap"] == 0


def test_a_group_has_the_measures_of_its_own_rows():
    frame, actual, probability = shop()
    spend = np.where(actual, 20.0, 1.0)
    table = fairness.by_group(frame, actual, probability, spend, threshold=0.3, rounds=20).set_index("group")
    men = (frame["gender"] == "male").to_numpy()
    found = judge.judge(actual[men], probability[men], spend[men], threshold=0.3)
    ends = judge.intervals(actual[men], probability[men], spend[men], threshold=0.3, rounds=20)
    for name in ("auc", "average_precision", "brier", "calibration_error", "f1", "spend_share_top_tenth"):
        assert table.at["male", name] == found[name]
        assert table.at["male", f"{name}_low"] == ends[f"{name}_low"]
    for name in ("selection_rate", "true_positive_rate", "calibration_gap"):
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[name] < table[f"{name}_high"]).all()


def test_groups_come_in_their_natural_order_and_what_is_not_known_comes_last():
    table = fairness.by_group(*shop(), rounds=5)
    assert {name: part["group"].tolist() for name, part in table.groupby("attribute", sort=False)} == {
        "gender": ["female", "male", "unknown"],
        "age_band": ["under 25", "25 to 34", "35 to 44", "45 to 54", "55 to 64", "65 and over", "unknown"],
        "income_band": ["low", "middle", "high"],
    }
    assert table.groupby("attribute")["rows"].sum().tolist() == [3_000] * 3


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "under 25"),
        (24, "under 25"),
        (25, "25 to 34"),
        (64.9, "55 to 64"),
        (65, "65 and over"),
        (110, "65 and over"),
    ],
)
def test_age_bands_begin_where_they_say(age, band):
    assert fairness.attributes(pd.DataFrame({"age_years": [age]}))["age_band"].tolist() == [band]


def test_what_is_not_known_has_one_name():
    values = ["f", None, np.nan, "", " ", "unknown", pd.NA]
    assert fairness.attributes(pd.DataFrame({"gender": values}))["gender"].tolist() == ["f"] + ["unknown"] * 6
    ages = pd.DataFrame({"age_years": pd.array([30, None, -5], "Int64")})
    assert fairness.attributes(ages)["age_band"].tolist() == ["25 to 34", "unknown", "unknown"]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pd.DataFrame(index=range(50)), id="no such columns"),
        pytest.param(pd.DataFrame({"gender": [None] * 50, "age_years": [np.nan] * 50}), id="nothing known"),
        pytest.param(pd.DataFrame({"gender": pd.array([None] * 50, "string"), "income_band": "unknown"}), id="text"),
    ],
)
def test_without_attributes_there_are_no_rows_and_no_gap(frame):
    table = fairness.by_group(frame, np.arange(50) % 2, np.full(50, 0.5))
    assert table.empty
    assert list(table.columns) == fairness.COLUMNS
    gaps = fairness.largest_gaps(table)
    assert list(gaps) == ["fairness_gap"]
    assert np.isnan(gaps["fairness_gap"])


def test_no_rows_at_all():
    assert fairness.by_group(pd.DataFrame({"gender": []}), np.array([]), np.array([])).empty


def test_small_groups_are_left_out_and_say_why():
    frame, actual, probability = shop()
    frame.loc[:9, "gender"] = "other"
    frame.loc[10:309, "gender"] = "rare"
    actual[10:309] = False
    table = fairness.by_group(frame, actual, probability, rounds=5).set_index("group")
    assert table.at["other", "reason"] == "10 rows; 200 are needed"
    assert table.at["rare", "reason"].endswith("negatives; 50 of each are needed")
    assert not table.loc[["other", "rare"], "is_judged"].any()
    assert table.loc[["other", "rare"], ["auc", "recall", "auc_low"]].isna().all(axis=None)
    assert table.loc[["female", "male"], "auc"].notna().all()
    without = table.drop(["other", "rare"]).reset_index()
    assert fairness.largest_gaps(table.reset_index()) == fairness.largest_gaps(without)


def test_customers_of_whom_the_shop_knows_nothing_are_no_group_that_is_treated_worse():
    frame, actual, probability = shop()
    unknown = frame["gender"].isna()
    worse = np.where(unknown, 0.01, probability)
    one, other = (
        fairness.largest_gaps(fairness.by_group(frame[["gender"]], actual, each, rounds=5))
        for each in (probability, worse)
    )
    assert one == other


def test_a_single_group_has_no_gap():
    table = fairness.by_group(pd.DataFrame({"gender": ["f"] * 400}), np.arange(400) % 2, np.full(400, 0.5), rounds=5)
    assert len(table) == 1
    assert list(fairness.largest_gaps(table)) == ["fairness_gap"]


def test_chance_makes_a_gap_but_seldom_a_fairness_gap():
    """Of 60 fair shops at most 8 show one, but for one chance in a hundred if it is 5%; each has a plain gap."""
    found = []
    for seed in range(60):
        gaps = fairness.largest_gaps(fairness.by_group(*shop(2_000, seed), rounds=1))
        assert gaps["tpr_gap_age_band"] > 0
        found.append(gaps["fairness_gap"] > 0)
    assert sum(found) <= 8


def test_men_who_are_missed_are_found_out():
    frame, actual, probability = shop(8_000, missed=0.5)
    table = fairness.by_group(frame, actual, probability, rounds=5)
    gaps = fairness.largest_gaps(table)
    rates = table.set_index("group")["true_positive_rate"]
    assert gaps["tpr_gap_gender"] == pytest.approx(rates["female"] - rates["male"])
    assert 0.1 < gaps["fairness_gap"] < gaps["tpr_gap_gender"]
    assert gaps["calibration_gap_gender"] > 0.1
    assert gaps["calibration_gap_income_band"] < 0.03


def test_the_bound_of_a_gap_is_that_of_newcombe():
    """56 of 70 against 48 of 80, an example of Newcombe (1998): by method 10 the interval begins at 0.0524."""
    one, two = (
        {"true_positive_rate": 56 / 70, "positives": 70},
        {"true_positive_rate": 48 / 80, "positives": 80},
    )
    assert fairness._sure_gap(one, two, 1.959964) == pytest.approx(0.0524, abs=5e-5)
    assert fairness._sure_gap(two, one, 1.959964) == fairness._sure_gap(one, two, 1.959964)


def test_the_order_of_the_rows_does_not_matter():
    frame, actual, probability = shop()
    order = np.random.default_rng(1).permutation(len(frame))
    there = fairness.by_group(frame, actual, probability, rounds=1)
    back = fairness.by_group(frame.iloc[order], actual[order], probability[order], rounds=1)
    columns = [name for name in there.columns if not name.endswith(("_low", "_high"))]
    pd.testing.assert_frame_equal(there[columns], back[columns])


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="different numbers of rows: 8, 7, 8"):
        fairness.by_group(four_by_four()[0], np.zeros(7), np.zeros(8))


def spending(rows=2_000, seed=3):
    """(frame, amounts, foreseen): of men twice of what they spend is foreseen; of others there are three."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"gender": rng.choice(["female", "male"], rows)})
    frame.loc[:2, "gender"] = "other"
    actual = np.where(rng.random(rows) < 0.4, rng.gamma(2, 20, rows), 0.0)
    return frame, actual, (actual + rng.gamma(1, 5, rows)) * np.where(frame["gender"] == "male", 2, 1)


def test_amounts_of_a_group_have_the_measures_of_its_own_rows():
    frame, actual, predicted = spending()
    table = fairness.amounts_by_group(frame, actual, predicted, rounds=20).set_index("group")
    assert list(table.index) == ["female", "male", "other"]
    men = (frame["gender"] == "male").to_numpy()
    found = judge.judge_amounts(actual[men], predicted[men])
    ends = judge.amount_intervals(actual[men], predicted[men], rounds=20)
    for name in ("mae", "rmse", "spearman", "total_ratio", "calibration_error", "spend_share_top_tenth"):
        assert table.at["male", name] == found[name]
        assert (table.at["male", f"{name}_low"], table.at["male", f"{name}_high"]) == (
            ends[f"{name}_low"], ends[f"{name}_high"],
        )  # fmt: skip
    assert table.at["male", "spenders"] == (actual[men] > 0).sum()
    assert table.at["male", "mean_predicted"] == pytest.approx(predicted[men].mean())
    assert (table.at["other", "is_judged"], table.at["other", "reason"]) == (False, "3 rows; 200 are needed")
    assert np.isnan(table.at["other", "mae"])


def test_gaps_of_amounts_are_between_judged_groups():
    frame, actual, predicted = spending()
    table = fairness.amounts_by_group(frame, actual, predicted, rounds=1)
    judged = table.set_index("group")
    gaps = fairness.largest_amount_gaps(table)
    assert gaps["total_ratio_gap_gender"] == judged.at["male", "total_ratio"] - judged.at["female", "total_ratio"]
    assert gaps["total_ratio_gap_gender"] > 0.8
    assert {name.removesuffix("_gender") for name in gaps} - {"total_ratio_gap"} == {
        "mae_gap", "rmse_gap", "spearman_gap", "mean_tweedie_deviance_gap", "calibration_error_gap",
        "spend_share_gap",
    }  # fmt: skip
    few = fairness.amounts_by_group(frame, np.where(np.arange(len(actual)) < 60, actual, 0), predicted, rounds=1)
    assert few["reason"].str.contains("spent anything; 50 are needed")[few["rows"] > 200].all()
    assert np.isnan(fairness.largest_amount_gaps(few).pop("total_ratio_gap"))
    assert len(fairness.largest_amount_gaps(few)) == 1
    with pytest.raises(ValueError, match="different numbers of rows: 2000, 1, 2000"):
        fairness.amounts_by_group(frame, actual[:1], predicted)


def test_the_gap_of_amounts_is_what_is_there_beyond_chance():
    """By hand: ratios of 1.5 (1.2 to 1.8) and 1.0 (0.6 to 1.4): 0.5 less the root of 0.3^2 + 0.4^2, which is 0.5."""

    def table(*groups):
        names = ("group", "total_ratio", "total_ratio_low", "total_ratio_high")
        rows = [dict(zip(names, each, strict=True)) | {"attribute": "gender", "is_judged": True} for each in groups]
        return pd.DataFrame(rows, columns=fairness.AMOUNT_COLUMNS)

    low = ("f", 1.0, 0.6, 1.4)
    assert fairness.largest_amount_gaps(table(("m", 1.5, 1.2, 1.8), low))["total_ratio_gap"] == pytest.approx(0)
    found = fairness.largest_amount_gaps(table(("m", 2.0, 1.7, 2.3), low))["total_ratio_gap"]
    assert found == pytest.approx(1.0 - 0.5)
    three = fairness.largest_amount_gaps(table(("m", 2.0, 1.7, 2.3), ("x", 1.5, 1.4, 1.6), low))["total_ratio_gap"]
    assert 0.3 < three < found, "one of three pairs is far apart by luck more often"
