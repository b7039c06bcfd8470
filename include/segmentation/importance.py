"""
What a model's ranking rests on: how much AUC is lost when one feature is shuffled among the customers.

Permutation importance (Breiman 2001, "Random Forests"; as model reliance: Fisher, Rudin and Dominici 2019, JMLR 20).
Features that say the same stand in for each other, so each of them may look unimportant.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score


def permutation_importance(
    predict: Callable[[pd.DataFrame], np.ndarray],
    frame: pd.DataFrame,
    actual: np.ndarray,
    features: Sequence[str],
    *,
    rows: int = 5_000,
    repeats: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per feature, the most important first: `feature`, `auc_drop_mean` and `auc_drop_std` over the repeats.

    The model predicts 1 + features x repeats times.

    :param predict: features -> scores, shape (n,), higher for a positive.
    :param frame: all that the model reads, one row per customer.
    :param actual: outcomes, bool or 0 and 1, shape (rows of the frame,).
    :param features: the columns that are shuffled, one at a time.
    :param rows: rows above which a sample is drawn, of either outcome a half as far as there are so many: AUC does not
        depend on their proportion.
    :raises ValueError: outcomes of one class only, or unequal lengths.
    """
    actual = np.asarray(actual).astype(bool)
    if len(frame) != len(actual):
        raise ValueError(f"different numbers of rows: {len(frame)}, {len(actual)}")
    if len(set(actual)) < 2:
        raise ValueError("the outcomes are of one class only: there is no ranking that could get worse")
    rng = np.random.default_rng(seed)
    drawn = _sample(actual, rows, rng)
    part, actual = frame.iloc[drawn].reset_index(drop=True), actual[drawn]
    best = roc_auc_score(actual, predict(part))
    drops = {}
    for name in features:
        shuffled = (part.assign(**{name: part[name].take(rng.permutation(len(part))).array}) for _ in range(repeats))
        drops[name] = [best - roc_auc_score(actual, predict(each)) for each in shuffled]
    table = pd.DataFrame(
        {
            "feature": list(drops),
            "auc_drop_mean": [float(np.mean(each)) for each in drops.values()],
            "auc_drop_std": [float(np.std(each)) for each in drops.values()],
        }
    )
    return table.sort_values(["auc_drop_mean", "feature"], ascending=[False, True], ignore_index=True)


def _sample(actual: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Positions, in order."""
    if len(actual) <= rows:
        return np.arange(len(actual))
    positives, negatives = (rng.permutation(np.flatnonzero(actual == outcome)) for outcome in (True, False))
    few = min(len(positives), rows // 2)
    taken = max(few, rows - len(negatives))
    return np.sort(np.append(positives[:taken], negatives[: rows - taken]))
