"""
What a learnt policy is worth on a randomised campaign: `python -m local.bench.policy --data hillstrom_half.csv.gz`.

The customers are split in two halves by a hash of seed and line. The policy, and which single arm is the best, are
learnt on one half and judged on the other, then the other way round; so each seed judges every customer once. Told:
what contacting nobody is worth, what the best single arm adds, and what the policy adds to that, paired. The
intervals do not get narrower with seeds, as they judge the same customers again; they are means of each seed's. Beside
the policy stands what always following the learnt effects would have been worth, without the rule that falls back on
the single arm. Spend is told as it is, and less a cost an e-mail (`--cost`); the file does not say what one did cost.

With `--test` the whole file is learnt from, and another one of the same test is judged on, once.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from local import hillstrom
from local.source_file import open_source
from segmentation import policy_pictures, policy_value, preparation, uplift
from segmentation.policy_value import CONTROL, Value
from segmentation.uplift import Policy, Trial

console = Console(width=190, highlight=False)
KNOWN = ("recency", "history", "mens", "womens", "zip_code", "newbie", "channel")
ARMS = ("control", "mens_email", "womens_email")
CHANCES = np.full(3, 1 / 3)  # as it was drawn
OUTCOMES = ("visit", "conversion", "spend")


@dataclass(frozen=True)
class Judged:
    """A policy learnt on one half, on the other: values per customer, and curves by arm."""

    policy: Policy
    rows: int
    nobody: Value
    single: Value
    against_single: Value
    always: Value
    qini: dict[str, policy_value.Curve]
    uplift: dict[str, policy_value.Curve]


def trial(rows: pd.DataFrame, outcome: str, cost: float) -> Trial:
    """The file's customers as a trial, of `hillstrom.customers`; the cost is of each e-mail."""
    arm = rows["arm"].map({name: number for number, name in enumerate(ARMS)}).to_numpy()
    values = rows[outcome].astype(float).to_numpy() - cost * (arm != CONTROL)
    frame = rows.assign(history=rows["history"].astype(float))
    return Trial(preparation.inputs(frame, KNOWN), arm, values, CHANCES)


def halves(names: pd.Series, seed: int) -> np.ndarray:
    """Which half each line is in, booleans: by a hash, so that it does not depend on order or size of the file."""
    return np.array([hashlib.sha256(f"{seed}/{name}".encode()).digest()[0] % 2 == 1 for name in names])


def judge(learn: Trial, test: Trial, seed: int) -> Judged:
    """Learns on one trial, judges on another. Nothing of the test is looked at before the policy stands."""
    policy = uplift.learn(learn, seed)
    best = policy.best
    scored = policy_value.scores(test.outcome, test.arm, test.chances, uplift.outcomes(learn, test.known))
    effects = policy.model.predict(test.known)
    qini, gained = {}, {}
    for number, name in enumerate(ARMS[1:], start=1):
        rows = np.isin(test.arm, (CONTROL, number))
        gained[name] = policy_value.uplift_curve(scored, number, effects[:, number])
        qini[name] = policy_value.qini_curve(test.outcome[rows], test.arm[rows] == number, effects[rows, number])
    return Judged(
        policy, len(test), policy_value.of_policy(scored, CONTROL), policy_value.difference(scored, best, CONTROL),
        policy_value.difference(scored, policy.choose(test.known), best),
        policy_value.difference(scored, uplift.greatest(effects), best), qini, gained,
    )  # fmt: skip


def read(data: str) -> pd.DataFrame:
    """The customers of a file.

    :raises WrongFile: the file is not that of a randomised campaign, or nothing in it can be read.
    """
    rows, *_ = hillstrom.customers(open_source(Path(data).expanduser()), _silent)
    return rows


def measure(rows: pd.DataFrame, other: pd.DataFrame | None, outcome: str, cost: float, seeds: int) -> list[Judged]:
    """Two for each seed; with other customers, one, learnt on the first and judged on these."""
    whole, found = trial(rows, outcome, cost), []
    if other is not None:
        return [judge(whole, trial(other, outcome, cost), 0)]
    for seed in range(seeds):
        half = halves(rows["customer_id"], seed)
        found += [judge(whole.part(half), whole.part(~half), seed), judge(whole.part(~half), whole.part(half), seed)]
    return found


def together(values: list[Value], rows: list[int]) -> Value:
    """Two halves of each seed as one value; of the seeds, the mean value and the mean error."""
    pairs = [(values[at : at + 2], rows[at : at + 2]) for at in range(0, len(values), 2)]
    means = [sum(v.mean * n for v, n in zip(*pair, strict=True)) / sum(pair[1]) for pair in pairs]
    errors = [math.hypot(*(v.error * n for v, n in zip(*pair, strict=True))) / sum(pair[1]) for pair in pairs]
    return Value(float(np.mean(means)), float(np.mean(errors)))


def draw(found: Judged, outcome: str, folder: Path) -> None:
    """Leaves the pictures of one half as PNG files in a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    unit, name = f"{outcome} per customer", outcome.replace(" ", "_")
    worth = {"best single arm over nobody": found.single, "policy over best single arm": found.against_single,
             "always by effect over best single arm": found.always}  # fmt: skip
    for kind, figure in (
        ("qini", policy_pictures.ranking("Qini curves", found.qini, unit)),
        ("uplift", policy_pictures.ranking("Uplift curves", found.uplift, unit)),
        ("value", policy_pictures.values("What policies are worth", worth, unit)),
    ):
        figure.savefig(folder / f"{kind}_{name}.png", dpi=120)


def main(data: str, test: str | None, costs: list[float], seeds: int, folder: str | None) -> None:
    rows, other = read(data), read(test) if test else None
    how = (
        f"judged on {Path(test).name}" if test else f"{seeds} splits in two halves, learnt on one, judged on the other"
    )
    table = Table(title=f"{Path(data).name}: {how}")
    for heading in ("outcome", "nobody", "best single arm adds", "policy against it", "arms by effect, nobody",
                    "worst half", "always learnt against it", "Qini men's", "Qini women's"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "outcome" else "right")
    wanted = [(outcome, 0.0) for outcome in OUTCOMES] + [("spend", cost) for cost in costs]
    for outcome, cost in wanted:
        found = measure(rows, other, outcome, cost, seeds)
        if folder:
            draw(found[0], f"{outcome} less {cost:g}" if cost else outcome, Path(folder))
        sizes = [each.rows for each in found]
        cells = [f"{outcome} less {cost:g}" if cost else outcome]
        cells.append(f"{together([each.nobody for each in found], sizes).mean:.5f}")
        cells.append(_told(together([each.single for each in found], sizes)))
        cells.append(_told(together([each.against_single for each in found], sizes)))
        learnt, silent = (sum(getattr(each.policy, kind) for each in found) for kind in ("is_learnt", "is_silent"))
        cells.append(f"{learnt}, {silent} of {len(found)}")
        cells.append(_told(min((each.against_single for each in found), key=lambda value: value.mean)))
        cells.append(_told(together([each.always for each in found], sizes)))
        for name in ARMS[1:]:
            above = sum(each.qini[name].low > 0 for each in found)
            cells.append(f"{np.mean([each.qini[name].area for each in found]):+.5f}, > 0 in {above}")
        table.add_row(*cells)
    console.print(table)


def _told(value: Value) -> str:
    return f"{value.mean:+.5f} ({value.low:+.5f} .. {value.high:+.5f})"


def _silent(text: str, done: int, total: int) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--test", help="another file of the same test, to judge on")
    parser.add_argument("--cost", type=float, action="append", help="of an e-mail, for spend; default 0.25 and 0.5")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", help="a folder for the curves of the first half of the first split")
    given = parser.parse_args()
    main(given.data, given.test, given.cost or [0.25, 0.5], given.seeds, given.pictures)
