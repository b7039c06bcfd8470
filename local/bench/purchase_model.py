"""
How long BG/NBD and Gamma-Gamma take, and how much memory: `python -m local.bench.purchase_model --customers 1000000`.

Customers are drawn from the two models, with two years of history, once on whole days and once at any time of the day,
where no two are alike. Each in a process of its own, for its peak memory; the best of some rounds counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

CLOCKS = ("days", "moments")
HORIZON = 90
_R, _ALPHA, _A, _B = 0.5, 30.0, 0.8, 2.5
_P, _Q, _V = 6.0, 3.7, 15.0


def customers(many: int, clock: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Frequency, recency, age and mean spend of so many customers, each of shape (many,), in days."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(0, 730, many)
    rate, drop_out = rng.gamma(_R, 1 / _ALPHA, many), rng.beta(_A, _B, many)
    x, t_x, now, going = np.zeros(many), np.zeros(many), np.zeros(many), np.arange(many)
    while len(going):
        now[going] += rng.exponential(1 / np.maximum(rate[going], 1e-300))
        going = going[now[going] <= age[going]]
        x[going] += 1
        t_x[going] = now[going]
        going = going[rng.random(len(going)) > drop_out[going]]
    spend = rng.gamma(np.maximum(_P * x, 1), 1 / rng.gamma(_Q, 1 / _V, many)) / np.maximum(x, 1)
    if clock == "days":
        age, t_x = np.ceil(age), np.ceil(t_x)
    return x, t_x, age, np.where(x > 0, spend, np.nan)


def _measure(many: int, clock: str) -> dict[str, float]:
    """Seconds of a fit and of a prediction, and peak memory, in this process."""
    from segmentation import purchase_model

    rows = customers(many, clock)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    model = purchase_model.fit(*rows)
    fitted = time.perf_counter()
    purchase_model.predict(model, *rows, HORIZON)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "fit": fitted - begun,
        "predict": done - fitted,
        "peak_mib": peak / 1024,
        "base_mib": before / 1024,
        "converged": model.converged,
    }


def _run(many: int, rounds: int) -> None:
    table = Table(title=f"{many:,} customers, {HORIZON} days ahead, best of {rounds}")
    for heading in ("times", "fit s", "predict s", "peak MiB", "before the fit", "converged"):
        table.add_column(heading, justify="right")
    for clock in CLOCKS:
        command = [sys.executable, "-m", "local.bench.purchase_model", "--measure", clock, "--customers", str(many)]
        found = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(rounds)
        ]
        best = min(found, key=lambda each: each["fit"])
        table.add_row(
            clock,
            f"{best['fit']:.2f}",
            f"{best['predict']:.2f}",
            f"{best['peak_mib']:,.0f}",
            f"{best['base_mib']:,.0f}",
            "yes" if best["converged"] else "no",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=CLOCKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(options.customers, options.measure)))
    else:
        _run(options.customers, options.rounds)
