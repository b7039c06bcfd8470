"""
Measured effects against the true ones, over hundreds of campaigns: `python -m local.bench.campaigns`.

A simulated shop with many campaigns at a time, whose true effects are known contact by contact, goes through the real
extract, gate and stage `evaluate`. Told: how often the 95% intervals hold the truth, how often a campaign that changes
nothing looks as if it did (p < 0.05), and how much narrower the adjustment makes the intervals. The intervals of these
shares are Wilson's: with 200 campaigns chance alone moves a share of 95% by 3 points.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

console = Console(width=150, highlight=False)
NOTHING = "newsletter"  # the strategy that changes nothing
METRICS = ("conversion", "revenue")


def main(customers: int, blocks: int, a_block: int, control_share: float, seed: int) -> None:
    from local.postgres import Postgres

    with tempfile.TemporaryDirectory() as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            found = compared(server.url(), Path(here), customers, blocks, a_block, control_share, seed)
        finally:
            server.stop()
    sizes = found.groupby("campaign_id")[["treatment_customers", "control_customers"]].first().median()
    title = f"{customers:,} customers, {found['campaign_id'].nunique()} campaigns of "
    _show(found, title + f"{sizes.iloc[0]:,.0f} treated and {sizes.iloc[1]:,.0f} held out (medians)")


def compared(
    dsn: str, folder: Path, customers: int, blocks: int, a_block: int, control_share: float, seed: int
) -> pd.DataFrame:
    """A row per campaign and metric: what `marketing.campaign_results` says of it, and `truth`.

    :param blocks: of four weeks with `a_block` campaigns each.
    """
    from local import load
    from local.simulator import campaign_truth
    from local.simulator.settings import BLOCK_DAYS, LAST_DAY, Settings
    from segmentation import evaluate, extract, tables, validate
    from segmentation.settings import Stores

    begun = time.monotonic()
    made = Settings.until(
        LAST_DAY, blocks * BLOCK_DAYS, customers=customers, sessions=0, seed=seed, campaigns_per_block=a_block,
        contact_share=1.0, control_share=control_share, deleted_orders_share=0, deleted_customers_a_year=0,
    )  # fmt: skip
    day = load.simulate(dsn, made, blocks * BLOCK_DAYS).day
    stores = Stores(dsn, dsn, str(folder / "lake"), "")
    _said("simulated", begun)
    for entity in tables.ENTITIES:
        extract.extract_entity(entity, day, stores)
    validate.accept_raw(day, stores)
    _said("extracted and accepted", begun)
    evaluate.evaluate_campaigns(day, stores)
    _said("evaluated", begun)
    truth = campaign_truth.of_contacts(dsn).groupby(["campaign_id", "strategy_id"])
    truth = truth[[f"{metric}_more" for metric in METRICS]].mean().reset_index()
    return _results(dsn).merge(truth, on=["campaign_id", "strategy_id"]).assign(
        truth=lambda rows: np.where(rows["metric"] == "conversion", rows["conversion_more"], rows["revenue_more"])
    )  # fmt: skip


def _results(dsn: str) -> pd.DataFrame:
    from segmentation import tables, warehouse

    statement = (
        f"select * from {tables.CAMPAIGN_RESULTS} where design = 'randomised' and segment_id is null "  # noqa: S608
        f"and metric in ('conversion', 'revenue') and difference is not null order by campaign_id, metric"
    )
    with warehouse.connect(dsn) as connection:
        return pd.DataFrame(warehouse.fetch_dicts(connection, statement))


def _show(found: pd.DataFrame, title: str) -> None:
    table = Table(title=title)
    for heading in ("metric", "estimate", "campaigns", "95% intervals hold the truth", "without effect",
                    "false alarms", "mean error / truth's spread", "variance less", "not trusted"):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("metric", "estimate") else "right")
    for metric in METRICS:
        rows = found[found["metric"] == metric]
        nothing = rows["strategy_id"] == NOTHING
        for name, value, low, high, p in (
            ("difference", "difference", "difference_low", "difference_high", "p_value"),
            ("adjusted", "adjusted_difference", "adjusted_low", "adjusted_high", "adjusted_p_value"),
        ):
            told = rows.dropna(subset=[low])
            held = (told[low] <= told["truth"]) & (told["truth"] <= told[high])
            alarms = told.loc[nothing, p] < 0.05
            bias = (told[value] - told["truth"]).mean() / told["truth"].std()
            less = f"{told['variance_reduction'].mean():.1%}" if name == "adjusted" else ""
            table.add_row(metric, name, f"{len(told):,}", _share(held), f"{len(alarms):,}", _share(alarms),
                          f"{bias:+.3f}", less, f"{(~told['is_trusted']).sum()}")  # fmt: skip
    console.print(table)


def _share(flags: pd.Series) -> str:
    from segmentation.fairness import wilson

    low, high = wilson(float(flags.mean()), len(flags), 1.96)
    return f"{flags.mean():.1%} ({low:.1%} .. {high:.1%})"


def _said(what: str, begun: float) -> None:
    console.print(f"{what} after {dt.timedelta(seconds=round(time.monotonic() - begun))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--blocks", type=int, default=10, help="of four weeks, each with its campaigns")
    parser.add_argument("--a-block", type=int, default=99, help="campaigns in each")
    parser.add_argument("--control-share", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.customers, given.blocks, given.a_block, given.control_share, given.seed)
