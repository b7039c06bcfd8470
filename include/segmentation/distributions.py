"""
How the values of a column are spread, in bins that a reference fixes, and how far another day's are from that.

The population stability index is that of Siddiqi (2006, "Credit Risk Scorecards"): below 0.1 nothing has changed, from
0.25 the population is another. Between two samples of one population it is not 0: times n m / (n + m), it is spread
about as chi-squared with bins - 1 degrees of freedom (Yurdakul 2018, "Statistical Properties of Population Stability
Index"), its mean therefore (bins - 1)(1/n + 1/m). In a small shop that alone reaches 0.25, hence `threshold`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import chi2

from segmentation import settings

MISSING, OTHERS = "missing", "others"


@dataclass(frozen=True)
class Bins:
    """Where values fall: numbers between edges, else levels by name; what is missing has a bin of its own.

    :param edges: ascending; a value belongs below the first edge that it does not exceed. None: it is levels.
    :param levels: those not named fall together.
    """

    edges: np.ndarray | None = None
    levels: tuple[str, ...] = ()

    @classmethod
    def of(cls, reference: pa.ChunkedArray, config: settings.Drift) -> "Bins":
        """The bins of a reference: numbers cut at its quantiles, or its levels that are not rare.

        A value that fills a whole bin has one to itself, so that what moves to either side of it is seen; but values
        within a small part of the spread count as the same, because some are fitted anew each day.
        """
        if not settings.is_number(reference.type):
            least = config.least_level_share * len(reference)
            return cls(levels=tuple(level for level, rows in _levels(reference).items() if rows >= least))
        numbers = _numbers(reference)
        if not len(numbers):
            return cls(edges=np.array([]))
        cuts = np.quantile(numbers, np.arange(1, config.bins) / config.bins, method="inverted_cdf")
        return cls(edges=_edges(cuts, config.same_within * (cuts[-1] - cuts[0])))

    def counts(self, column: pa.ChunkedArray) -> dict[str, int]:
        """How many values fall into each bin that has any."""
        found = {MISSING: column.null_count}
        if self.edges is None:
            for level, rows in _levels(column).items():
                name = level if level in self.levels else OTHERS
                found[name] = found.get(name, 0) + rows
        else:
            numbers = _numbers(column)
            found[MISSING] = len(column) - len(numbers)
            places = np.bincount(np.searchsorted(self.edges, numbers, side="left"), minlength=len(self.edges) + 1)
            found |= {f"{place}": int(rows) for place, rows in enumerate(places)}
        return {name: rows for name, rows in found.items() if rows}


def threshold(now: Mapping[str, int], before: Mapping[str, int], config: settings.Drift) -> float:
    """The index from which two spreads of counts differ for more reasons than chance, and by enough to matter.

    >>> many, few = {"a": 50_000, "b": 50_000}, {"a": 10, "b": 10}
    >>> round(threshold(many, many, settings.Drift()), 2), round(threshold(few, few, settings.Drift()), 2)
    (0.25, 1.08)
    """
    rows_now, rows_before = (max(sum(side.values()), 1) for side in (now, before))
    freedom = max(len(now.keys() | before.keys()) - 1, 1)
    by_chance = chi2.isf(config.by_chance, freedom) * (1 / rows_now + 1 / rows_before)
    return max(config.least_index, float(by_chance))


def _edges(cuts: np.ndarray, near: float) -> np.ndarray:
    """Edges at cuts, and around those that come more than once.

    >>> _edges(np.array([1.0, 2.0, 2.0, 5.0]), 0.5)
    array([1. , 1.5, 2.5, 5. ])
    """
    values, times = np.unique(cuts, return_counts=True)
    often = values[times > 1]
    middles = (often[1:] + often[:-1]) / 2
    lower = np.maximum(often - near, np.append(-np.inf, middles))
    upper = np.minimum(often + near, np.append(middles, np.inf))
    once = [value for value in values[times == 1] if not ((lower < value) & (value < upper)).any()]
    return np.unique([*once, *np.where(near > 0, lower, np.nextafter(often, -np.inf)), *upper])


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Those that are there, as floats, shape (n,)."""
    numbers = column.cast(pa.float64()).drop_null().to_numpy()
    return numbers[~np.isnan(numbers)]


def _levels(column: pa.ChunkedArray) -> dict[str, int]:
    """Level -> rows, without the missing."""
    counted = pc.value_counts(column.drop_null().cast(pa.string()))
    return {each["values"]: each["counts"] for each in counted.to_pylist()}
