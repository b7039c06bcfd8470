"""The pictures that training runs keep in MLflow. Each function takes plain arrays and gives a matplotlib figure."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay


def _axes(title: str, width: float = 7, height: float = 4.5):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def segment_sizes(names: Sequence[str], shares: Sequence[float]) -> Figure:
    """One bar per segment; shares in 0..1."""
    figure, axes = _axes("Segments by share of buyers", height=1 + 0.5 * len(names))
    bars = axes.barh(list(names), [100 * share for share in shares])
    axes.bar_label(bars, fmt="%.1f%%")
    axes.invert_yaxis()
    axes.set_xlabel("% of buyers")
    axes.margins(x=0.15)
    return figure


def segment_profiles(profile: pd.DataFrame) -> Figure:
    """Heat map of mean percentile ranks (0..1): rows are segments, columns features; 0.5 is the average customer."""
    figure, axes = _axes(
        "What sets the segments apart (mean percentile)", 2 + 1.2 * profile.shape[1], 2 + 0.5 * len(profile)
    )
    image = axes.imshow(profile.to_numpy(), cmap="RdBu_r", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(profile.shape[1]), profile.columns, rotation=30, ha="right")
    axes.set_yticks(range(len(profile)), profile.index)
    for (row, column), value in np.ndenumerate(profile.to_numpy()):
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8)
    figure.colorbar(image, ax=axes)
    return figure


def k_curve(silhouettes: Mapping[int, float], admissible: Mapping[int, bool], chosen: int) -> Figure:
    """Silhouette against the number of clusters; hollow where a segment would be too small or too large."""
    figure, axes = _axes("Number of segments")
    ks = sorted(silhouettes)
    axes.plot(ks, [silhouettes[k] for k in ks], color="grey", zorder=1)
    for k in ks:
        axes.scatter(k, silhouettes[k], s=80, zorder=2, color="C0", facecolor="C0" if admissible[k] else "white")
    axes.scatter(chosen, silhouettes[chosen], s=250, facecolor="none", edgecolor="C3", zorder=3, label="chosen")
    axes.set(xlabel="segments", ylabel="silhouette", xticks=ks)
    axes.legend()
    return figure


def feature_selection(table: pd.DataFrame, most: int = 30) -> Figure:
    """Mutual information with the target, the best features first; beside the bars of those dropped, why.

    :param table: one row per feature, best first; columns `feature`, `mutual_information`, `kept` and `reason`.
    """
    best = table.head(most)
    title = f"What each feature tells about the target: {table['kept'].sum()} of {len(table)} kept"
    figure, axes = _axes(title, 9, 1.2 + 0.25 * len(best))
    bars = axes.barh(best["feature"], best["mutual_information"], color=np.where(best["kept"], "C0", "lightgrey"))
    axes.bar_label(bars, np.where(best["kept"], "", best["reason"]), padding=3, fontsize=7, color="dimgrey")
    axes.invert_yaxis()
    axes.set_xlabel("mutual information (nats)" + (f", the best {most} features" if len(table) > most else ""))
    axes.margins(x=0.15, y=0.01)
    return figure


def roc(actual: np.ndarray, probability: np.ndarray) -> Figure:
    figure, axes = _axes("ROC on the test cutoff", 5, 5)
    RocCurveDisplay.from_predictions(actual, probability, ax=axes, plot_chance_level=True)
    return figure


def precision_recall(actual: np.ndarray, probability: np.ndarray) -> Figure:
    figure, axes = _axes("Precision and recall on the test cutoff", 5, 5)
    PrecisionRecallDisplay.from_predictions(actual, probability, ax=axes, plot_chance_level=True)
    return figure


def calibration(actual: np.ndarray, probability: np.ndarray) -> Figure:
    """Observed share against predicted probability in ten equally filled bins; on the diagonal it is true."""
    figure, axes = _axes("Calibration on the test cutoff", 5, 5)
    observed, predicted = calibration_curve(actual, probability, n_bins=10, strategy="quantile")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot(predicted, observed, marker="o")
    axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    return figure


def confusion(actual: np.ndarray, predicted: np.ndarray) -> Figure:
    figure, axes = _axes("Confusion matrix on the test cutoff, cut at 0.5", 4.5, 4)
    ConfusionMatrixDisplay.from_predictions(actual, predicted, ax=axes, colorbar=False)
    return figure
