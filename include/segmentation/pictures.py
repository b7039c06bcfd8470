"""
The pictures that training runs keep in MLflow. Each function takes plain arrays and gives a matplotlib figure.

Here: features, and predictions against what happened. What a model rests on and how models compare is drawn in
`model_pictures`; clusterings, in `segment_pictures`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from segmentation import judge
from segmentation.fairness import wilson
from segmentation.ranked import TENTHS, Places, among_first

SURE = 1.96  # normal quantile of a 95% interval
_TENTHS_LABEL = "tenth of the customers, those of the highest prediction first"


def canvas(title: str, width: float = 7, height: float = 4.5) -> tuple[Figure, Axes]:
    """A figure with one pair of axes under a title; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def feature_selection(table: pd.DataFrame, most: int = 30) -> Figure:
    """Mutual information with the target, the best features first; beside the bars of those dropped, why.

    :param table: one row per feature, best first; columns `feature`, `mutual_information`, `kept` and `reason`.
    """
    best = table.head(most)
    title = f"What each feature tells about the target: {table['kept'].sum()} of {len(table)} kept"
    figure, axes = canvas(title, 9, 1.2 + 0.25 * len(best))
    bars = axes.barh(best["feature"], best["mutual_information"], color=np.where(best["kept"], "C0", "lightgrey"))
    axes.bar_label(bars, np.where(best["kept"], "", best["reason"]), padding=3, fontsize=7, color="dimgrey")
    axes.invert_yaxis()
    axes.set_xlabel("mutual information (nats)" + (f", the best {most} features" if len(table) > most else ""))
    axes.margins(x=0.15, y=0.01)
    return figure


def roc(actual: np.ndarray, probability: np.ndarray) -> Figure:
    """:raises ValueError: outcomes of one class only, or numbers that are none; so do the next ones."""
    actual, probability = _both(actual, probability)
    figure, axes = canvas("ROC on the test cutoff", 5, 5)
    RocCurveDisplay.from_predictions(actual, probability, ax=axes, name="model", plot_chance_level=True)
    axes.set(xlabel="share of the negatives taken for positives", ylabel="share of the positives found")
    return figure


def precision_recall(actual: np.ndarray, probability: np.ndarray) -> Figure:
    actual, probability = _both(actual, probability)
    figure, axes = canvas("Precision and recall on the test cutoff", 5, 5)
    PrecisionRecallDisplay.from_predictions(actual, probability, ax=axes, name="model", plot_chance_level=True)
    axes.set(xlabel="recall: share of the positives found", ylabel="precision: positives among those found")
    axes.legend(loc="upper right")
    return figure


def calibration(actual: np.ndarray, probability: np.ndarray, before: np.ndarray | None = None) -> Figure:
    """Observed share against mean probability in ten equally filled bins; on the diagonal it is true.

    Bars are 95% intervals (Wilson 1927). Below, how many customers got which probability; those beyond the axis count
    at its end.

    :param before: the probabilities of the same rows before calibration.
    """
    actual, probability, _ = judge.checked(actual, probability)
    figure = Figure(figsize=(5.5, 6.5), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axes.set_title("Calibration on the test cutoff")
    drawn = {} if before is None else {"before calibration": (judge.checked(actual, before)[1], "C1", "s")}
    drawn["after calibration" if drawn else "model"] = (probability, "C0", "o")
    limit = 0.0
    for name, (scores, color, marker) in drawn.items():
        counts, predicted, observed = _by_tenth(scores, scores, actual)
        ends = np.array([wilson(share, rows, SURE) for share, rows in zip(observed, counts, strict=True)])
        axes.vlines(predicted, *ends.T, color=color, alpha=0.4)
        axes.plot(predicted, observed, marker=marker, color=color, label=name)
        limit = max(limit, predicted.max(), ends.max())
    limit = min(1.05 * limit, 1) or 1.0
    axes.plot([0, limit], [0, limit], color="grey", linestyle=":", label="calibrated")
    for name, (scores, color, _) in drawn.items():
        bins = np.linspace(0, limit, 41)
        below.hist(np.minimum(scores, limit), bins, color=color, histtype="step", label=name)
    axes.set(ylabel="observed share", xlim=(0, 1.02 * limit), ylim=(0, 1.02 * limit))
    axes.legend(loc="upper left")
    below.set(xlabel="predicted probability", ylabel="customers", yscale="log")
    return figure


def confusion(actual: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> Figure:
    """Customers by outcome and prediction, and their share of those with that outcome.

    :param predicted: bool, shape (n,): cut at the threshold.
    """
    actual, predicted = np.asarray(actual).astype(bool), np.asarray(predicted).astype(bool)
    counts = np.array([[np.sum((actual == row) & (predicted == column)) for column in (0, 1)] for row in (0, 1)])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = canvas(f"Confusion matrix on the test cutoff, cut at {threshold:.3g}", 5, 4)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{count:,}\n{shares[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=12)
    axes.set_xticks([0, 1], ["no", "yes"])
    axes.set_yticks([0, 1], ["no", "yes"])
    axes.set(xlabel="predicted", ylabel="happened")
    return figure


def gain(
    actual: np.ndarray, probability: np.ndarray, spend: np.ndarray | None = None, spend_falls: bool = False
) -> Figure:
    """The share of positives, and of spend, that is reached by contacting a share of the customers, the best first.

    :param spend: what each customer spent within the horizon, in the shop's currency.
    :param spend_falls: for the share of spend the least probable come first, as with churn.
    """
    actual, probability, spend = judge.checked(actual, probability, spend)
    is_constant = " (all probabilities are equal)" if np.ptp(probability) == 0 else ""
    figure, axes = canvas(f"Gain on the test cutoff{is_constant}", 5.5, 5.5)
    shares = np.linspace(0, 1, 201)
    curves = [("positives", actual, probability, "C0")]
    if spend is not None:
        order = "spend, the least probable first" if spend_falls else "spend"
        curves.append((order, spend, -probability if spend_falls else probability, "C2"))
    for name, values, score, color in curves:
        if values.sum() > 0:
            axes.plot(shares, _reached(shares, score, values), color=color, label=name)
            axes.plot(shares, _reached(shares, values, values), color=color, linestyle="--", label=f"{name}, at best")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="by lot")
    axes.set(xlabel="share of the customers contacted", ylabel="share reached", xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")
    return figure


def lift(actual: np.ndarray, probability: np.ndarray) -> Figure:
    """How many times the base rate is in each tenth of the customers; bars are 95% intervals (Wilson 1927).

    :raises ValueError: outcomes of one class only, or numbers that are none.
    """
    actual, probability = _both(actual, probability)
    figure, axes = canvas("Lift by tenth on the test cutoff")
    counts, observed, _ = (each[::-1] for each in _by_tenth(probability, actual, actual))
    base = actual.mean()
    ends = np.array([wilson(share, rows, SURE) for share, rows in zip(observed, counts, strict=True)]) / base
    bars = axes.bar(range(1, 11), observed / base, color="C0", alpha=0.8)
    axes.vlines(range(1, 11), *ends.T, color="black", linewidth=1)
    axes.bar_label(bars, [f"{each:.2f}" for each in observed / base], label_type="center", color="white", fontsize=8)
    axes.axhline(1, color="grey", linestyle=":", label=f"base rate, {base:.1%}")
    axes.set(xlabel=_TENTHS_LABEL, ylabel="times the base rate", xticks=range(1, 11))
    axes.legend()
    return figure


def amounts(actual: np.ndarray, predicted: np.ndarray) -> Figure:
    """Mean spend by tenth of the prediction, predicted and actual, on a scale that is logarithmic but for the least.

    Bars are 95% intervals of the mean.

    :param actual: in the shop's currency, shape (n,).
    """
    actual, predicted = judge.checked_amounts(actual, predicted)
    figure, axes = canvas("Spend by tenth of the prediction on the test cutoff")
    counts, told, spent = (each[::-1] for each in _by_tenth(predicted, predicted, actual))
    squares = _by_tenth(predicted, actual**2, actual)[1][::-1]
    half = SURE * np.sqrt(np.maximum(squares - spent**2, 0) / counts)
    tenths = np.arange(1, 11)
    axes.vlines(tenths, np.maximum(spent - half, 0) if (actual >= 0).all() else spent - half, spent + half, color="C0")
    axes.plot(tenths, spent, marker="o", linestyle="", color="C0", label="actual")
    axes.plot(tenths, told, marker="_", markersize=14, color="C1", label="predicted")
    means = np.abs(np.append(told, spent))
    if means.max() > 0:
        axes.set_yscale("symlog", linthresh=max(means[means > 0].min(), means.max() / 1e4))
        axes.yaxis.set_major_formatter("{x:,g}")
    axes.set(xlabel=_TENTHS_LABEL, ylabel="mean spend per customer", xticks=tenths)
    axes.legend()
    return figure


def _both(actual: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    actual, probability, _ = judge.checked(actual, probability)
    if len(np.unique(actual)) < 2:
        raise ValueError("the outcomes are of one class only: there is no curve to draw")
    return actual, probability


def _reached(shares: np.ndarray, score: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The share of the values' total among the first shares of the rows."""
    places = Places(score)
    return among_first(shares, places.sizes.astype(float), places.sums(values[places.order])) / values.sum()


def _by_tenth(score: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows per tenth by the score, the lowest first, and the mean of each array there; each of shape (10,)."""
    places = Places(-score)
    sizes = places.sizes.astype(float)
    counts = np.diff(TENTHS) * len(score)
    sums = (among_first(TENTHS, sizes, places.sums(each[places.order])) for each in values)
    return counts, *(np.diff(each) / counts for each in sums)
