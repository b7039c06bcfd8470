"""
Which features tell something about a target: each of them measured alone, ranked, and kept or dropped with a reason.

What is measured, on the training part only: the variance; Pearson's chi-square of the feature in bins against the
target; their mutual information, less what chance alone gives (Miller 1955); the AUC of the feature alone; and
Spearman's correlation of numbers with better ones. A missing value is a bin of its own throughout: that something is
not known may tell much.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy.stats import chi2

from segmentation import settings
from segmentation.errors import FinalError

KEPT = "kept"
# A category with a smaller share of the rows, or with fewer rows, is counted with the other small ones. Two numbers
# that share fewer rows are not compared.
LEAST_SHARE, LEAST_ROWS = 0.01, 20


class LeakError(FinalError):
    """A feature alone predicts the target too well to be honest; names it, its AUC and what to do."""


@dataclass(frozen=True)
class Selection:
    """What was kept and why.

    `kept`: the features, numbers and categories, in the order of the frame they came in.
    `table`: one row per feature, best first:

    - `feature`, `kind` (number, category), `kept`, `reason` (words) and `rank` (1 is the best);
    - `missing_share`, `missing_newest`: 0..1, of the training part and of younger rows;
    - `distinct`: different values; `variance`: of the values scaled to 0..1, so that units do not matter (the Gini
      index of categories); only what is constant is dropped for it, as one very large customer makes it small;
    - `chi2`, `chi2_p`: statistic and p-value; rows of one customer are not independent, so p is on the small side;
    - `mutual_information`: nats, not below 0; `auc`: 0.5..1, NaN where there are too few examples to tell;
    - `same_as`, `correlation`: the better feature that a redundant one repeats, and Spearman's correlation with it.
    """

    kept: tuple[str, ...]
    table: pd.DataFrame


def select(
    frame: pd.DataFrame, actual: np.ndarray, config: settings.Training, missing_newest: pd.Series | None = None
) -> Selection:
    """Ranks the features of one target and says which are worth learning from.

    If no number passes, the best `min_features` of those that vary are kept all the same.

    :param frame: the features of the training part, numbers, booleans and categories, any of them with gaps. Its index
        names the rows: of more than `selection_rows` a sample is drawn by it, whatever their order.
    :param actual: outcomes, bool of shape (rows of the frame,), both of them present.
    :param missing_newest: feature -> share missing among younger rows: what has gone missing there, or has come up, the
        model would not know from the training part. None: nothing is compared.
    """
    rows = _sample(frame.index, actual, config)
    frame, actual = frame.iloc[rows], actual[rows]
    numbers = frame.loc[:, [is_numeric_dtype(kind) for kind in frame.dtypes]].astype("float64")
    ranks = numbers.rank()
    measured = {
        name: _measure_number(numbers[name], ranks[name], actual, config)
        if name in numbers
        else _measure_category(frame[name], actual, config)
        for name in frame.columns
    }
    table = pd.DataFrame.from_dict(measured, orient="index").rename_axis("feature").sort_index()
    if missing_newest is not None:
        table["missing_newest"] = missing_newest
    table = table.sort_values(["mutual_information", "chi2"], ascending=False, kind="stable")
    reasons, twins = _judge(table, ranks, config)
    table["kept"] = [reasons[name].startswith(KEPT) for name in table.index]
    table["reason"] = [reasons[name] for name in table.index]
    table["rank"] = range(1, len(table) + 1)
    table["same_as"] = [twins.get(name, (None, None))[0] for name in table.index]
    table["correlation"] = pd.array([twins.get(name, (None, None))[1] for name in table.index], "Float64")
    first = ["kind", "kept", "reason", "rank"]
    table = table[[*first, *(column for column in table.columns if column not in first)]]
    kept = tuple(name for name in frame.columns if table.at[name, "kept"])
    return Selection(kept, table.reset_index())


def refuse_leaks(selection: Selection, label: str, config: settings.Training) -> None:
    """Stops what would learn from a feature that knows the future.

    :raises LeakError: names each feature whose AUC alone is above `max_feature_auc`.
    """
    cap = config.max_feature_auc
    found = selection.table[selection.table["auc"] > cap].sort_values("auc", ascending=False, kind="stable")
    if len(found):
        named = ", ".join(f"{name} (AUC {auc:.3f})" for name, auc in zip(found["feature"], found["auc"], strict=True))
        raise LeakError(
            f"{label} is predicted too well by one feature alone, above the cap of {cap}: {named}. It probably knows "
            "what happened after the cutoff: look in include/sql/features/ for what is not cut at :as_of, then run "
            "the training again; if it is honest, raise SEGMENTATION_TRAINING__MAX_FEATURE_AUC"
        )


def _sample(index: pd.Index, actual: np.ndarray, config: settings.Training) -> np.ndarray:
    """Positions of at most about `selection_rows` rows, in an order that hangs on the index and the seed only.

    Both outcomes are drawn in proportion, but not fewer of one than `min_examples`, as far as there are so many.
    """
    order = np.argsort(pd.util.hash_array(pd.util.hash_pandas_object(index).to_numpy() ^ config.seed), kind="stable")
    if len(order) <= config.selection_rows:
        return order
    chosen = np.zeros(len(order), bool)
    for outcome in (False, True):
        rows = order[actual[order] == outcome]
        fair = round(config.selection_rows * len(rows) / len(order))
        chosen[rows[: max(fair, config.min_examples)]] = True
    return order[chosen[order]]


def _measure_number(values: pd.Series, ranks: pd.Series, actual: np.ndarray, config: settings.Training) -> dict:
    """Bins by rank: equal values share one, and each of the `selection_bins` holds as many rows as the values allow."""
    present = values[np.isfinite(values)]
    width = present.max() - present.min() if len(present) else np.nan
    bins = np.floor((ranks - 0.5) / max(ranks.count(), 1) * config.selection_bins).fillna(-1)
    return {
        "kind": "number",
        "missing_share": values.isna().mean(),
        "distinct": values.nunique(),
        "variance": (present / width).var(ddof=0) if width > 0 else 0.0,
        **_measure_bins(pd.factorize(bins, sort=True)[0], actual, _aucs(ranks.to_numpy(), actual), config),
    }


def _measure_category(values: pd.Series, actual: np.ndarray, config: settings.Training) -> dict:
    """Small categories count as one, as far as they are many: else chance would look like knowledge."""
    codes, names = pd.factorize(values.astype("str"), sort=True)
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    is_small = counts < max(LEAST_ROWS, LEAST_SHARE * len(values))
    is_small[0] = False
    shares = counts[1:] / max(counts[1:].sum(), 1)
    return {
        "kind": "category",
        "missing_share": (codes < 0).mean(),
        "distinct": len(names),
        "variance": 1 - float(np.sum(shares**2)) if len(names) else 0.0,
        **_measure_bins(np.where(is_small[codes + 1], len(names), codes), actual, [], config),
    }


def _measure_bins(codes: np.ndarray, actual: np.ndarray, aucs: list[float], config: settings.Training) -> dict:
    """Chi-square, mutual information and AUC of a feature in bins, in either direction.

    :param codes: the bin of each row, shape (n,); -1 is the bin of what is missing.
    :param aucs: of other orders of the rows than that of the bins by their share of positives.
    """
    counts = np.bincount(2 * (codes + 1) + actual, minlength=2 * (codes.max() + 2)).reshape(-1, 2)
    counts = counts[counts.sum(axis=1) > 0].astype("float64")
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / len(codes)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * np.log(counts / expected), 0)
    bins = len(counts)
    information = float(terms.sum()) / len(codes) - (bins - 1) / (2 * len(codes))
    best = np.nan
    if min(actual.sum(), (~actual).sum()) >= config.min_examples:
        best = max(max(auc, 1 - auc) for auc in (_auc_of_bins(counts), *aucs))
    return {
        "chi2": statistic,
        "chi2_p": float(chi2.sf(statistic, bins - 1)) if bins > 1 else 1.0,
        "mutual_information": max(information, 0.0),
        "auc": best,
    }


def _auc_of_bins(counts: np.ndarray) -> float:
    """AUC of rows scored by the share of positives of their bin; counts are (negatives, positives) per bin."""
    negatives, positives = counts[np.argsort(counts[:, 1] / counts.sum(axis=1))].T
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))


def _aucs(ranks: np.ndarray, actual: np.ndarray) -> list[float]:
    """AUC of the rows in the order of their ranks, what is missing first, and last (Mann and Whitney 1947).

    :param ranks: from 1, ties share the mean of theirs, NaN where the value is missing, shape (n,).
    """
    known = np.isfinite(ranks)
    up, down = (known & actual).sum(), (known & ~actual).sum()
    missing_up, missing_down = actual.sum() - up, (~actual).sum() - down
    pairs = (up + missing_up) * (down + missing_down)
    if not pairs:
        return []
    right = ranks[known & actual].sum() - up * (up + 1) / 2 + missing_up * missing_down / 2
    return [(right + up * missing_down) / pairs, (right + missing_up * down) / pairs]


def _judge(
    table: pd.DataFrame, ranks: pd.DataFrame, config: settings.Training
) -> tuple[dict[str, str], dict[str, tuple[str, float]]]:
    """A reason per feature, best first, and of each redundant one the better feature that it repeats."""
    reasons, twins, passed, spare = {}, {}, [], []
    correlations, is_known = ranks.corr(min_periods=LEAST_ROWS), ranks.notna()
    for name, row in table.iterrows():
        tells = f"mutual information {row['mutual_information']:.4f} and chi-square p {row['chi2_p']:.2g}"
        if row["missing_share"] == 1:
            reasons[name] = "no values at all"
        elif row["distinct"] == 1 and row["missing_share"] == 0:
            reasons[name] = "constant"
        elif row["chi2_p"] > config.max_chi2_p or row["mutual_information"] < config.min_mutual_information:
            reasons[name] = f"tells nothing: {tells}"
            spare += [name] if row["kind"] == "number" else []
        elif abs(row.get("missing_newest", row["missing_share"]) - row["missing_share"]) > config.max_missing_shift:
            reasons[name] = f"missing in {row['missing_share']:.0%} of the rows, but {row['missing_newest']:.0%} lately"
        elif row["kind"] == "category":
            reasons[name] = KEPT
        elif twin := _twin(name, passed, correlations, is_known, config):
            twins[name] = twin
            reasons[name] = f"says the same as {twin[0]} (Spearman {twin[1]:.3f})"
        else:
            reasons[name] = KEPT
            passed.append(name)
    if not passed:
        reasons |= {name: f"{KEPT}, as no number does better: {reasons[name]}" for name in spare[: config.min_features]}
    return reasons, twins


def _twin(
    name: str, better: list[str], correlations: pd.DataFrame, is_known: pd.DataFrame, config: settings.Training
) -> tuple[str, float] | None:
    """The better feature that goes with this one, and is known for the same rows; None if none is and does."""
    near = correlations.loc[name, better].abs()
    for other in near[near > config.max_correlation].sort_values(ascending=False, kind="stable").index:
        one, two = is_known[name], is_known[other]
        if (one & two).sum() > config.max_correlation * (one | two).sum():
            return other, float(correlations.at[name, other])
    return None
