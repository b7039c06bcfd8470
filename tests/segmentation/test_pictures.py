"""Pictures show the numbers that they were given, in the right place, and draw what a bad day brings."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segmentation import fairness, model_pictures, pictures

ROWS = 300
NOBODY, EVERY_THIRD = np.zeros(ROWS, bool), np.arange(ROWS) % 3 == 0
CONSTANT = np.full(ROWS, 0.2)
# The share of positives rises with the probability, from 0 in the lowest tenth on
RISING = np.arange(ROWS) / ROWS
LUCK = (np.arange(ROWS) * 7) % 10 < np.arange(ROWS) // 30


def texts(axes):
    return [text.get_text() for text in axes.texts]


def names(labels):
    return [label.get_text() for label in labels]


def line(axes, label):
    return next(each for each in axes.lines if each.get_label() == label)


def table(rows=2_000):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"gender": ["f", "m"] * (rows // 2), "income_band": rng.choice(["low", "high"], rows)})
    frame.loc[:4, "gender"] = "other"
    probability = rng.random(rows)
    return fairness.by_group(frame, rng.random(rows) < probability, probability, rounds=20)


def amounts_table(rows=2_000):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"gender": ["f", "m"] * (rows // 2)})
    spend = rng.gamma(0.3, 40, rows)
    return fairness.amounts_by_group(frame, spend, spend * rng.random(rows), rounds=20)


IMPORTANCE = pd.DataFrame(
    {"feature": ["a_feature_of_a_name_so_long_that_it_would_be_cut_180d", "b", "c"]}
    | {"auc_drop_mean": [0.05, 0.01, -0.001], "auc_drop_std": [0.01, 0.001, 0.001]}
)


def added(rows=100):
    """(contributions, values): of `much` the larger add more, `city` is a category, `gap` is missing of a half."""
    rng = np.random.default_rng(1)
    values = pd.DataFrame(
        {
            "little": rng.normal(0, 1, rows),
            "much": np.arange(rows, dtype=float),
            "city": ["Ely", "Bath"] * (rows // 2),
            "gap": [1.0, np.nan] * (rows // 2),
        }
    )
    contributions = pd.DataFrame(
        {"little": 0.01 * values["little"], "much": values["much"] / 10, "city": 0.1, "gap": [0.3, -0.3] * (rows // 2)}
    )
    return contributions, values


DRAWN = {
    "roc": lambda: pictures.roc(LUCK, RISING),
    "roc of a constant": lambda: pictures.roc(EVERY_THIRD, CONSTANT),
    "precision and recall": lambda: pictures.precision_recall(LUCK, RISING),
    "precision and recall of a constant": lambda: pictures.precision_recall(EVERY_THIRD, CONSTANT),
    "calibration": lambda: pictures.calibration(LUCK, RISING, RISING**2),
    "calibration of a constant": lambda: pictures.calibration(EVERY_THIRD, CONSTANT),
    "calibration of nobody": lambda: pictures.calibration(NOBODY, 0 * CONSTANT),
    "confusion": lambda: pictures.confusion(LUCK, RISING > 0.5),
    "confusion of nobody": lambda: pictures.confusion(NOBODY, NOBODY),
    "gain": lambda: pictures.gain(LUCK, RISING, LUCK * 9.0),
    "gain of nobody": lambda: pictures.gain(NOBODY, CONSTANT, 0 * CONSTANT),
    "lift": lambda: pictures.lift(LUCK, RISING),
    "lift of a constant": lambda: pictures.lift(EVERY_THIRD, CONSTANT),
    "amounts": lambda: pictures.amounts(LUCK * 50.0, RISING * 40),
    "amounts of nothing": lambda: pictures.amounts(0 * CONSTANT, 0 * CONSTANT),
    "amounts of one customer": lambda: pictures.amounts([5.0], [3.0]),
    "amounts that are given back": lambda: pictures.amounts(RISING * 10 - 5, RISING),
    "groups": lambda: model_pictures.groups(table()),
    "groups of amounts": lambda: model_pictures.groups(amounts_table()),
    "one group": lambda: model_pictures.groups(table().head(1)),
    "no group": lambda: model_pictures.groups(table().head(0)),
    "importance": lambda: model_pictures.importance(IMPORTANCE),
    "importance of nothing": lambda: model_pictures.importance(IMPORTANCE.head(0)),
    "contributions": lambda: model_pictures.contributions(*added()),
    "contributions of one customer": lambda: model_pictures.contributions(*(each.head(1) for each in added())),
    "contributions of nothing": lambda: model_pictures.contributions(pd.DataFrame(), pd.DataFrame()),
    "learning curve": lambda: model_pictures.learning_curve([100, 200], np.array([[0.6, 0.7], [0.7, np.nan]])),
    "learning curve of one size": lambda: model_pictures.learning_curve([100], np.array([[0.6]])),
    "candidates": lambda: model_pictures.candidates({"a": [0.6, 0.7], "b": [0.5]}, "a", "b"),
    "candidates without a score": lambda: model_pictures.candidates({"a": [0.6], "b": [np.nan]}, "a", "b"),
    "no candidate": lambda: model_pictures.candidates({}, "a"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_everything_written_lies_within_the_picture(draw):
    figure = draw()
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    box, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("draw", [pictures.roc, pictures.precision_recall, pictures.lift])
def test_outcomes_of_one_class_are_refused_where_there_is_no_curve(draw):
    with pytest.raises(ValueError, match="one class only"):
        draw(NOBODY, CONSTANT)


@pytest.mark.parametrize("draw", [pictures.roc, pictures.precision_recall, pictures.lift, pictures.calibration])
def test_probabilities_that_are_none_are_refused(draw):
    with pytest.raises(ValueError, match="300 of 300 probabilities are missing"):
        draw(EVERY_THIRD, np.full(ROWS, np.nan))


def test_probabilities_before_calibration_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"probabilities from 0 to 2\.99, not within 0\.\.1"):
        pictures.calibration(LUCK, RISING, 3 * RISING)


def test_spend_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="300 of 300 spend are missing"):
        pictures.gain(LUCK, RISING, np.full(ROWS, np.nan))


def test_calibration_shows_the_mean_and_the_share_of_each_tenth_before_and_after():
    axes, below = pictures.calibration(LUCK, RISING, RISING**2).axes
    after, before = line(axes, "after calibration"), line(axes, "before calibration")
    assert after.get_xdata() == pytest.approx([part.mean() for part in np.split(RISING, 10)])
    assert after.get_ydata() == pytest.approx([part.mean() for part in np.split(LUCK, 10)])
    assert before.get_xdata() == pytest.approx([part.mean() for part in np.split(RISING**2, 10)])
    assert before.get_ydata() == pytest.approx(after.get_ydata())
    assert len(below.patches) == 2


def test_calibration_alone_is_that_of_the_model_and_a_small_base_rate_fills_the_picture():
    axes, _ = pictures.calibration(np.arange(ROWS) % 50 == 0, CONSTANT / 10).axes
    assert line(axes, "model").get_ydata() == pytest.approx([6 / 300] * 10)
    assert axes.get_xlim()[1] < 0.3


def test_confusion_counts_and_says_where_it_is_cut():
    actual, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    (axes,) = pictures.confusion(actual, predicted, 0.25).axes
    assert texts(axes) == ["3\n75.0%", "1\n25.0%", "1\n50.0%", "1\n50.0%"]
    assert axes.get_title() == "Confusion matrix on the test cutoff, cut at 0.25"


def test_gain_of_a_perfect_model_is_the_best_there_is():
    actual = np.arange(100) < 20
    (axes,) = pictures.gain(actual, actual.astype(float)).axes
    curve, best = line(axes, "positives"), line(axes, "positives, at best")
    assert curve.get_ydata() == pytest.approx(best.get_ydata())
    assert np.interp([0.1, 0.2, 0.5], curve.get_xdata(), curve.get_ydata()) == pytest.approx([0.5, 1, 1])


def test_gain_of_a_constant_is_the_diagonal_and_the_title_says_so():
    (axes,) = pictures.gain(EVERY_THIRD, CONSTANT, EVERY_THIRD * 5.0).axes
    for name in ("positives", "spend"):
        assert line(axes, name).get_ydata() == pytest.approx(line(axes, name).get_xdata())
    assert "all probabilities are equal" in axes.get_title()


def test_gain_of_spend_that_falls_begins_with_the_least_probable():
    spend = np.where(RISING < 0.1, 10.0, 0.0)
    (axes,) = pictures.gain(LUCK, RISING, spend, spend_falls=True).axes
    curve = line(axes, "spend, the least probable first")
    assert np.interp(0.1, curve.get_xdata(), curve.get_ydata()) == pytest.approx(1)


def test_lift_has_the_most_probable_tenth_first():
    (axes,) = pictures.lift(LUCK, RISING).axes
    heights = [bar.get_height() for bar in axes.patches]
    shares = [part.mean() for part in np.split(LUCK, 10)][::-1]
    assert heights == pytest.approx(np.array(shares) / LUCK.mean())
    assert texts(axes)[0] == f"{heights[0]:.2f}"


def test_amounts_has_the_means_of_each_tenth():
    actual, predicted = LUCK * 50.0, RISING * 40
    (axes,) = pictures.amounts(actual, predicted).axes
    assert line(axes, "predicted").get_ydata() == pytest.approx([part.mean() for part in np.split(predicted, 10)][::-1])
    assert line(axes, "actual").get_ydata() == pytest.approx([part.mean() for part in np.split(actual, 10)][::-1])
    assert axes.get_yscale() == "symlog"


def test_groups_have_a_point_each_and_those_too_small_are_named_only():
    drawn = table().set_index("group")
    figure = model_pictures.groups(table())
    axes = figure.axes[0]
    assert [name.split(" (")[0] for name in names(axes.get_yticklabels())] == ["f", "m", "other", "low", "high"]
    assert names(axes.get_yticklabels())[2] == "other (5, too few)"
    points = axes.collections[1].get_offsets()
    assert points[:, 0].filled(np.nan) == pytest.approx(drawn["auc"].to_numpy(), nan_ok=True)
    assert [axes.get_title() for axes in figure.axes][2] == "true positive rate"
    assert texts(figure.axes[-1]) == ["gender", "income_band"]


def test_groups_of_amounts_have_measures_of_amounts():
    figure = model_pictures.groups(amounts_table())
    assert [each.get_title().split("\n")[0] for each in figure.axes] == [
        "Spearman's", "predicted over", "share of spend of", "mean absolute",
    ]  # fmt: skip
    points = figure.axes[1].collections[1].get_offsets()
    assert points[:, 0].tolist() == amounts_table()["total_ratio"].tolist()
    assert [line.get_xdata()[0] for line in figure.axes[1].lines] == [1]


def test_without_groups_the_picture_says_so():
    assert texts(model_pictures.groups(table().head(0)).axes[0]) == ["of nobody is gender, age or income known"]


def test_importance_shows_the_best_first_and_their_spread():
    (axes,) = model_pictures.importance(IMPORTANCE, most=2).axes
    assert names(axes.get_yticklabels()) == IMPORTANCE["feature"].head(2).tolist()
    assert [bar.get_width() for bar in axes.patches] == [0.05, 0.01]
    assert axes.yaxis_inverted()
    assert axes.get_xlabel().endswith("the best 2 of 3")


def test_contributions_are_in_order_of_their_size_and_coloured_by_the_value():
    axes, bar = model_pictures.contributions(*added()).axes
    assert names(axes.get_yticklabels()) == ["much", "gap", "city", "little"]
    assert bar.get_ylabel() == "value of the feature"
    grey, much = axes.collections[:2]
    assert len(grey.get_offsets()) == 0
    assert much.get_offsets()[:, 0].filled() == pytest.approx(np.arange(100) / 10)
    assert much.get_array().filled() == pytest.approx(np.linspace(0, 1, 100))
    _, _, gap_grey, gap, city_grey, city = axes.collections[:6]
    assert (len(gap_grey.get_offsets()), len(gap.get_offsets())) == (50, 50)
    assert set(gap_grey.get_offsets()[:, 0]) == {-0.3}
    assert (len(city_grey.get_offsets()), len(city.get_offsets())) == (100, 0)


def test_contributions_stay_on_their_line_and_show_so_many_rows_at_most():
    axes, _ = model_pictures.contributions(*added(5_000), rows=400).axes
    for place in range(4):
        heights = np.concatenate([each.get_offsets()[:, 1] for each in axes.collections[2 * place : 2 * place + 2]])
        assert len(heights) == 400
        assert np.abs(heights - place).max() <= 0.4 + 1e-9


def test_contributions_of_other_rows_or_unknown_features_are_refused():
    contributions, values = added()
    with pytest.raises(ValueError, match="contributions of 100 rows, but values of 99"):
        model_pictures.contributions(contributions, values.head(99))
    with pytest.raises(ValueError, match="no values of city"):
        model_pictures.contributions(contributions, values.drop(columns="city"))


def test_a_learning_curve_goes_through_the_means_whatever_the_order_of_the_sizes():
    scores = np.array([[0.8, 0.9], [0.6, 0.7]])
    (axes,) = model_pictures.learning_curve([200, 100], scores, scores + 0.05, "average precision").axes
    curve = line(axes, "rows not learnt from")
    assert curve.get_xdata().tolist() == [100, 200]
    assert curve.get_ydata() == pytest.approx([0.65, 0.85])
    assert line(axes, "rows learnt from").get_ydata() == pytest.approx([0.7, 0.9])
    assert axes.get_ylabel() == "average precision"
    low, high = axes.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (pytest.approx(0.6), pytest.approx(0.9))


@pytest.mark.parametrize(("less_is_better", "order"), [(False, ["b", "a", "base"]), (True, ["base", "a", "b"])])
def test_candidates_are_in_order_and_the_chosen_and_the_baseline_are_marked(less_is_better, order):
    scores = {"base": [0.5, 0.5], "a": [0.6, 0.7], "b": [0.8, 0.6]}
    figure = model_pictures.candidates(scores, "b", "base", "log loss", less_is_better)
    (axes,) = figure.axes
    assert names(axes.get_yticklabels()) == order
    assert names(figure.legends[0].get_texts()) == ["chosen: 0.7000", "baseline: 0.5000"]
    ring = next(each for each in axes.collections if each.get_label().startswith("chosen"))
    assert ring.get_offsets().tolist() == [[pytest.approx(0.7), order.index("b")]]


def test_a_candidate_without_a_score_comes_last_and_says_so():
    figure = model_pictures.candidates({"broken": [np.nan], "a": [0.6]}, "a", "broken")
    (axes,) = figure.axes
    assert names(figure.legends[0].get_texts()) == ["chosen: 0.6000"]
    assert names(axes.get_yticklabels()) == ["a", "broken (no score)"]
