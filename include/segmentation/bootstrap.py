"""
How sure a measure is: 95% intervals by resampling customers, each of whom is one row.

Percentile bootstrap (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13). A resample is a count
per row, so what has been sorted once stays sorted. Of more than `MOST_ROWS` rows a part is resampled, and the interval
made narrower by the root of that share (m out of n: Bickel, Goetze and van Zwet 1997, Statistica Sinica 7).
"""

from collections.abc import Callable, Collection

import numpy as np

MOST_ROWS = 50_000
LEVEL = 0.95

# How often each row counts, shape (n,), whole numbers -> the measures by name; NaN where they are not defined
Measure = Callable[[np.ndarray], dict[str, float]]


def intervals(
    make: Callable[[np.ndarray], Measure], rows: int, rounds: int, seed: int, inflated: Collection[str] = ()
) -> dict[str, float]:
    """The ends of each measure's interval as `<name>_low` and `<name>_high`; NaN where the measure is.

    :param make: positions of rows, shape (m,) -> the measure of these rows.
    :param rows: how many there are, 1 or more.
    :param rounds: resamples, 1 or more; with 200 an end is off by about a tenth of the half-width.
    :param inflated: measures, not below 0, that noise makes larger, as it does any distance from the truth. A resample
        is noisier than the sample, so what it adds to the square is taken off (basic bootstrap: Davison and Hinkley
        1997, 5.2; on squares, where noise adds up). The interval holds the estimate; it holds the truth in about 85% to
        100% of simulated samples, that of other measures in 88% to 97%.
    """
    rng = np.random.default_rng(seed)
    part = np.arange(rows) if rows <= MOST_ROWS else np.sort(rng.choice(rows, MOST_ROWS, replace=False))
    measure = make(part)
    there = measure(np.ones(len(part)))
    whole = there if len(part) == rows else make(np.arange(rows))(np.ones(rows))
    drawn = [measure(_resample(len(part), rng)) for _ in range(rounds)]
    ends = {}
    for name, estimate in whole.items():
        power = 2 if name in inflated else 1
        moved = np.array([each[name] for each in drawn]) ** power - there[name] ** power
        moved = moved[~np.isnan(moved)] * np.sqrt(len(part) / rows)
        low, high = np.quantile(moved, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(moved) else (np.nan, np.nan)
        if name in inflated:
            low, high = np.sqrt(max(estimate**2 - high, 0)), max(np.sqrt(max(estimate**2 - low, 0)), estimate)
        else:
            low, high = estimate + low, estimate + high
        ends |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return ends


def _resample(rows: int, rng: np.random.Generator) -> np.ndarray:
    return np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(float)
