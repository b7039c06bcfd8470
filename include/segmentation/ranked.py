"""
The measures of `judge`, of rows that are sorted once and then count more or less often: what a bootstrap needs.

Rows with the same prediction share a place; where a tenth ends among them, it takes of them in proportion. A weight is
how often a row counts, shape (n,), one whole number per row.
"""

import numpy as np
from scipy.special import xlogy

TENTHS = np.linspace(0, 1, 11)
TWEEDIE_POWER = 1.5
LEAST_AMOUNT = 0.01  # in the shop's currency, to which predictions are raised for the deviance
_LEAST_PROBABILITY = np.finfo(float).eps  # and as far from 1, for the log loss


class Places:
    """Rows by a score, the highest first; equal scores share a place.

    :param score: shape (n,).
    `scores`: shape (places,).
    """

    def __init__(self, score: np.ndarray) -> None:
        self.order = np.argsort(-score, kind="stable")
        ranked = score[self.order]
        self.starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        self.sizes = np.diff(np.append(self.starts, len(score)))
        self.scores = ranked[self.starts]

    def sums(self, ordered: np.ndarray) -> np.ndarray:
        """Per place, of values per row that are in order already."""
        return np.add.reduceat(ordered, self.starts)

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """The middle rank of each row, shape (n,), counted in weights from the top."""
        counts = self.sums(weights[self.order])
        ranks = np.empty(len(self.order))
        ranks[self.order] = np.repeat(np.cumsum(counts) - counts / 2, self.sizes)
        return ranks


def among_first(shares: np.ndarray | float, counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """The sum among the first shares (0..1) of the rows; counts and sums per place."""
    reached = np.append(0, np.cumsum(counts))
    return np.interp(np.multiply(shares, reached[-1]), reached, np.append(0, np.cumsum(sums)))


def _ratio(part: float, whole: float, otherwise: float = np.nan) -> float:
    return float(part / whole) if whole > 0 else otherwise


class Probabilities:
    """Sorted once, measured under any weights."""

    def __init__(
        self,
        actual: np.ndarray,
        probability: np.ndarray,
        spend: np.ndarray | None,
        threshold: float,
        spend_falls: bool,
    ) -> None:
        self.places, self.spend_falls = Places(probability), spend_falls
        self.actual = actual[self.places.order]
        self.spend = None if spend is None else spend[self.places.order]
        self.predicted = int(np.sum(self.places.scores >= threshold))

    def measure(self, weights: np.ndarray) -> dict[str, float]:
        weights = weights[self.places.order]
        counts, hits = self.places.sums(weights), self.places.sums(weights * self.actual)
        misses, scores = counts - hits, self.places.scores
        rows, positives, negatives = counts.sum(), hits.sum(), misses.sum()
        caught, reached = np.cumsum(hits), np.cumsum(counts)
        true, taken = hits[: self.predicted].sum(), counts[: self.predicted].sum()
        safe = np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        gaps = np.diff(among_first(TENTHS, counts, scores * counts - hits))
        found = {
            "auc": _ratio(misses @ (caught - hits / 2), positives * negatives),
            "average_precision": _ratio(hits @ (caught / np.maximum(reached, 1)), positives),
            "precision": _ratio(true, taken, 0.0),
            "recall": _ratio(true, positives, 0.0),
            "f1": _ratio(2 * true, taken + positives, 0.0),
            "log_loss": float(-(xlogy(hits, safe) + xlogy(misses, 1 - safe)).sum() / rows),
            "brier": float((hits @ (1 - scores) ** 2 + misses @ scores**2) / rows),
            "calibration_error": float(np.abs(gaps).sum() / rows),
            "base_rate": float(positives / rows),
            "lift_top_tenth": _ratio(among_first(0.1, counts, hits) / 0.1, positives),
        }
        if self.spend is not None:
            spend = self.places.sums(weights * self.spend)
            total = spend.sum()
            best = total - among_first(0.9, counts, spend) if self.spend_falls else among_first(0.1, counts, spend)
            found["spend_share_top_tenth"] = _ratio(best, total)
        return found


class Amounts:
    """Sorted once, measured under any weights."""

    def __init__(self, actual: np.ndarray, predicted: np.ndarray) -> None:
        self.actual, self.predicted, self.off = actual, predicted, predicted - actual
        self.by_actual, self.by_predicted = Places(actual), Places(predicted)
        self.deviances = np.full(len(actual), np.nan)
        if (actual >= 0).all():
            self.deviances = _tweedie(actual, np.maximum(predicted, LEAST_AMOUNT))

    def measure(self, weights: np.ndarray) -> dict[str, float]:
        rows, order = weights.sum(), self.by_predicted.order
        ordered = weights[order]
        counts, spend = self.by_predicted.sums(ordered), self.by_predicted.sums(ordered * self.actual[order])
        total = spend.sum()
        gaps = np.diff(among_first(TENTHS, counts, self.by_predicted.sums(ordered * self.off[order])))
        return {
            "mae": float(weights @ np.abs(self.off) / rows),
            "rmse": float(np.sqrt(weights @ self.off**2 / rows)),
            "spearman": _correlation(self.by_actual.ranks(weights), self.by_predicted.ranks(weights), weights),
            "total_ratio": _ratio(weights @ self.predicted, total),
            "mean_tweedie_deviance": float(weights @ self.deviances / rows),
            "spend_share_top_tenth": _ratio(among_first(0.1, counts, spend), total),
            "calibration_error": _ratio(np.abs(gaps).sum(), total),
        }


def _tweedie(actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Unit deviances of a Tweedie distribution (Jorgensen 1987), shape (n,)."""
    one, two = 1 - TWEEDIE_POWER, 2 - TWEEDIE_POWER
    return 2 * (actual**two / (one * two) - actual * predicted**one / one + predicted**two / two)


def _correlation(one: np.ndarray, two: np.ndarray, weights: np.ndarray) -> float:
    one, two = (each - weights @ each / weights.sum() for each in (one, two))
    return _ratio(weights @ (one * two), np.sqrt((weights @ one**2) * (weights @ two**2)))
