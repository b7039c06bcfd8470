"""
A randomised campaign's file, measured without a shop: `python -m local.bench.effects --data hillstrom_half.csv.gz`.

The statistics are those of the stage `evaluate`, fed with the file's own columns. Adjusted by what the file knows of
the customers before: spend of the year, how lately they ordered, what they bought, who is new.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from local import hillstrom
from local.source_file import open_source
from segmentation import effects

console = Console(width=180, highlight=False)
OUTCOMES = ("visit", "conversion", "spend")


def measure(data: str) -> list[tuple[str, str, effects.Effect, effects.Effect | None]]:
    """(arm, outcome, difference to the held-out arm, the same adjusted) of every arm and outcome.

    :raises WrongFile: the file is not that of a randomised campaign, or nothing in it can be read.
    """
    rows, *_ = hillstrom.customers(open_source(Path(data).expanduser()), _silent)
    known = covariates(rows)
    is_control = (rows["arm"] == "control").to_numpy()
    found = []
    for arm in sorted(set(rows["arm"]) - {"control"}):
        is_treated = (rows["arm"] == arm).to_numpy()
        for outcome in OUTCOMES:
            values = rows[outcome].astype(float).to_numpy()
            compare = effects.of_amounts if outcome == "spend" else effects.of_shares
            plain = compare(values[is_treated], values[is_control])
            sharper = effects.adjusted(values[is_treated], values[is_control], known[is_treated], known[is_control])
            found.append((arm, outcome, plain, sharper))
    return found


def covariates(rows: pd.DataFrame) -> np.ndarray:
    """What was known of each customer before, shape (n, 5)."""
    known = [np.log1p(rows["history"].astype(float)), 1 / rows["recency"], rows["mens"], rows["womens"], rows["newbie"]]
    return np.column_stack(known).astype(float)


def main(data: str) -> None:
    table = Table(title=f"{Path(data).name}: treatment less control")
    for heading in ("arm", "outcome", "customers", "treatment", "control", "difference", "95%", "p",
                    "adjusted", "95% ", "variance less"):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("arm", "outcome") else "right")
    for arm, outcome, plain, sharper in measure(data):
        cells = [arm, outcome, f"{plain.treatment_customers:,} / {plain.control_customers:,}",
                 f"{plain.treatment_mean:.5f}", f"{plain.control_mean:.5f}", f"{plain.difference:+.5f}",
                 f"{plain.low:+.5f} .. {plain.high:+.5f}", f"{plain.p_value:.2g}"]  # fmt: skip
        if sharper:
            less = 1 - (sharper.error / plain.error) ** 2
            cells += [f"{sharper.difference:+.5f}", f"{sharper.low:+.5f} .. {sharper.high:+.5f}", f"{less:.1%}"]
        table.add_row(*cells)
    console.print(table)


def _silent(text: str, done: int, total: int) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    main(parser.parse_args().data)
