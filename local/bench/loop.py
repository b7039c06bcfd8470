"""
The whole loop on a real database: a practice shop that answers to what is published, for some weeks:
`python -m local.bench.loop` (with `PYTHONPATH=include:.`).

A simulated shop without campaigns is trained for once, quickly, and only for what strategies are chosen by. Then each
week, by the product's own tasks (`local.stages`) on a PostgreSQL and an MLflow of this run's own: what strategies
change is learnt from all campaigns so far, compared and promoted or not (a human who is asked says yes, or with
`--decline` no), what the last campaigns changed is measured, segments and strategies of the day are published; and
the shop grows by a week in which its marketing does what is published (`local.simulator.answers`). The strategies are
those of the simulated shop, at their true costs, for everybody who may be reached: `loop_strategies.yaml`. Before
anything is learnt all of them are taken to bring the same, unsure by `--spread` times as much: so they are tried.

Told of each week, from the truth, per published customer: what a contact with each one's strategy is to bring in the
week to come, the margin that it adds less its cost

- `assigned`: by what was published, as if nobody were held out; of it explored by lot is a part (`strategy_basis`);
- `champion`, `latest`: by the mean effects of the model that is in use, and of the one that was learnt last, whatever
  the gate said of it: without exploring, as `local.bench.rounds` tells it;
- `looked best`: everybody the single strategy that looks best in the same results: what a shop would do that tests
  offers and takes the winner;
- `single`: everybody the best single strategy, `best`: each one the best; both as only the truth knows.

The shares are of what `best` is worth beyond `single`. The margin is the share of the amounts that orders of the
customer's latent type have earned so far. At last: how often the 95% intervals of `evaluate` hold the true effect.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from local import environment, load
from local.bench import campaigns
from local.bench.rounds import COSTS, NAMES, earned
from local.simulator import expected, practice_shop
from local.simulator.latent_types import STRATEGIES
from local.simulator.settings import LAST_DAY, Settings
from local.stages import CAMPAIGNS, DAILY, POLICY, WEEKLY, BareStack, Stages, Step
from segmentation import lake, preparation, promote, strategy_learnt, strategy_uplift, tables, warehouse
from segmentation.registry import Registry
from segmentation.settings import Stores
from segmentation.strategy_uplift import NOBODY, StrategyUplift

console = Console(width=200, highlight=False)
FILE = Path(__file__).with_name("loop_strategies.yaml")
WEEK_DAYS = 7
QUICKER = {"SEGMENTATION_TRAINING__MAX_CUTOFFS": "4", "SEGMENTATION_CLUSTER__FINALISTS": "1"}
# What watches, tidies up or recommends products: nothing of it decides who is contacted with what
_NOT_OF_THE_LOOP = ("recommend", "compact", "drop_snapshots", "performance", "drift", "retrain")
_OF_THE_DAY = ("extract", "validate_raw", "aggregates")  # what several DAGs of a day would do again to no effect
_TARGETS = (tables.PURCHASE.model,)  # what strategies are chosen by; the others would only be published
_PUBLISHED = """
select s.customer_id, s.strategy_id, coalesce(s.in_holdout, false) as in_holdout, s.strategy_basis, c.email_consent,
    c.sms_consent, c.push_consent
from marketing.customer_segments as s
inner join shop.customers as c on s.customer_id = c.customer_id
order by s.customer_id
"""
_MARGINS = """
with items as (
    select i.order_id, sum(i.quantity * i.unit_price) as ordered,
        sum((i.quantity - i.returned_quantity) * i.unit_price) as kept,
        sum((i.quantity - i.returned_quantity) * p.unit_cost) as cost
    from shop.order_items as i inner join shop.products as p on i.product_id = p.product_id
    group by i.order_id
)
select t.latent_type, (sum(o.total_amount * i.kept / i.ordered - i.cost) / sum(o.total_amount))::float8
from shop.orders as o
inner join items as i on o.order_id = i.order_id and i.ordered > 0
inner join truth.customers as t on o.customer_id = t.customer_id
where o.status <> 'cancelled'
group by t.latent_type
"""


@dataclass(frozen=True)
class Week:
    """The n published customers of a day: what each strategy is to add to each one's margin in the week to come, its
    cost taken off (n, strategies), which ones each may be reached by, and what was published of each."""

    day: dt.date
    truth: np.ndarray
    open_to: np.ndarray
    published: pd.DataFrame

    @classmethod
    def of(cls, dsn: str, day: dt.date) -> Week:
        """What is published now; the shop has not come to the week yet."""
        with warehouse.connect(dsn) as connection:
            published = pd.DataFrame(warehouse.fetch_dicts(connection, _PUBLISHED))
            margins = dict(warehouse.fetch(connection, _MARGINS))
        plain = expected.customers_on(dsn, day, WEEK_DAYS).to_pandas().set_index("customer_id")
        plain = plain.loc[published["customer_id"]]
        margin = plain["latent_type"].map(margins).fillna(0.0).to_numpy()
        more = []
        for one in STRATEGIES:
            treated = expected.customers_on(dsn, day, WEEK_DAYS, one.strategy_id).to_pandas().set_index("customer_id")
            spend = treated["expected_spend"].loc[published["customer_id"]].to_numpy()
            more.append((spend - plain["expected_spend"].to_numpy()) * margin)
        open_to = np.column_stack([published[f"{one.channel}_consent"].to_numpy(bool) for one in STRATEGIES])
        return cls(day, np.column_stack(more) - COSTS, open_to, published)

    @property
    def assigned(self) -> np.ndarray:
        """The place of each one's published strategy, -1: none."""
        places = {name: place for place, name in enumerate(NAMES)}
        return self.published["strategy_id"].map(places).fillna(NOBODY).to_numpy(int)

    def worth(self, chosen: np.ndarray) -> float:
        """What a choice is to earn, per customer."""
        return earned(self.truth, self.open_to, chosen)

    def of_model(self, model: StrategyUplift, columns: list[str], stores: Stores) -> float:
        """What to go by a model's mean effects is to earn."""
        features = lake.read(stores.lake, tables.CUSTOMER_FEATURES, self.day).to_pandas().set_index("customer_id")
        known = preparation.inputs(features.loc[self.published["customer_id"]], columns)
        told = dict(zip(model.strategies_, model.predict(known).T, strict=True))
        effects = np.column_stack([told.get(name, np.full(len(known), -np.inf)) for name in NAMES]) - COSTS
        return self.worth(strategy_uplift.greatest(effects, self.open_to))

    def of_everybody(self, strategy: str) -> float:
        """What it is to earn if everybody gets one strategy who may."""
        return self.worth(np.full(len(self.truth), NAMES.index(strategy)))

    def told(self) -> dict[str, Any]:
        """What is said of the week but for models."""
        count, chosen = len(self.truth), self.assigned
        singles = [self.of_everybody(name) for name in NAMES]
        is_treated = (chosen != NOBODY) & ~self.published["in_holdout"].to_numpy(bool)
        return {
            "day": self.day, "customers": count, "treated": int(is_treated.sum()),
            "held_out": int((chosen != NOBODY).sum() - is_treated.sum()),
            "earned_by_treated": float(self.truth[is_treated, chosen[is_treated]].sum()),
            "bases": self.published["strategy_basis"].value_counts().to_dict(),
            "assigned": self.worth(chosen), "single": max(singles), "which": NAMES[int(np.argmax(singles))],
            "best": self.worth(strategy_uplift.greatest(self.truth, self.open_to)),
        }  # fmt: skip


def run(customers: int, days: int, rounds: int, seed: int, is_declined: bool, home: Path) -> Iterator[dict[str, Any]]:
    """The weeks of one shop, the one after the last round included; shows the effects that were measured at last."""
    stack, asked = BareStack(home / "stack"), []

    def answers(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
        asked[:] = comparison["asked"]
        option = promote.KEEP if is_declined else promote.APPROVE
        return [{"chosen_options": [option], "responded_by_user": {"name": "the bench"}} for _ in asked]

    try:
        addresses = stack.up(lambda _: None)
        dsn = addresses.warehouse
        stores = Stores(addresses.marketing, addresses.marketing, str(stack.folders.lake), addresses.mlflow)
        made = Settings.until(LAST_DAY, days, customers=customers, seed=seed, campaigns_per_block=0)
        day = load.simulate(dsn, made, days).day
        stages = Stages(stack, answers, FILE, _TARGETS)
        _said("simulated")
        stages.run(Step(WEEKLY, day))
        _said("trained")
        for number in range(rounds + 1):
            learnt = _learnt(stages, day, asked) if number else {}
            stages.run(Step(DAILY, day), _NOT_OF_THE_LOOP + _OF_THE_DAY)
            week = Week.of(dsn, day)
            told = {"round": number, **week.told(), **learnt, **_models(week, stores, learnt.get("version"))}
            if "best_single" in learnt:
                told["looked_best"] = week.of_everybody(learnt["best_single"])
            _said(f"round {number}: {told}")
            yield told
            if number < rounds:
                practice_shop.grow(dsn, WEEK_DAYS, _silent, FILE)
                day += dt.timedelta(days=WEEK_DAYS)
        found = campaigns.with_truth(dsn)
        found = found[found["segment_id"].isna()]
        campaigns.show(found, f"{customers:,} customers: {found['campaign_id'].nunique()} campaigns that were measured")
    finally:
        stack.down(lambda _: None)


def _learnt(stages: Stages, day: dt.date, asked: list[str]) -> dict[str, Any]:
    """Measures and learns; what the gate and the human said, in words."""
    asked.clear()
    told = stages.run(Step(POLICY, day))
    stages.run(Step(CAMPAIGNS, day), _OF_THE_DAY)
    model = tables.UPLIFT_MODEL
    if "version" not in told["learn"]:
        return {"gate": f"skipped: {told['learn']['skipped']}"}
    verdict = told["compare"]["verdicts"][model]["verdict"]
    advantage = [told["learn"]["metrics"][f"value_advantage{end}"] for end in ("", "_low", "_high")]
    return {"version": told["learn"]["version"], "best_single": told["learn"]["best_single"],
            "gate": f"{verdict}{', asked' * (model in asked)}",
            "outcome": told["promote"][model], "advantage": advantage}  # fmt: skip


def _models(week: Week, stores: Stores, version: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    champion, _ = strategy_learnt.champion(
        week.day, stores, lake.columns(stores.lake, tables.CUSTOMER_FEATURES, week.day)
    )
    if champion:
        told |= {"champion_version": champion.version.version,
                 "champion": week.of_model(champion.model, champion.columns, stores)}  # fmt: skip
    if version:
        registry = Registry(stores.registry, stores.marketing)
        model, metadata = registry.load(registry.version(tables.UPLIFT_MODEL, version))
        told["latest"] = week.of_model(model, metadata["columns"], stores)
    return told


def show(weeks: list[dict[str, Any]], title: str) -> None:
    """Prints a row per week."""
    table = Table(title=title)
    for heading in ("after rounds", "treated / held out", "single", "best", "assigned", "share", "champion", "share ",
                    "latest", "share  ", "looked best", "share   ", "gate", "in use",
                    "learnt / explored / assumed"):  # fmt: skip
        table.add_column(heading, justify="right")
    for week in weeks:
        cells = [f"{week['round']}", f"{week['treated']:,} / {week['held_out']:,}",
                 f"{week['single']:.3f} {week['which']}", f"{week['best']:.3f}"]  # fmt: skip
        for name in ("assigned", "champion", "latest", "looked_best"):
            value, which = week.get(name), f" {week['best_single']}" if name == "looked_best" and name in week else ""
            cells += ["", ""] if value is None else [f"{value:.3f}{which}", f"{share(week, name):.0%}"]
        bases = " / ".join(f"{week['bases'].get(name, 0):,}" for name in ("learnt", "explored", "assumed"))
        table.add_row(*cells, week.get("gate", ""), week.get("champion_version", "none"), bases)
    console.print(table)


def share(week: Mapping[str, Any], name: str) -> float:
    """What a policy earns beyond the best single strategy, as a share of what the truth's best policy does."""
    return (week[name] - week["single"]) / (week["best"] - week["single"])


def main(customers: int, days: int, rounds: int, seed: int, spread: float, is_declined: bool) -> None:
    os.environ.update(environment.QUICK_TRAINING | QUICKER | {"SEGMENTATION_POLICY__ASSUMED_SPREAD": str(spread)})
    weeks: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home:
        try:
            for week in run(customers, days, rounds, seed, is_declined, Path(home)):
                weeks.append(week)
        finally:  # what has been lived through is told, whatever ends it
            show(weeks, f"{customers:,} customers, seed {seed}: worth per published customer and week, from the truth")


def _said(what: str) -> None:
    console.print(f"{dt.timedelta(seconds=round(time.monotonic() - _BEGUN))} {what}")


def _silent(text: str, done: int, total: int) -> None:
    """Nobody watches."""


_BEGUN = time.monotonic()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--days", type=int, default=364, help="of the shop before the first round")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument(
        "--spread", type=float, default=1.0, help="how unsure what is assumed is taken to be, as a share"
    )
    parser.add_argument("--decline", action="store_true", help="a human who is asked keeps what is in use")
    given = parser.parse_args()
    main(given.customers, given.days, given.rounds, given.seed, given.spread, given.decline)
