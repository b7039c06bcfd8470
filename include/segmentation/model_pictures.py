"""
Pictures of what a model rests on, whom it serves, and how models compare; as `pictures`, for the training runs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from segmentation.pictures import canvas

# Measure -> what its panel says
_PANELS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "true_positive_rate": "true positive rate",
    "selection_rate": "selection rate",
    "calibration_gap": "mean probability\nless base rate",
    "brier": "Brier score",
}
_AMOUNT_PANELS = {
    "spearman": "Spearman's\ncorrelation",
    "total_ratio": "predicted over\nactual total",
    "spend_share_top_tenth": "share of spend of\nthe best tenth",
    "mae": "mean absolute\nerror",
}
# Where nothing is wrong
_RIGHT = {"calibration_gap": 0, "total_ratio": 1}


def groups(table: pd.DataFrame) -> Figure:
    """Measures by group of customers, a panel each, with 95% intervals; groups that are not judged are named only.

    :param table: as `fairness.by_group` or `fairness.amounts_by_group` gives it; with no rows the picture says so.
    """
    shown = _PANELS if "base_rate" in table else _AMOUNT_PANELS
    if table.empty:
        return _nothing("Groups of customers", "of nobody is gender, age or income known")
    figure = Figure(figsize=(13, 1.6 + 0.32 * len(table)), layout="constrained")
    figure.suptitle("Groups of customers on the test cutoff, with 95% intervals")
    kinds = list(dict.fromkeys(table["attribute"]))
    places = np.arange(len(table)) + 0.6 * np.array([kinds.index(each) for each in table["attribute"]])
    is_judged = table["is_judged"].astype(bool).to_numpy()
    labels = [
        f"{group} ({rows:,}{'' if judged else ', too few'})"
        for group, rows, judged in zip(table["group"], table["rows"], is_judged, strict=True)
    ]
    colors = np.array([f"C{kinds.index(each)}" for each in table["attribute"]])
    panels = figure.subplots(1, len(shown), sharey=True)
    for axes, (measure, name) in zip(panels, shown.items(), strict=True):
        values, low, high = (table[f"{measure}{end}"].astype(float) for end in ("", "_low", "_high"))
        axes.hlines(places, low, high, colors=colors)
        axes.scatter(values, places, c=colors, zorder=2)
        if measure in _RIGHT:
            axes.axvline(_RIGHT[measure], color="grey", linestyle=":")
        axes.set_title(name, fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        axes.locator_params(axis="x", nbins=4)
        axes.tick_params(axis="x", labelsize=8)
    panels[0].set_yticks(places, labels)
    panels[0].invert_yaxis()
    for kind in kinds:
        own = [row for row, attribute in enumerate(table["attribute"]) if attribute == kind]
        panels[-1].text(
            1.03,
            places[own].mean(),
            kind,
            transform=panels[-1].get_yaxis_transform(),
            rotation=90,
            va="center",
            color=colors[own[0]],
        )
    return figure


def importance(table: pd.DataFrame, most: int = 25) -> Figure:
    """AUC lost when a feature is shuffled, the best features first; black lines are a standard deviation each way.

    :param table: as `importance.permutation_importance` gives it.
    """
    if table.empty:
        return _nothing("Permutation importance", "the model has no features")
    best = table.head(most)
    figure, axes = canvas("What the ranking rests on", _width(best["feature"]), 1.3 + 0.27 * len(best))
    places = range(len(best))
    axes.barh(places, best["auc_drop_mean"], xerr=best["auc_drop_std"], color="C0", error_kw={"elinewidth": 1})
    axes.set_yticks(places, best["feature"])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("AUC lost when shuffled" + (f", the best {most} of {len(table)}" if len(table) > most else ""))
    axes.margins(y=0.01)
    return figure


def contributions(contributions: pd.DataFrame, values: pd.DataFrame, most: int = 15, rows: int = 1_000) -> Figure:
    """What each feature adds to the predictions, a point per customer, as wide as they are dense.

    As the summary of SHAP values (Lundberg and Lee 2017); the features of the largest mean size first. Colour is the
    rank of the feature's value among the customers; grey where it is a category or missing.

    :param contributions: rows x features, in the unit of the prediction's sum, e.g. log odds.
    :param values: the features of the same rows, in the same order.
    :param rows: of more, as many are drawn, evenly spaced.
    :raises ValueError: different rows, or a feature without values.
    """
    if contributions.empty:
        return _nothing("Contributions", "there are no contributions")
    if len(values) != len(contributions):
        raise ValueError(f"contributions of {len(contributions)} rows, but values of {len(values)}")
    if missing := sorted(set(contributions.columns) - set(values.columns)):
        raise ValueError(f"no values of {', '.join(map(str, missing))}")
    best = contributions.abs().mean().sort_values(ascending=False, kind="stable").index[:most]
    drawn = np.unique(np.linspace(0, len(contributions) - 1, rows).astype(int))
    figure, axes = canvas("What adds to the predictions", 1 + _width(best), 1.5 + 0.42 * len(best))
    points, size = None, float(np.clip(3_000 / len(drawn), 6, 30))
    for place, name in enumerate(best):
        added = contributions[name].to_numpy(dtype=float)[drawn]
        ranks = _ranks(values[name]).to_numpy()[drawn]
        heights = place + _swarm(added)
        unknown = np.isnan(ranks)
        axes.scatter(added[unknown], heights[unknown], s=size, color="grey", linewidths=0)
        points = axes.scatter(
            added[~unknown], heights[~unknown], s=size, c=ranks[~unknown], cmap="coolwarm", vmin=0, vmax=1, linewidths=0
        )
    axes.axvline(0, color="black", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(best)), best)
    axes.set(ylim=(len(best) - 0.4, -0.6), xlabel="added to the prediction")
    bar = figure.colorbar(points, ax=axes, aspect=40, pad=0.02)
    bar.set_ticks([0, 1], labels=["low", "high"])
    bar.set_label("value of the feature", labelpad=-10)
    return figure


def learning_curve(
    sizes: Sequence[int], test: np.ndarray, train: np.ndarray | None = None, measure: str = "AUC"
) -> Figure:
    """The score by rows learnt from, the mean of the folds and from the least to the best of them.

    :param sizes: rows, shape (sizes,).
    :param test: scores on rows not learnt from, shape (sizes, folds); NaN where a fold has none.
    :param train: scores on the rows learnt from, of the same shape.
    """
    figure, axes = canvas("What more rows would bring")
    order = np.argsort(sizes)
    rows = np.asarray(sizes)[order]
    drawn = {"rows not learnt from": (test, "C0", "o")}
    drawn |= {} if train is None else {"rows learnt from": (train, "C1", "s")}
    for name, (scores, color, marker) in drawn.items():
        table = pd.DataFrame(np.asarray(scores, dtype=float).reshape(len(rows), -1)).iloc[order]
        axes.plot(rows, table.mean(axis=1), marker=marker, color=color, label=name)
        axes.fill_between(rows, table.min(axis=1), table.max(axis=1), color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="rows learnt from", ylabel=measure)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def candidates(
    scores: Mapping[str, Sequence[float]],
    best: str,
    baseline: str | None = None,
    measure: str = "AUC",
    less_is_better: bool = False,
) -> Figure:
    """The candidates of a target, the best mean first: a small point per fold, the mean and a standard deviation.

    :param scores: candidate -> score per fold; NaN where there is none.
    :param best: the one that was chosen; it is ringed.
    :param baseline: the one that the others have to beat; a line goes through its mean.
    """
    if not scores:
        return _nothing("Candidates", "none was fitted")
    folds = pd.DataFrame({name: pd.Series(np.asarray(each, dtype=float)) for name, each in scores.items()}).T
    folds = folds.loc[folds.mean(axis=1).sort_values(ascending=less_is_better, kind="stable").index]
    means, spreads = folds.mean(axis=1), folds.std(axis=1, ddof=0)
    figure, axes = canvas("Candidates", _width(folds.index), 1.5 + 0.4 * len(folds))
    for place, name in enumerate(folds.index):
        color = "C7" if name == baseline else "C0"
        axes.scatter(folds.loc[name], np.full(folds.shape[1], place), s=12, color=color, alpha=0.5, linewidths=0)
        axes.errorbar(means[name], place, xerr=spreads[name], color=color, marker="o", capsize=3)
    if np.isfinite(means.get(best, np.nan)):
        ring = {"s": 200, "facecolor": "none", "edgecolor": "C3", "zorder": 3}
        axes.scatter(means[best], folds.index.get_loc(best), label=f"chosen: {means[best]:.4f}", **ring)
    if np.isfinite(means.get(baseline, np.nan)):
        axes.axvline(means[baseline], color="C7", linestyle=":", label=f"baseline: {means[baseline]:.4f}")
    labels = [name if np.isfinite(means[name]) else f"{name} (no score)" for name in folds.index]
    axes.set_yticks(range(len(folds)), labels)
    axes.set(ylim=(len(folds) - 0.5, -0.5), xlabel=f"{measure}, mean of the folds and its standard deviation")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _nothing(title: str, why: str) -> Figure:
    figure, axes = canvas(title, 6, 2)
    axes.text(0.5, 0.5, why, ha="center", va="center", color="dimgrey")
    axes.set_axis_off()
    return figure


def _width(names: Sequence[str]) -> float:
    """Inches that leave the axes five beside the longest name."""
    return 5.5 + 0.085 * max(len(str(name)) for name in names)


def _ranks(values: pd.Series) -> pd.Series:
    """Percentile ranks, 0..1; NaN for categories."""
    if not pd.api.types.is_numeric_dtype(values):
        return pd.Series(np.nan, index=values.index)
    numbers = values.astype("float64")
    ranks = numbers.rank() - 1
    return ranks / max(numbers.count() - 1, 1)


def _swarm(values: np.ndarray, bins: int = 100) -> np.ndarray:
    """Heights within -0.4..0.4 that set apart the points of a bin, by turns above and below."""
    width = np.ptp(values) or 1.0
    bin = np.floor((values - values.min()) / width * (bins - 1))
    within = pd.Series(values).groupby(bin).cumcount().to_numpy()
    heights = np.ceil(within / 2) * np.where(within % 2, 1, -1)
    return 0.4 * heights / max(np.abs(heights).max(), 20)


def drift(title: str, names: Sequence[str], indices: Sequence[float], thresholds: Sequence[float]) -> Figure:
    """A bar per column: its population stability index, red where that is above the column's threshold, a tick."""
    figure, axes = canvas(title, 9, 1.5 + 0.25 * len(names))
    colors = ["C3" if index > limit else "C0" for index, limit in zip(indices, thresholds, strict=True)]
    axes.bar_label(axes.barh(list(names), list(indices), color=colors), fmt="%.2f", padding=3, fontsize=7)
    axes.plot(list(thresholds), list(names), "|", color="black", markersize=10, label="threshold")
    axes.axvline(0.1, color="grey", linestyle=":", label="0.1: nothing has changed below")
    axes.invert_yaxis()
    axes.set_xlabel("population stability index")
    axes.margins(x=0.1, y=0.02)
    axes.legend(loc="lower right")
    return figure
