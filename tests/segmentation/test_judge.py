"""Measures that one can check by hand, whatever the order of the rows; intervals that hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics

from segmentation import bootstrap, judge

HALF = [0, 0, 1, 1]
SCORES = [0.1, 0.6, 0.4, 0.9]


def customers(rows=1_000, seed=0, digits=2, slope=1.0):
    """(outcomes, probabilities, spend) with ties; true to the log odds times the slope."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1.5, 1, rows)
    actual = rng.random(rows) < 1 / (1 + np.exp(-odds))
    return actual, (1 / (1 + np.exp(-slope * odds))).round(digits), actual * rng.gamma(0.5, 40, rows)


probabilities = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0, 0.1, 0.25, 0.5, 0.9, 1]), st.integers(0, 90)), min_size=1, max_size=40
).map(lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True)))


def test_judge_on_numbers_one_can_check_by_hand():
    numbers = judge.judge(np.array(HALF), np.array(SCORES))
    assert numbers["auc"] == 0.75
    assert (numbers["precision"], numbers["recall"], numbers["f1"]) == (0.5, 0.5, 0.5)
    assert numbers["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert numbers["base_rate"] == 0.5
    assert numbers["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert numbers["lift_top_tenth"] == 2
    assert "spend_share_top_tenth" not in numbers


def test_the_threshold_is_where_a_positive_begins():
    numbers = judge.judge(HALF, SCORES, threshold=0.4)
    assert (numbers["precision"], numbers["recall"]) == (pytest.approx(2 / 3), 1)
    assert judge.judge(HALF, SCORES, threshold=0.95)["precision"] == 0


@pytest.mark.parametrize("digits", [1, 9])
def test_the_measures_are_those_of_scikit_learn(digits):
    actual, probability, _ = customers(digits=digits)
    numbers = judge.judge(actual, probability, threshold=0.3)
    cut = probability >= 0.3
    assert numbers["auc"] == pytest.approx(metrics.roc_auc_score(actual, probability))
    assert numbers["average_precision"] == pytest.approx(metrics.average_precision_score(actual, probability))
    assert numbers["log_loss"] == pytest.approx(metrics.log_loss(actual, probability))
    assert numbers["brier"] == pytest.approx(metrics.brier_score_loss(actual, probability))
    assert numbers["precision"] == pytest.approx(metrics.precision_score(actual, cut))
    assert numbers["recall"] == pytest.approx(metrics.recall_score(actual, cut))
    assert numbers["f1"] == pytest.approx(metrics.f1_score(actual, cut))


def test_a_perfect_prediction():
    actual = np.arange(1_000) >= 900
    numbers = judge.judge(actual, actual.astype(float), np.where(actual, 5.0, 0.0))
    assert {numbers[name] for name in ("auc", "average_precision", "precision", "recall", "f1")} == {1}
    assert numbers["log_loss"] == pytest.approx(0, abs=1e-12)
    assert numbers["brier"] == numbers["calibration_error"] == 0
    assert numbers["lift_top_tenth"] == pytest.approx(10)
    assert numbers["spend_share_top_tenth"] == pytest.approx(1)


def test_a_constant_prediction_tells_nothing():
    actual = np.arange(1_000) >= 800
    numbers = judge.judge(actual, np.full(1_000, 0.3), np.arange(1_000.0))
    assert numbers["auc"] == 0.5
    assert numbers["average_precision"] == pytest.approx(0.2)
    assert numbers["calibration_error"] == pytest.approx(0.1)
    assert numbers["lift_top_tenth"] == pytest.approx(1)
    assert numbers["spend_share_top_tenth"] == pytest.approx(0.1)
    assert numbers["log_loss"] == pytest.approx(-0.2 * np.log(0.3) - 0.8 * np.log(0.7))


def test_a_prediction_the_wrong_way_round():
    actual, probability, _ = customers()
    there, back = judge.judge(actual, probability), judge.judge(actual, 1 - probability)
    assert back["auc"] == pytest.approx(1 - there["auc"])
    assert back["calibration_error"] > there["calibration_error"]


def test_the_top_tenth_shares_what_is_tied_at_its_end():
    """The best tenth of 20 rows is two: one of its own, and one of the four that come next, two of them positive."""
    probability = np.array([0.9] + [0.5] * 4 + [0.1] * 15)
    actual = np.array([1] + [1, 1, 0, 0] + [0] * 15)
    spend = np.array([30.0] + [10, 0, 20, 2] + [0] * 14 + [38])
    numbers = judge.judge(actual, probability, spend)
    assert numbers["lift_top_tenth"] == pytest.approx((1 + 2 / 4) / 2 / (3 / 20))
    assert numbers["spend_share_top_tenth"] == pytest.approx((30 + 32 / 4) / 100)


def test_where_spend_falls_the_best_tenth_is_the_least_probable():
    actual, probability, spend = customers()
    churn = judge.judge(~actual, 1 - probability, spend, spend_falls=True)
    purchase = judge.judge(actual, probability, spend)
    assert churn["spend_share_top_tenth"] == pytest.approx(purchase["spend_share_top_tenth"])
    assert churn["spend_share_top_tenth"] > judge.judge(~actual, 1 - probability, spend)["spend_share_top_tenth"]


def test_calibration_error_is_the_mean_gap_of_ten_equally_filled_bins():
    actual, probability, _ = customers(rows=1_000, digits=9, slope=0.5)
    order = np.argsort(probability)
    gaps = [abs(actual[bin].mean() - probability[bin].mean()) for bin in np.split(order, 10)]
    assert judge.judge(actual, probability)["calibration_error"] == pytest.approx(np.mean(gaps))


def test_calibration_error_of_two_probabilities_is_the_mean_of_two_gaps():
    """Half of the rows are told 0.2, of whom 0.5 come, and half 0.9, of whom all come; how they lie does not matter."""
    probability, actual = np.tile([0.2, 0.9], 20), np.tile([0, 1, 1, 1], 10)
    assert judge.judge(actual, probability)["calibration_error"] == pytest.approx((0.3 + 0.1) / 2)


@given(probabilities, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, random):
    order = list(range(len(rows[0])))
    random.shuffle(order)
    there, back = judge.judge(*rows), judge.judge(*(each[order] for each in rows))
    assert back == pytest.approx(there, nan_ok=True)


@given(probabilities)
def test_rows_that_come_twice_change_nothing(rows):
    assert judge.judge(*(np.repeat(each, 2) for each in rows)) == pytest.approx(judge.judge(*rows), nan_ok=True)


@given(probabilities)
def test_measures_stay_within_their_bounds(rows):
    numbers = judge.judge(*rows)
    assert all(
        0 <= value <= 1
        for name, value in numbers.items()
        if name not in ("log_loss", "lift_top_tenth")
        if value == value
    )
    assert numbers["log_loss"] >= 0
    assert not numbers["lift_top_tenth"] < 0
    assert not numbers["lift_top_tenth"] > 10 + 1e-9
    assert np.isnan(numbers["auc"]) == (len(set(rows[0])) == 1)


def test_outcomes_of_one_class_leave_what_needs_both_undefined():
    numbers = judge.judge(np.zeros(50), np.full(50, 0.2), np.zeros(50))
    undefined = {name for name, value in numbers.items() if np.isnan(value)}
    assert undefined == {"auc", "average_precision", "lift_top_tenth", "spend_share_top_tenth"}
    assert numbers["brier"] == pytest.approx(0.04)
    ends = judge.intervals(np.zeros(50), np.full(50, 0.2), rounds=20)
    assert np.isnan(ends["auc_low"])
    assert np.isnan(ends["auc_high"])
    assert (ends["brier_low"], ends["brier_high"]) == (pytest.approx(0.04), pytest.approx(0.04))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (([], []), r"outcomes of shape \(0,\)"),
        (([[0, 1]], [0.1, 0.2]), r"outcomes of shape \(1, 2\)"),
        (([0, 1], [0.1, np.nan]), "1 of 2 probabilities are missing"),
        (([0, 1], [0.1, 1.2]), "probabilities from 0.1 to 1.2, not within 0..1"),
        (([0, 2], [0.1, 0.2]), "outcomes are not all 0 or 1"),
        (([0, 1, 1], [0.1, 0.2]), "different numbers of rows: 3, 2"),
        (([0, 1], [0.1, 0.2], [3.0, np.nan]), "1 of 2 spend are missing"),
        (([0, 1], [0.1, 0.2], [3.0]), "different numbers of rows: 2, 1, 2"),
    ],
)
def test_numbers_that_are_none_are_refused(rows, reason):
    for judged in (judge.judge, judge.intervals):
        with pytest.raises(ValueError, match=reason):
            judged(*rows)


AMOUNTS = [0.0, 10.0, 20.0, 30.0]


def test_amounts_on_numbers_one_can_check_by_hand():
    numbers = judge.judge_amounts(AMOUNTS, [10.0, 10.0, 10.0, 20.0])
    assert numbers["mae"] == 7.5
    assert numbers["rmse"] == pytest.approx(np.sqrt(300 / 4))
    assert numbers["total_ratio"] == pytest.approx(50 / 60)
    assert numbers["spend_share_top_tenth"] == pytest.approx(0.4 * 30 / 60)
    assert numbers["calibration_error"] == pytest.approx((10 + 0) / 60)


def test_the_measures_of_amounts_are_those_of_others():
    rng = np.random.default_rng(0)
    actual = (rng.random(500) < 0.4) * rng.gamma(1, 50, 500).round()
    predicted = np.maximum(actual / 2 + rng.normal(20, 20, 500), 0).round()
    numbers = judge.judge_amounts(actual, predicted)
    assert numbers["mae"] == pytest.approx(metrics.mean_absolute_error(actual, predicted))
    assert numbers["rmse"] == pytest.approx(metrics.root_mean_squared_error(actual, predicted))
    assert numbers["spearman"] == pytest.approx(spearmanr(actual, predicted).statistic)
    deviance = metrics.mean_tweedie_deviance(actual, np.maximum(predicted, 0.01), power=1.5)
    assert numbers["mean_tweedie_deviance"] == pytest.approx(deviance)
    assert (predicted == 0).any()


def test_perfect_and_constant_amounts():
    actual = np.arange(100.0)
    perfect, constant = judge.judge_amounts(actual, actual), judge.judge_amounts(actual, np.full(100, actual.mean()))
    assert (perfect["mae"], perfect["calibration_error"]) == (0, 0)
    assert perfect["spearman"] == pytest.approx(1)
    assert perfect["total_ratio"] == 1
    assert perfect["spend_share_top_tenth"] == pytest.approx(np.arange(90, 100).sum() / actual.sum())
    assert np.isnan(constant["spearman"])
    assert constant["spend_share_top_tenth"] == pytest.approx(0.1)
    assert constant["calibration_error"] == pytest.approx(0, abs=1e-9)


def test_amounts_that_allow_no_share_or_deviance():
    nothing = judge.judge_amounts(np.zeros(10), np.ones(10))
    assert all(np.isnan(nothing[name]) for name in ("total_ratio", "spend_share_top_tenth", "calibration_error"))
    assert np.isnan(judge.judge_amounts([-1.0, 5.0], [1.0, 5.0])["mean_tweedie_deviance"])
    with pytest.raises(ValueError, match="1 of 2 actual amounts are missing"):
        judge.judge_amounts([np.nan, 5.0], [1.0, 5.0])


def test_amounts_whatever_the_order_of_the_rows():
    rng = np.random.default_rng(1)
    actual, predicted = rng.integers(0, 5, 60), rng.integers(0, 4, 60)
    order = rng.permutation(60)
    there, back = judge.judge_amounts(actual, predicted), judge.judge_amounts(actual[order], predicted[order])
    assert back == pytest.approx(there)


def test_intervals_hold_the_estimate_and_narrow_with_the_rows():
    widths = []
    for rows in (500, 5_000):
        found, ends = judge.judge(*customers(rows)), judge.intervals(*customers(rows))
        assert ends.keys() == {f"{name}_{end}" for name in found for end in ("low", "high")}
        assert all(ends[f"{name}_low"] <= found[name] <= ends[f"{name}_high"] for name in found)
        widths.append(ends["auc_high"] - ends["auc_low"])
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(10), rel=0.3)


def test_the_interval_of_a_share_is_the_known_one():
    actual, probability, _ = customers(2_000)
    ends = judge.intervals(actual, probability, rounds=500)
    share = actual.mean()
    half_width = 1.96 * np.sqrt(share * (1 - share) / 2_000)
    assert ends["base_rate_low"] == pytest.approx(share - half_width, abs=0.15 * half_width)
    assert ends["base_rate_high"] == pytest.approx(share + half_width, abs=0.15 * half_width)


def test_the_same_seed_gives_the_same_interval():
    rows = customers(300)
    assert judge.intervals(*rows, rounds=20, seed=5) == judge.intervals(*rows, rounds=20, seed=5)
    assert judge.intervals(*rows, rounds=20, seed=5) != judge.intervals(*rows, rounds=20, seed=6)


@pytest.mark.parametrize("slope", [1.0, 0.7])
def test_intervals_hold_the_truth_about_as_often_as_they_say(slope):
    """At least 86 of 100, but for one chance in a thousand if it is 95%; the calibration error's are coarser."""
    truth = judge.judge(*customers(500_000, seed=99, digits=9, slope=slope))
    if slope == 1:
        truth["calibration_error"] = 0
    names = ("auc", "average_precision", "brier", "log_loss", "lift_top_tenth", "calibration_error")
    held = dict.fromkeys(names, 0)
    for seed in range(100):
        ends = judge.intervals(*customers(800, seed, digits=9, slope=slope), rounds=100, seed=seed)
        for name in names:
            held[name] += ends[f"{name}_low"] <= truth[name] <= ends[f"{name}_high"]
    assert held.pop("calibration_error") >= 78
    assert min(held.values()) >= 86, held


def test_of_many_rows_a_part_is_resampled_and_the_interval_is_as_narrow_as_of_all(monkeypatch):
    rows = customers(20_000)
    whole = judge.intervals(*rows)
    monkeypatch.setattr(bootstrap, "MOST_ROWS", 5_000)
    part, found = judge.intervals(*rows), judge.judge(*rows)
    for name in ("auc", "brier", "spend_share_top_tenth"):
        assert part[f"{name}_low"] < found[name] < part[f"{name}_high"]
        width = whole[f"{name}_high"] - whole[f"{name}_low"]
        assert part[f"{name}_high"] - part[f"{name}_low"] == pytest.approx(width, rel=0.35)


def test_a_gain_is_the_difference_and_its_sign_says_better():
    actual, probability, spend = customers(3_000)
    coarse = np.where(probability > 0.2, 0.4, 0.1)
    gain = judge.gain(actual, probability, coarse, spend)
    new, old = judge.judge(actual, probability, spend), judge.judge(actual, coarse, spend)
    assert gain["auc_gain"] == pytest.approx(new["auc"] - old["auc"])
    assert gain["log_loss_gain"] == pytest.approx(old["log_loss"] - new["log_loss"])
    compared = ("auc", "average_precision", "log_loss", "brier", "lift_top_tenth", "spend_share_top_tenth")
    assert all(gain[f"{name}_gain"] > 0 for name in compared)
    assert all(gain[f"{name}_gain_low"] <= gain[f"{name}_gain"] <= gain[f"{name}_gain_high"] for name in compared)
    back = judge.gain(actual, coarse, probability, spend)
    assert back["brier_gain_high"] == pytest.approx(-gain["brier_gain_low"])


def test_a_gain_is_surer_than_either_score():
    actual, probability, _ = customers(2_000)
    noisy = np.clip(probability + np.random.default_rng(3).normal(0, 0.01, 2_000), 0, 1)
    gain, ends = judge.gain(actual, probability, noisy), judge.intervals(actual, probability)
    assert gain["auc_gain_high"] - gain["auc_gain_low"] < (ends["auc_high"] - ends["auc_low"]) / 3
    assert "spend_share_top_tenth_gain" not in gain


def test_no_gain_of_a_model_over_itself():
    rows = customers(200)
    assert set(judge.gain(*rows[:2], rows[1], rows[2], rounds=20).values()) == {0}


def test_gains_of_amounts():
    rng = np.random.default_rng(2)
    actual = rng.gamma(1, 50, 1_000)
    good, bad = actual * rng.lognormal(0, 0.2, 1_000), actual * rng.lognormal(0, 1, 1_000)
    gain = judge.amount_gain(actual, good, bad)
    assert min(gain[f"{name}_gain_low"] for name in ("mae", "rmse", "spearman", "mean_tweedie_deviance")) > 0
    ends = judge.amount_intervals(actual, good)
    assert ends["mae_low"] < judge.judge_amounts(actual, good)["mae"] < ends["mae_high"]
    assert gain["mae_gain_low"] < judge.judge_amounts(actual, bad)["mae"] - judge.judge_amounts(actual, good)["mae"]
