"""
Measured effects against the true ones, over hundreds of campaigns: `python -m local.bench.campaigns`.

A simulated shop with many campaigns at a time, whose true effects are known contact by contact, goes through the real
extract, gate and stage `evaluate`. A fifth of them change nothing, and of these the arms are drawn again some times, as
campaigns of their own: where no arm changes anything, any draw is as good. Told: how often the 95% intervals hold the
truth, how often a campaign that changes nothing looks as if it did (p < 0.05), and how much of the variance the
adjustment takes away. The intervals of these shares are Wilson's: with 200 campaigns chance alone moves a share of 95%
by 3 points.

The segments are the customers' true types, so the truth of each is known, too: told is how often the measured sign is
the true one, by how large the truth is beside the half width of the interval that it was measured with.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
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
SIZES = (0, 0.25, 0.5, 1, 2, np.inf)  # of a true effect, in half widths of the interval that it was measured with


def main(customers: int, blocks: int, a_block: int, control_share: float, again: int, seed: int) -> None:
    from local.postgres import Postgres

    with tempfile.TemporaryDirectory() as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            found = compared(server.url(), Path(here), customers, blocks, a_block, control_share, again, seed)
        finally:
            server.stop()
    sizes = (
        found[found["segment_id"].isna()]
        .groupby("campaign_id")[["treatment_customers", "control_customers"]]
        .first()
        .median()
    )
    title = f"{customers:,} customers, {found['campaign_id'].nunique()} campaigns of "
    show(
        found[found["segment_id"].isna()],
        f"{title}{sizes.iloc[0]:,.0f} treated and {sizes.iloc[1]:,.0f} held out (medians)",
    )
    show_signs(found[found["segment_id"].notna()])


def compared(
    dsn: str, folder: Path, customers: int, blocks: int, a_block: int, control_share: float, again: int, seed: int
) -> pd.DataFrame:
    """A row per campaign, segment (None: everyone) and metric: what `marketing.campaign_results` says, and `truth`.

    :param blocks: of four weeks with `a_block` campaigns each; nobody has signed up long enough ago for the first.
    :param again: how often the arms of those that change nothing are drawn again.
    """
    from local import load
    from local.simulator.settings import BLOCK_DAYS, LAST_DAY, Settings
    from segmentation import evaluate, extract, tables, validate
    from segmentation.settings import Stores

    begun = time.monotonic()
    made = Settings.until(
        LAST_DAY, blocks * BLOCK_DAYS, customers=customers, sessions=0, seed=seed, campaigns_per_block=a_block,
        contact_share=1.0, control_share=control_share, deleted_orders_share=0, deleted_customers_a_year=0,
    )  # fmt: skip
    day = load.simulate(dsn, made, blocks * BLOCK_DAYS).day
    _draw_again(dsn, control_share, again)
    _put_segments(dsn, made.first_day)
    stores = Stores(dsn, dsn, str(folder / "lake"), "")
    _said("simulated", begun)
    for entity in tables.ENTITIES:
        extract.extract_entity(entity, day, stores)
    validate.accept_raw(day, stores)
    _said("extracted and accepted", begun)
    evaluate.evaluate_campaigns(day, stores)
    _said("evaluated", begun)
    return with_truth(dsn)


def with_truth(dsn: str) -> pd.DataFrame:
    """What `marketing.campaign_results` says of the simulated shop's campaigns, by campaign, segment and metric, and
    `truth`. A segment is a latent type, as `_put_segments` has it, or of no truth and left out."""
    from local.simulator import campaign_truth

    contacts, more = campaign_truth.of_contacts(dsn), [f"{metric}_more" for metric in METRICS]
    found, parts = _results(dsn), []
    for is_whole, keys in (
        (True, ["campaign_id", "strategy_id"]),
        (False, ["campaign_id", "strategy_id", "segment_name"]),
    ):
        truth = contacts.rename(columns={"latent_type": "segment_name"}).groupby(keys)[more].mean().reset_index()
        parts.append(found[found["segment_id"].isna() == is_whole].merge(truth, on=keys))
    return pd.concat(parts, ignore_index=True).assign(
        truth=lambda rows: np.where(rows["metric"] == "conversion", rows["conversion_more"], rows["revenue_more"])
    )  # fmt: skip


def _put_segments(dsn: str, since: dt.date) -> None:
    """Has everyone's segment be their latent type, from the shop's first day on."""
    from segmentation import snapshots, warehouse

    snapshots.ensure_schema(dsn)
    with warehouse.connect(dsn) as connection:
        warehouse.execute(
            connection,
            "insert into marketing.segment_history (customer_id, segment_id, segment_name, value_tier, valid_from) "
            "select customer_id, dense_rank() over (order by latent_type), latent_type, 'low', cast(:since as date) "
            "from truth.customers",
            {"since": since},
        )


def _draw_again(dsn: str, control_share: float, again: int) -> None:
    """Copies of the campaigns that change nothing, with arms of their own; who unsubscribed stays out of it."""
    from segmentation import warehouse

    with warehouse.connect(dsn) as connection:
        for number in range(1, again + 1):
            values = {"nothing": NOTHING, "suffix": f"-{number}", "share": control_share}
            warehouse.execute(
                connection,
                "insert into shop.campaigns select campaign_id || :suffix, name, strategy_id, channel, starts_at, "
                "ends_at, cost_per_contact, fixed_cost, updated_at from shop.campaigns "
                "where strategy_id = :nothing and campaign_id not like '%-%-%'",
                values,
            )
            warehouse.execute(
                connection,
                "insert into shop.campaign_contacts (campaign_id, customer_id, arm, contacted_at, updated_at) "
                "select c.campaign_id || :suffix, c.customer_id, case when ('x' || substr(md5(c.campaign_id || :suffix "
                "|| c.customer_id), 1, 7))::bit(28)::int < :share * 268435456 then 'control' else 'treatment' end, "
                "c.contacted_at, c.updated_at from shop.campaign_contacts as c "
                "inner join shop.campaigns as k on c.campaign_id = k.campaign_id "
                "where k.strategy_id = :nothing and c.campaign_id not like '%-%-%'",
                values,
            )


def _results(dsn: str) -> pd.DataFrame:
    from segmentation import tables, warehouse

    statement = (
        f"select * from {tables.CAMPAIGN_RESULTS} where design = 'randomised' "  # noqa: S608
        f"and metric in ('conversion', 'revenue') and difference is not null order by campaign_id, metric, segment_id"
    )
    with warehouse.connect(dsn) as connection:
        return pd.DataFrame(warehouse.fetch_dicts(connection, statement))


def show(found: pd.DataFrame, title: str) -> None:
    """Prints how often intervals hold the truth, and what else the module promises; `found` as of `with_truth`."""
    table = Table(title=title)
    for heading in ("metric", "estimate", "campaigns", "95% intervals hold the truth", "of no effect",
                    "false alarms", "mean error / mean width", "variance less", "not trusted"):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("metric", "estimate") else "right")
    for metric in METRICS:
        rows = found[found["metric"] == metric]
        for name, value, low, high, p in (
            ("difference", "difference", "difference_low", "difference_high", "p_value"),
            ("adjusted", "adjusted_difference", "adjusted_low", "adjusted_high", "adjusted_p_value"),
        ):
            told = rows.dropna(subset=[low])
            alarms = told.loc[told["strategy_id"] == NOTHING, p] < 0.05
            drawn_once = told[~told["campaign_id"].str.fullmatch(r"CAMPAIGN-.*-.*")]
            held = (drawn_once[low] <= drawn_once["truth"]) & (drawn_once["truth"] <= drawn_once[high])
            bias = (drawn_once[value] - drawn_once["truth"]).mean() / (drawn_once[high] - drawn_once[low]).mean()
            less = f"{drawn_once['variance_reduction'].median():.1%}" if name == "adjusted" and len(drawn_once) else ""
            table.add_row(metric, name, f"{len(drawn_once):,}", _share(held), f"{len(alarms):,}", _share(alarms),
                          f"{bias:+.3f}", less, f"{(~drawn_once['is_trusted']).sum()}")  # fmt: skip
    console.print(table)


def show_signs(found: pd.DataFrame) -> None:
    """Prints how often the sign is right, by how large the truth is; `found`: the segments of `with_truth`."""
    table = Table(title=f"{len(found):,} effects in segments, by the truth in half widths of their interval")
    for heading in ("metric", "truth", "effects", "sign is right", "surely wrong"):
        table.add_column(heading, justify="left" if heading in ("metric", "truth") else "right")
    for metric in METRICS:
        rows = found[(found["metric"] == metric) & (found["strategy_id"] != NOTHING) & (found["truth"] != 0)]
        is_adjusted = rows["adjusted_low"].notna()
        value, low, high = (
            rows[adjusted].where(is_adjusted, rows[plain]).astype(float)
            for adjusted, plain in (("adjusted_difference", "difference"), ("adjusted_low", "difference_low"),
                                    ("adjusted_high", "difference_high"))
        )  # fmt: skip
        size = rows["truth"].abs() / ((high - low) / 2)
        is_right = np.sign(value) == np.sign(rows["truth"])
        is_wrong = ~is_right & ((low > 0) | (high < 0))
        for least, most in itertools.pairwise(SIZES):
            here = (size >= least) & (size < most)
            told = f"{least:g} to {most:g}" if np.isfinite(most) else f"{least:g} and more"
            table.add_row(metric, told, f"{here.sum():,}", _share(is_right[here]), _share(is_wrong[here]))
    console.print(table)


def _share(flags: pd.Series) -> str:
    from segmentation.fairness import wilson

    if not len(flags):
        return ""
    low, high = wilson(float(flags.mean()), len(flags), 1.96)
    return f"{flags.mean():.1%} ({low:.1%} .. {high:.1%})"


def _said(what: str, begun: float) -> None:
    console.print(f"{what} after {dt.timedelta(seconds=round(time.monotonic() - begun))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--blocks", type=int, default=9, help="of four weeks, each with its campaigns")
    parser.add_argument("--a-block", type=int, default=25, help="campaigns in each")
    parser.add_argument("--control-share", type=float, default=0.25)
    parser.add_argument("--again", type=int, default=9, help="how often campaigns that change nothing are drawn anew")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.customers, given.blocks, given.a_block, given.control_share, given.again, given.seed)
