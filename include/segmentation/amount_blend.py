"""
How much of an amount's blend is the purchase model, and how much the mean of its other members.

What is asked of expected spend is who will bring most of it, so the share of the spend that the best tenth brought
decides. A few customers make that number, and among as few rows as a small shop has, the best of several shares is the
luckiest. So the purchase model, which two parameters a process make steady, has the largest share that is within one
standard error of the best (the one-standard-error rule of Breiman, Friedman, Olshen and Stone 1984, "Classification
and Regression Trees", 3.4.3); where nothing tells them apart, and where there is nothing to go by, it stands alone.
"""

import numpy as np

from segmentation.candidates import PURCHASE_MODEL
from segmentation.ranked import Places, among_first

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the purchase model that are tried
_ROUNDS = 200
_TENTH = 0.1


def weights(
    names: list[str],
    amounts: np.ndarray,
    actual: np.ndarray,
    cutoffs: np.ndarray,
    customers: np.ndarray | None,
    seed: int,
) -> tuple[float, ...]:
    """What each member weighs, summing to 1; all the same where the purchase model is not among them.

    :param amounts: by the members, of rows that they have not learnt from, shape (n, members), in the shop's currency.
    :param actual: amounts of these rows, shape (n,).
    :param cutoffs: the day that each row looks back from, shape (n,).
    :param customers: whom each row is of, shape (n,): rows of a customer are resampled together. None:
        each of another.
    """
    if PURCHASE_MODEL not in names or len(names) == 1 or not actual.sum() > 0:
        return at_first(names)
    mixed = [_with_share(share, names) for share in SHARES]
    whom = np.arange(len(actual)) if customers is None else customers
    found = _in_best_tenth([amounts @ np.array(each) for each in mixed], actual, cutoffs, whom, seed)
    best = int(found[0].argmax())
    error = (found[1:] - found[1:, [best]]).std(axis=0)  # of what the best gains over each
    chosen = int(np.flatnonzero(found[0] >= found[0, best] - error)[0])
    return mixed[chosen]


def at_first(names: list[str]) -> tuple[float, ...]:
    """The weights where there is nothing to go by: the purchase model alone, or all the same where there is none."""
    return _with_share(1.0, names) if PURCHASE_MODEL in names else tuple([1 / len(names)] * len(names))


def _with_share(share: float, names: list[str]) -> tuple[float, ...]:
    return tuple(share if name == PURCHASE_MODEL else (1 - share) / (len(names) - 1) for name in names)


def _in_best_tenth(
    predicted: list[np.ndarray], actual: np.ndarray, cutoffs: np.ndarray, customers: np.ndarray, seed: int
) -> np.ndarray:
    """Share of spend in the best tenth, mean over the cutoffs, shape (1 + resamples, predictions); first: all rows."""
    who, person = np.unique(customers, return_inverse=True)
    parts = [np.flatnonzero(cutoffs == day) for day in np.unique(cutoffs)]
    parts = [rows for rows in parts if actual[rows].sum() > 0]
    sorted_once = [[Places(each[rows]) for each in predicted] for rows in parts]
    rng, found = np.random.default_rng(seed), []
    for n in range(1 + _ROUNDS):
        drawn = np.ones(len(who)) if n == 0 else np.bincount(rng.integers(0, len(who), len(who)), minlength=len(who))
        shares = [
            [_share(each, actual[rows], drawn[person[rows]]) for each in places]
            for rows, places in zip(parts, sorted_once, strict=True)
        ]
        found.append(np.nanmean(shares, axis=0))
    return np.array(found)


def _share(places: Places, actual: np.ndarray, weights: np.ndarray) -> float:
    """Of all that was spent, by the tenth of whom most was predicted; NaN where nothing was."""
    counts = places.sums(weights[places.order])
    spend = places.sums((weights * actual)[places.order])
    return among_first(_TENTH, counts, spend) / spend.sum() if spend.sum() > 0 else np.nan
