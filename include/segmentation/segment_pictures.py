"""
The pictures of clusterings that training runs keep in MLflow. Labels are English; Chinese names are in `pictures.md`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from segmentation.pictures import canvas


def segment_sizes(names: Sequence[str], shares: Sequence[float]) -> Figure:
    """One bar per segment; shares in 0..1."""
    figure, axes = canvas("Segments by share of buyers", height=1 + 0.5 * len(names))
    bars = axes.barh(list(names), [100 * share for share in shares])
    axes.bar_label(bars, fmt="%.1f%%")
    axes.invert_yaxis()
    axes.set_xlabel("% of buyers")
    axes.margins(x=0.15)
    return figure


def segment_profiles(profile: pd.DataFrame) -> Figure:
    """Heat map of mean percentile ranks (0..1): rows are segments, columns features; 0.5 is the average customer."""
    figure, axes = canvas(
        "What sets the segments apart (mean percentile)", max(7, 2 + 1.2 * profile.shape[1]), 2 + 0.5 * len(profile)
    )
    image = axes.imshow(profile.to_numpy(), cmap="RdBu_r", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(profile.shape[1]), profile.columns, rotation=30, ha="right")
    axes.set_yticks(range(len(profile)), profile.index)
    for (row, column), value in np.ndenumerate(profile.to_numpy()):
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8)
    figure.colorbar(image, ax=axes)
    return figure


def segment_map(points: np.ndarray, labels: np.ndarray, names: Mapping[int, str]) -> Figure:
    """Customers along the two directions of most variance, one colour per segment.

    :param points: shape (n, d), scaled as the clustering sees them.
    :param labels: the cluster of each, shape (n,).
    :param names: cluster -> what it is called.
    """
    figure, axes = canvas("The segments on a map (PCA)", 7, 6)
    pca = PCA(2, random_state=0).fit(points)
    places = pca.transform(points)
    for place, (cluster, name) in enumerate(names.items()):
        mine = labels == cluster
        axes.scatter(*places[mine].T, s=6, alpha=0.5, color=f"C{place % 10}", label=name)
    shares = pca.explained_variance_ratio_
    axes.set(xlabel=f"{shares[0]:.0%} of the variance", ylabel=f"{shares[1]:.0%} of the variance")
    axes.legend(fontsize=7, markerscale=2)
    return figure


def k_curve(curves: Mapping[str, Sequence[tuple[float, float, bool]]], label: str, chosen: tuple[str, float]) -> Figure:
    """Score against the number of clusters, or the density, a line per scaler; hollow where outside the limits.

    :param curves: scaler -> (parameter, score, whether it is within the limits), in order of parameters.
    :param label: what the parameter is.
    :param chosen: the scaler and parameter that were taken.
    """
    figure, axes = canvas("Number of segments")
    for place, (scaler, points) in enumerate(curves.items()):
        axes.plot([x for x, *_ in points], [y for _, y, _ in points], color=f"C{place}", zorder=1, label=scaler)
        for x, y, is_admissible in points:
            face = f"C{place}" if is_admissible else "white"
            axes.scatter(x, y, s=60, zorder=2, color=f"C{place}", facecolor=face)
            if (scaler, x) == chosen:
                axes.scatter(x, y, s=250, facecolor="none", edgecolor="C3", zorder=3, label="chosen")
    axes.set(xlabel=label, ylabel="score in the search")
    axes.legend()
    return figure


def stability(resamples: Sequence[float]) -> Figure:
    """The adjusted Rand index of each refit on half of the rows."""
    figure, axes = canvas("Stability: agreement with refits on halves", 5, 3.5)
    axes.bar(range(1, len(resamples) + 1), resamples)
    axes.axhline(float(np.mean(resamples)), color="C3", label=f"mean {np.mean(resamples):.2f}")
    axes.set(xlabel="refit", ylabel="adjusted Rand index", ylim=(min(0, *resamples), 1))
    axes.legend()
    return figure


def score_parts(parts: Mapping[str, Mapping[str, float]], chosen: str) -> Figure:
    """What each candidate's score is made of: stacked bars of weighted parts.

    :param parts: candidate -> part -> what it adds to the score.
    """
    figure, axes = canvas("Candidates by score", 8, 1.2 + 0.5 * len(parts))
    names = list(parts)
    left = np.zeros(len(names))
    for part in dict.fromkeys(part for each in parts.values() for part in each):
        widths = np.array([parts[name].get(part, 0.0) for name in names])
        axes.barh(names, widths, left=left, label=part)
        left += widths
    for place, (name, total) in enumerate(zip(names, left, strict=True)):
        axes.text(total, place, f" {total:.3f}" + (", chosen" if name == chosen else ""), va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("score")
    axes.margins(x=0.2)
    axes.legend(fontsize=7, loc="lower right")
    return figure
