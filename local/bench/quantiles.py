"""
Quantiles of arms drawn anew against Student's, in campaigns with skewed amounts: `python -m local.bench.quantiles`.

Campaigns of customers of whom one in seven buys and one in twenty is a wholesaler who spends ten times as much, with a
quarter held out. On the same customers both ways tell their intervals and p-values, with and without adjustment. Told:
how often campaigns look as if they were good or bad (p < 0.05), how often the true effect lies below or above the
interval, and how wide that is. Of a share of 5% among 2,000 campaigns the standard error is 0.5%.
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

console = Console(width=140, highlight=False)
TRUTH_ROWS = 4_000_000


def customers(rng: np.random.Generator, many: int, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """(spend (n,), what is known from before (n, 2)) of an arm whose customers buy more often by `lift`."""
    rate = np.exp(0.7 * rng.normal(size=many) - 0.245)
    size = np.where(rng.random(many) < 0.05, 10, 1)
    orders = rng.poisson(2 * rate)
    before = orders * size * rng.lognormal(3, 0.3, many)
    spend = (rng.random(many) < 0.15 * rate * (1 + lift)) * size * rng.lognormal(3, 0.8, many)
    return spend, np.column_stack([np.minimum(before, np.quantile(before, 0.995)), np.log1p(orders)])


def measured(campaigns: int, treated: int, control: int, lift: float, seed: int) -> dict[tuple[str, str], np.ndarray]:
    """(estimate, quantiles) -> per campaign (looks good, looks bad, truth below, truth above, width), shape (n, 5)."""
    from segmentation import effects

    rng = np.random.default_rng(seed)
    arms = (np.mean(customers(np.random.default_rng(0), TRUTH_ROWS, more)[0]) for more in (lift, 0.0))
    truth = next(arms) - next(arms) if lift else 0.0
    found: dict[tuple[str, str], list[tuple]] = {}
    for _ in range(campaigns):
        (ours, before), (held_out, before_held_out) = customers(rng, treated, lift), customers(rng, control, 0.0)
        for quantiles, least in (("Student's", np.inf), ("drawn anew", effects._LOPSIDED)):
            with mock.patch.object(effects, "_LOPSIDED", least):
                told = {
                    "difference": effects.of_amounts(ours, held_out),
                    "adjusted": effects.adjusted(ours, held_out, before, before_held_out),
                }
            for estimate, each in told.items():
                is_sure, is_good = each.p_value < 0.05, each.difference > 0
                row = (is_sure and is_good, is_sure and not is_good, truth < each.low, truth > each.high)
                found.setdefault((estimate, quantiles), []).append((*row, each.high - each.low))
    return {key: np.array(rows, float) for key, rows in found.items()}


def main(campaigns: int, treated: int, control: int, lifts: list[float], seed: int) -> None:
    table = Table(title=f"{campaigns:,} campaigns each of {treated:,} treated and {control:,} held out")
    for heading in ("buy more by", "estimate", "quantiles", "look good", "look bad", "truth below", "truth above",
                    "intervals hold the truth", "mean width"):  # fmt: skip
        table.add_column(heading, justify="right")
    begun = time.monotonic()
    for lift in lifts:
        for (estimate, quantiles), rows in measured(campaigns, treated, control, lift, seed).items():
            good, bad, below, above, width = rows.mean(axis=0)
            shares = (f"{share:.1%}" for share in (good, bad, below, above, 1 - below - above))
            table.add_row(f"{lift:.0%}", estimate, quantiles, *shares, f"{width:.2f}")
    console.print(table)
    console.print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=2_000)
    parser.add_argument("--treated", type=int, default=1_260)
    parser.add_argument("--control", type=int, default=430)
    parser.add_argument("--lift", type=float, nargs="+", default=[0.0, 0.15])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.campaigns, given.treated, given.control, given.lift, given.seed)
