"""
Whether predictions serve the groups of a shop's customers alike: the measures per gender, age band and income band, of
probabilities and of amounts.

`fairness_gap` is about equal opportunity (Hardt, Price and Srebro 2016, "Equality of Opportunity in Supervised
Learning"): of those who do it, is the same share found in each group? The largest of several gaps is large by chance
alone (Lum, Zhang and Bower 2022, "De-biasing 'bias' measurement", FAccT), so it is the gap that is there with 95%
confidence: the lower bound of the difference of two shares (Newcombe 1998, Statistics in Medicine 17, method 10), for
all pairs of groups at once (Bonferroni), and 0 if chance explains all gaps. `total_ratio_gap` is the same of amounts:
what was foreseen over what was spent, by the same method for any two estimates with intervals (Zou and Donner 2008,
Statistics in Medicine 27, "MOVER").
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from segmentation import judge

ATTRIBUTES = ("gender", "age_band", "income_band")
AGE_BANDS = {"under 25": 0, "25 to 34": 25, "35 to 44": 35, "45 to 54": 45, "55 to 64": 55, "65 and over": 65}
UNKNOWN = "unknown"
CONFIDENCE = 0.95

# Measure per group -> what its largest gap is called
_GAPS = {
    "auc": "auc_gap",
    "average_precision": "average_precision_gap",
    "precision": "precision_gap",
    "recall": "tpr_gap",
    "f1": "f1_gap",
    "log_loss": "log_loss_gap",
    "brier": "brier_gap",
    "calibration_error": "calibration_error_gap",
    "lift_top_tenth": "lift_gap",
    "spend_share_top_tenth": "spend_share_gap",
    "selection_rate": "selection_gap",
    "calibration_gap": "calibration_gap",
}
_AMOUNT_GAPS = {
    "mae": "mae_gap",
    "rmse": "rmse_gap",
    "spearman": "spearman_gap",
    "total_ratio": "total_ratio_gap",
    "mean_tweedie_deviance": "mean_tweedie_deviance_gap",
    "calibration_error": "calibration_error_gap",
    "spend_share_top_tenth": "spend_share_gap",
}
_COUNTED = ["attribute", "group", "rows", "positives", "is_judged", "reason", "base_rate", "mean_probability"]
_WITH_ENDS = [*_GAPS, "true_positive_rate"]
COLUMNS = [*_COUNTED, *_WITH_ENDS, *(f"{name}_{end}" for name in _WITH_ENDS for end in ("low", "high"))]
_AMOUNTS_COUNTED = ["attribute", "group", "rows", "spenders", "is_judged", "reason", "mean_spend", "mean_predicted"]
AMOUNT_COLUMNS = [
    *_AMOUNTS_COUNTED, *_AMOUNT_GAPS, *(f"{name}_{end}" for name in _AMOUNT_GAPS for end in ("low", "high")),
]  # fmt: skip


def by_group(
    frame: pd.DataFrame,
    actual: np.ndarray,
    probability: np.ndarray,
    spend: np.ndarray | None = None,
    *,
    spend_falls: bool = False,
    min_rows: int = 200,
    min_of_each: int = 50,
    threshold: float = 0.5,
    rounds: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per group of an attribute, by attribute; none for an attribute that is missing or not known of anyone.

    `attribute`, `group` (`unknown`: the shop does not know), `rows`, `positives`, `is_judged`, `reason` (why not, in
    words), `base_rate`, `mean_probability`, what `judge.judge` measures, `selection_rate` (share, 0..1, from the
    threshold on), `true_positive_rate` (recall by its other name), `calibration_gap` (mean probability less base rate);
    each with the ends of its 95% interval as `<name>_low` and `<name>_high`. Measures of a group that is not judged are
    NaN.

    :param frame: rows with `gender`, `income_band` and `age_years`, as far as there are such columns.
    :param actual: outcomes, bool or 0 and 1, shape (rows,).
    :param probability: 0..1, shape (rows,).
    :param spend: what each customer spent within the horizon, shape (rows,); None: no share of it.
    :param spend_falls: as for `judge.judge`.
    :param min_rows: rows that a group needs to be judged.
    :param min_of_each: positives, and negatives, that it needs.
    :param threshold: the probability from which a customer is selected.
    :raises ValueError: unequal lengths, or numbers that are none.
    """
    actual, probability = np.asarray(actual, dtype="float64"), np.asarray(probability, dtype="float64")
    arrays = [actual, probability, *([] if spend is None else [np.asarray(spend, dtype="float64")])]
    how: dict[str, Any] = {"threshold": threshold, "spend_falls": spend_falls}

    def told(*part: np.ndarray) -> dict[str, Any]:
        one = _counted(*part[:2], min_rows, min_of_each)
        if one["is_judged"]:
            found, ends = judge.judge(*part, **how), judge.intervals(*part, **how, rounds=rounds, seed=seed)
            one |= found | ends | _added(*part[:2], threshold, found["recall"])
        return one

    return _of_each(frame, arrays, told, COLUMNS)


def amounts_by_group(
    frame: pd.DataFrame,
    actual: np.ndarray,
    predicted: np.ndarray,
    *,
    min_rows: int = 200,
    min_spenders: int = 50,
    rounds: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """As `by_group`, of predicted amounts: `spenders`, `mean_spend`, `mean_predicted`, what `judge.judge_amounts`
    measures, and the ends of its 95% intervals.

    :param actual: amounts, shape (rows,), in the shop's currency.
    :param predicted: shape (rows,).
    :param min_spenders: rows with an amount above 0 that a group needs to be judged.
    :raises ValueError: unequal lengths, or numbers that are none.
    """
    arrays = [np.asarray(actual, dtype="float64"), np.asarray(predicted, dtype="float64")]

    def told(spent: np.ndarray, foreseen: np.ndarray) -> dict[str, Any]:
        one = _counted_amounts(spent, foreseen, min_rows, min_spenders)
        if one["is_judged"]:
            one |= judge.judge_amounts(spent, foreseen)
            one |= judge.amount_intervals(spent, foreseen, rounds=rounds, seed=seed)
        return one

    return _of_each(frame, arrays, told, AMOUNT_COLUMNS)


def _of_each(
    frame: pd.DataFrame, arrays: Sequence[np.ndarray], told: Callable[..., dict[str, Any]], columns: list[str]
) -> pd.DataFrame:
    """What is told of the members of each group, a row each."""
    if {len(each) for each in arrays} != {len(frame)}:
        raise ValueError(f"different numbers of rows: {', '.join(str(len(each)) for each in (frame, *arrays))}")
    rows = []
    for attribute, groups in attributes(frame).items():
        for group in _in_order(groups):
            members = (groups == group).to_numpy()
            rows.append({"attribute": attribute, "group": group, **told(*(each[members] for each in arrays))})
    return pd.DataFrame(rows, columns=columns)


def attributes(frame: pd.DataFrame) -> pd.DataFrame:
    """The group of each row by each attribute that is known of anyone; text, `unknown` where it is not."""
    known = {name: frame[name] for name in ("gender", "income_band") if name in frame}
    if "age_years" in frame:
        ages = pd.to_numeric(frame["age_years"], errors="coerce").astype("float64")
        known["age_band"] = pd.cut(ages, [*AGE_BANDS.values(), np.inf], right=False, labels=list(AGE_BANDS))
    named = {name: _named(known[name]) for name in ATTRIBUTES if name in known}
    named = {name: values for name, values in named.items() if (values != UNKNOWN).any()}
    return pd.DataFrame(named, index=frame.index)


def largest_gaps(table: pd.DataFrame) -> dict[str, float]:
    """The largest difference between two judged groups of an attribute, per measure, and `fairness_gap`.

    `auc_gap_gender`, `tpr_gap_gender`, `calibration_gap_gender` and so on for each attribute with two judged groups or
    more; customers of whom the shop does not know the attribute are no group here. `fairness_gap`, 0..1, is described
    above; NaN if there are no two groups to compare.

    :param table: as `by_group` gives it.
    """
    compared = _compared(table)
    gaps = _largest(compared, _GAPS)
    pairs, z = _pairs(compared)
    gaps["fairness_gap"] = max((_sure_gap(one, two, z) for one, two in pairs), default=np.nan)
    return gaps


def largest_amount_gaps(table: pd.DataFrame) -> dict[str, float]:
    """As `largest_gaps`, of amounts: `total_ratio_gap_gender`, `spearman_gap_gender`, `mae_gap_gender` (in the shop's
    currency) and so on. Who spends more is missed by more: groups are to be compared by the first two. And
    `total_ratio_gap`, which is described above; NaN if there are no two groups to compare.

    :param table: as `amounts_by_group` gives it.
    """
    compared = _compared(table)
    gaps, pairs, z = _largest(compared, _AMOUNT_GAPS), *_pairs(compared)
    gaps["total_ratio_gap"] = max((_sure_ratio_gap(one, two, z) for one, two in pairs), default=np.nan)
    return gaps


def _compared(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The judged groups of each attribute that has two of them or more."""
    judged = table[table["is_judged"].astype(bool) & (table["group"] != UNKNOWN)]
    return {name: part for name, part in judged.groupby("attribute", sort=False) if len(part) > 1}


def _largest(compared: Mapping[str, pd.DataFrame], named: Mapping[str, str]) -> dict[str, float]:
    gaps: dict[str, float] = {}
    for attribute, part in compared.items():
        spans = {gap: part[measure].max() - part[measure].min() for measure, gap in named.items()}
        gaps |= {f"{gap}_{attribute}": float(span) for gap, span in spans.items() if not np.isnan(span)}
    return gaps


def _pairs(compared: Mapping[str, pd.DataFrame]) -> tuple[list[tuple[dict, dict]], float]:
    """(every two groups of an attribute, the normal quantile of the confidence in all of them at once)."""
    pairs = [pair for part in compared.values() for pair in combinations(part.to_dict("records"), 2)]
    return pairs, norm.ppf(1 - (1 - CONFIDENCE) / (2 * len(pairs))) if pairs else np.nan


def _sure_ratio_gap(one: dict, two: dict, z: float) -> float:
    """How much the ratios of foreseen to spent differ at least, 0 or more."""
    more, less = sorted((one, two), key=lambda group: group["total_ratio"], reverse=True)
    wider = z / norm.ppf(1 - (1 - CONFIDENCE) / 2)
    down = wider * (more["total_ratio"] - more["total_ratio_low"])
    up = wider * (less["total_ratio_high"] - less["total_ratio"])
    return max(float(more["total_ratio"] - less["total_ratio"] - np.hypot(down, up)), 0.0)


def _sure_gap(one: dict, two: dict, z: float) -> float:
    """How much the true positive rates differ at least, 0..1."""
    return sure_difference(*((each["true_positive_rate"], each["positives"]) for each in (one, two)), z)


def sure_difference(one: tuple[float, int], two: tuple[float, int], z: float) -> float:
    """How much two shares differ at least, 0..1: (share, of how many rows) each; 0 if chance explains it (Newcombe)."""
    (found, rows), (lost, others) = sorted((one, two), key=lambda share: share[0], reverse=True)
    down = found - wilson(found, rows, z)[0]
    up = wilson(lost, others, z)[1] - lost
    return max(float(found - lost - np.hypot(down, up)), 0.0)


def wilson(share: float, rows: int, z: float) -> tuple[float, float]:
    """The interval of a share, 0..1, seen among rows (Wilson 1927); z is the normal quantile of its confidence."""
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return float(min(middle - half, share)), float(max(middle + half, share))


def _named(values: pd.Series) -> pd.Series:
    texts = values.astype(object).where(values.notna(), UNKNOWN).astype(str).str.strip()
    return texts.where(texts != "", UNKNOWN)


def _in_order(groups: pd.Series) -> list[str]:
    order = [*AGE_BANDS, "low", "middle", "high"]
    return sorted(set(groups), key=lambda name: (name == UNKNOWN, order.index(name) if name in order else -1, name))


def _counted(actual: np.ndarray, probability: np.ndarray, min_rows: int, min_of_each: int) -> dict:
    rows, positives = len(actual), int(actual.sum())
    reason = ""
    if rows < min_rows:
        reason = f"{rows} rows; {min_rows} are needed"
    elif min(positives, rows - positives) < min_of_each:
        reason = f"{positives} positives and {rows - positives} negatives; {min_of_each} of each are needed"
    return {
        "rows": rows,
        "positives": positives,
        "is_judged": not reason,
        "reason": reason,
        "base_rate": float(actual.mean()),
        "mean_probability": float(probability.mean()),
    }


def _counted_amounts(spent: np.ndarray, foreseen: np.ndarray, min_rows: int, min_spenders: int) -> dict[str, Any]:
    rows, spenders = len(spent), int((spent > 0).sum())
    reason = ""
    if rows < min_rows:
        reason = f"{rows} rows; {min_rows} are needed"
    elif spenders < min_spenders:
        reason = f"{spenders} spent anything; {min_spenders} are needed"
    return {
        "rows": rows, "spenders": spenders, "is_judged": not reason, "reason": reason,
        "mean_spend": float(spent.mean()), "mean_predicted": float(foreseen.mean()),
    }  # fmt: skip


def _added(actual: np.ndarray, probability: np.ndarray, threshold: float, recall: float) -> dict[str, float]:
    """What a group is asked besides the measures of everyone."""
    z, rows, off = norm.ppf((1 + CONFIDENCE) / 2), len(actual), probability - actual
    selected, gap, half = float(np.mean(probability >= threshold)), off.mean(), z * off.std() / np.sqrt(rows)
    return {
        **_with_ends("selection_rate", selected, wilson(selected, rows, z)),
        **_with_ends("true_positive_rate", recall, wilson(recall, int(actual.sum()), z)),
        **_with_ends("calibration_gap", float(gap), (float(gap - half), float(gap + half))),
    }


def _with_ends(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), (value, *interval), strict=True))
