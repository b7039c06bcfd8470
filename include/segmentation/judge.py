"""
How predictions are judged: probabilities against what happened, amounts against what was spent.

Rows with the same prediction share a place: where a tenth ends among them, it takes of them in proportion, which is
what one gets on average if ties are broken by lot. So the order of the rows never matters.

Calibration error: expected calibration error (Naeini, Cooper and Hauskrecht 2015, AAAI) over ten equally filled bins
(the adaptive one of Nixon et al. 2019, "Measuring Calibration in Deep Learning").
"""

import numpy as np

from segmentation import bootstrap
from segmentation.ranked import Amounts, Probabilities

# Of the measures that `gain` compares, those of which less is better
LOSSES = ("log_loss", "brier", "mae", "rmse", "mean_tweedie_deviance")


def judge(
    actual: np.ndarray,
    probability: np.ndarray,
    spend: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
    spend_falls: bool = False,
) -> dict[str, float]:
    """The measures of probabilities against outcomes, all of shape (n,).

    `auc`, `average_precision`, `precision`, `recall`, `f1`, `log_loss` (nats), `brier`, `calibration_error`,
    `base_rate`, `lift_top_tenth` (positives among the most probable tenth, over the base rate) and, with `spend`,
    `spend_share_top_tenth` (share, 0..1, of all spend that the best tenth brought). NaN where it is not defined: ranks
    need both outcomes, shares a total above 0. Precision without a prediction, or recall without a positive, is 0.

    :param actual: outcomes, bool or 0 and 1.
    :param probability: 0..1.
    :param spend: what each customer spent within the horizon, in the shop's currency.
    :param threshold: the probability from which precision, recall and F1 take it for a positive.
    :param spend_falls: a positive spends less, as with churn: the best tenth by spend is the least probable one.
    :raises ValueError: no rows, unequal lengths, or numbers that are none.
    """
    actual, probability, spend = checked(actual, probability, spend)
    return Probabilities(actual, probability, spend, threshold, spend_falls).measure(np.ones(len(actual)))


def intervals(
    actual: np.ndarray,
    probability: np.ndarray,
    spend: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
    spend_falls: bool = False,
    rounds: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """95% intervals of what `judge` measures: `auc_low`, `auc_high` and so on; see `bootstrap`."""
    actual, probability, spend = checked(actual, probability, spend)

    def make(rows: np.ndarray) -> bootstrap.Measure:
        part = None if spend is None else spend[rows]
        return Probabilities(actual[rows], probability[rows], part, threshold, spend_falls).measure

    return bootstrap.intervals(make, len(actual), rounds, seed, inflated=("calibration_error",))


def gain(
    actual: np.ndarray,
    new: np.ndarray,
    old: np.ndarray,
    spend: np.ndarray | None = None,
    *,
    spend_falls: bool = False,
    rounds: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """How much better the new probabilities are than the old ones of the same rows; above 0 is better throughout.

    `auc_gain`, `auc_gain_low`, `auc_gain_high`, and so for `average_precision`, `log_loss`, `brier`, `lift_top_tenth`
    and, with `spend`, `spend_share_top_tenth`. Each resample holds the same rows for both, so what makes a day easy or
    hard for either does not widen the interval.

    :raises ValueError: as `judge`.
    """
    actual, new, spend = checked(actual, new, spend)
    old = checked(actual, old, spend)[1]
    names = ["auc", "average_precision", "log_loss", "brier", "lift_top_tenth"]
    names += [] if spend is None else ["spend_share_top_tenth"]

    def make(rows: np.ndarray) -> bootstrap.Measure:
        part = None if spend is None else spend[rows]
        one, two = (Probabilities(actual[rows], each[rows], part, 0.5, spend_falls) for each in (new, old))
        return lambda weights: _difference(one.measure(weights), two.measure(weights), names)

    return _with_intervals(make, len(actual), rounds, seed)


def judge_amounts(actual: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """The measures of predicted amounts against actual ones, both of shape (n,), in the shop's currency.

    `mae`, `rmse`, `spearman` (-1..1), `total_ratio` (predicted over actual total), `mean_tweedie_deviance` (power 1.5;
    predictions below a cent count as one), `spend_share_top_tenth` (share, 0..1, of all that was spent by the tenth
    of whom most was predicted) and `calibration_error`: how far the totals of the ten tenths by prediction are off,
    added up, as a share of the actual total. NaN where it is not defined: shares need a total above 0, the correlation
    amounts that differ, the deviance amounts of 0 or more.

    :raises ValueError: no rows, unequal lengths, or numbers that are none.
    """
    actual, predicted = checked_amounts(actual, predicted)
    return Amounts(actual, predicted).measure(np.ones(len(actual)))


def amount_intervals(
    actual: np.ndarray, predicted: np.ndarray, *, rounds: int = 200, seed: int = 0
) -> dict[str, float]:
    """95% intervals of what `judge_amounts` measures: `mae_low`, `mae_high` and so on."""
    actual, predicted = checked_amounts(actual, predicted)
    return bootstrap.intervals(
        lambda rows: Amounts(actual[rows], predicted[rows]).measure,
        len(actual),
        rounds,
        seed,
        inflated=("calibration_error",),
    )


def amount_gain(
    actual: np.ndarray, new: np.ndarray, old: np.ndarray, *, rounds: int = 200, seed: int = 0
) -> dict[str, float]:
    """How much better the new amounts are than the old ones of the same rows, as `gain`.

    Of `mae`, `rmse`, `spearman`, `mean_tweedie_deviance` and `spend_share_top_tenth`.
    """
    actual, new = checked_amounts(actual, new)
    old = checked_amounts(actual, old)[1]
    names = ["mae", "rmse", "spearman", "mean_tweedie_deviance", "spend_share_top_tenth"]

    def make(rows: np.ndarray) -> bootstrap.Measure:
        one, two = (Amounts(actual[rows], each[rows]) for each in (new, old))
        return lambda weights: _difference(one.measure(weights), two.measure(weights), names)

    return _with_intervals(make, len(actual), rounds, seed)


def _difference(new: dict[str, float], old: dict[str, float], names: list[str]) -> dict[str, float]:
    return {f"{name}_gain": (old[name] - new[name]) if name in LOSSES else (new[name] - old[name]) for name in names}


def _with_intervals(make, rows: int, rounds: int, seed: int) -> dict[str, float]:
    found = make(np.arange(rows))(np.ones(rows))
    ends = bootstrap.intervals(make, rows, rounds, seed)
    return {key: value for name in found for key, value in _named(name, found, ends)}


def _named(name: str, found: dict[str, float], ends: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, found[name]), *((f"{name}_{end}", ends[f"{name}_{end}"]) for end in ("low", "high"))]


def checked(
    actual: np.ndarray, probability: np.ndarray, spend: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """As floats.

    :raises ValueError: says what they are not.
    """
    actual, probability = _rows(actual, "outcomes"), _rows(probability, "probabilities")
    spend = None if spend is None else _rows(spend, "spend")
    _same_length(actual, probability if spend is None else spend, probability)
    if not np.isin(actual, (0, 1)).all():
        raise ValueError("outcomes are not all 0 or 1")
    if probability.min() < 0 or probability.max() > 1:
        raise ValueError(f"probabilities from {probability.min():.3g} to {probability.max():.3g}, not within 0..1")
    return actual, probability, spend


def checked_amounts(actual: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As floats.

    :raises ValueError: says what they are not.
    """
    actual, predicted = _rows(actual, "actual amounts"), _rows(predicted, "predicted amounts")
    _same_length(actual, predicted)
    return actual, predicted


def _rows(values: np.ndarray, name: str) -> np.ndarray:
    rows = np.asarray(values, dtype="float64")
    if rows.ndim != 1 or not len(rows):
        raise ValueError(f"{name} of shape {rows.shape}; one number per row and at least one row are needed")
    if not np.isfinite(rows).all():
        raise ValueError(f"{np.sum(~np.isfinite(rows))} of {len(rows)} {name} are missing or not finite")
    return rows


def _same_length(*arrays: np.ndarray) -> None:
    if len({len(each) for each in arrays}) > 1:
        raise ValueError(f"different numbers of rows: {', '.join(str(len(each)) for each in arrays)}")
