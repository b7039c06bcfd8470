"""
Weekly rounds on the practice shop: what a policy earns that learns from its own campaigns, of what could be earned:
`python -m local.bench.rounds` (with `PYTHONPATH=include:.`).

The simulator's customers live by its own processes, a week at a time. After `--history` weeks without campaigns there
are 8 rounds: strategies are drawn for everybody who may be reached, a tenth is held out of each strategy for good, the
contacted order at the simulator's true factors for a week, and the model of the product (`strategy_uplift`) is learnt
from all rounds so far, of features as they were before each. In the first round strategies are drawn by even lots, then
by Thompson sampling with the product's own draws and chances. Margins are a fixed share of the amounts.

Told, of the customers of the week after: what each earns beyond the best single offer, as a share of what the truth's
best policy earns beyond it. Three bars show where the rest is lost:

- `features`: the truth itself foretold from the features, without noise, on customers left out: no policy that sees
  only these earns more, up to what trees can foretell;
- `types known`: a policy that is told each customer's type, rate and value, who is alive, and the form of the effects,
  and only has to estimate the 30 factors from the same rounds;
- `learnt`: what the product does.

The truth is used for judging alone. Means over seeds with standard errors.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import lightgbm
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from local.simulator import baskets, campaigns, purchases
from local.simulator.catalogue import Catalogue
from local.simulator.clock import DAY, FOREVER, Calendar, start_of
from local.simulator.latent_types import CATEGORIES, MULTIPLIERS, ORDER_CHANNELS, STRATEGIES, TYPES
from local.simulator.population import CONSENTS, Memory, Population, population
from local.simulator.purchases import Pull
from local.simulator.settings import LAST_DAY, Settings
from segmentation import foresight, strategy_learnt, strategy_uplift
from segmentation.strategy_uplift import NOBODY, Results, StrategyUplift

console = Console(width=150, highlight=False)
WEEK = 7 * DAY
MARGIN, HELD_OUT = 0.4, 0.1
NAMES = tuple(one.strategy_id for one in STRATEGIES)
COSTS = np.array([one.cost_per_contact for one in STRATEGIES])


@dataclass
class Shop:
    """A simulated shop that is lived through by the week; `orders` has customer, time, amount, category, channel."""

    settings: Settings
    weeks: int
    people: Population = field(init=False)
    memory: Memory = field(init=False)
    orders: list[pd.DataFrame] = field(default_factory=list)
    week: int = 0

    def __post_init__(self) -> None:
        self.start = start_of(self.settings.first_day)
        until = self.start + self.weeks * WEEK
        self.calendar, self.catalogue = Calendar(self.settings, until), Catalogue(self.settings, until)
        people = population(self.settings, np.arange(self.settings.customers))
        self.people = people.take(people.signed_up < until)
        self.memory = Memory.blank(len(self.people))

    @property
    def now(self) -> int:
        return self.start + self.week * WEEK

    def live(self, strategy: np.ndarray | None = None) -> np.ndarray:
        """A week goes by; returns each customer's margin in it.

        :param strategy: place of the strategy that each is contacted with, -1: none.
        """
        count, now, end = len(self.people), self.now, self.now + WEEK
        factor, since = np.ones(count), np.full(count, FOREVER)
        if strategy is not None:
            who = strategy != NOBODY
            factor[who], since[who] = MULTIPLIERS[strategy[who], self.people.kind[who]], now
        pull = Pull(factor, since, np.where(since == FOREVER, FOREVER, end))
        span = (self.week, now, end)
        found = purchases.orders_of_block(self.people, self.memory, self.calendar, span, [pull], now, end)
        channel = baskets.channels(self.people, found)
        lived = baskets.lives(self.settings, self.people, found, channel)
        filled = baskets.fill(self.people, self.catalogue.shelf(now), found, lived, channel)
        kept = lived.cancelled_at == FOREVER
        first = np.searchsorted(filled.order, np.arange(len(found)))
        self.orders.append(pd.DataFrame({
            "customer": found.customer[kept], "time": found.time[kept], "amount": filled.total[kept] / 100,
            "channel": channel[kept], "has_coupon": filled.coupon[kept] > 0,
            "category": self.catalogue.category[filled.product[first]][kept],
        }))  # fmt: skip
        self.week += 1
        return MARGIN * np.bincount(self.orders[-1]["customer"], self.orders[-1]["amount"], count)

    def there(self) -> np.ndarray:
        """Who has signed up."""
        return self.people.signed_up < self.now

    def open_to(self) -> np.ndarray:
        """Who may be reached by which strategy: booleans (n, strategies)."""
        given = campaigns.consent(self.people.key, self.people.signed_up, self.memory.withdrawn_at, self.now)
        return given[:, [CONSENTS.index(one.channel) for one in STRATEGIES]] & self.there()[:, None]

    def features(self) -> pd.DataFrame:
        """What a shop knows of each customer from the orders so far."""
        orders, count = pd.concat(self.orders), len(self.people)
        who, amount = orders["customer"].to_numpy(), orders["amount"].to_numpy()
        age = (self.now - orders["time"].to_numpy()) / DAY
        made: dict[str, np.ndarray] = {"tenure": (self.now - self.people.signed_up) / DAY}
        for days in (30, 90, 365):
            late = age <= days
            made[f"orders_{days}"] = np.bincount(who[late], minlength=count)
            made[f"spend_{days}"] = np.bincount(who[late], amount[late], count)
        total = np.maximum(np.bincount(who, minlength=count), 1)
        made["mean_value"] = np.bincount(who, amount, count) / total
        made["spread_value"] = np.sqrt(np.bincount(who, (amount - made["mean_value"][who]) ** 2, count) / total)
        last, first = np.full(count, 999.0), np.full(count, 0.0)
        np.minimum.at(last, who, age)
        np.maximum.at(first, who, age)
        made |= {"recency": last, "first_age": first, "gap": (first - last) / total, "rate": total / (first + 30)}
        made["quiet"] = last / np.maximum((first - last) / np.maximum(total - 1, 1), 3)
        made["coupons"] = np.bincount(who, orders["has_coupon"], count) / total
        for place, name in enumerate(ORDER_CHANNELS):
            made[f"by_{name}"] = np.bincount(who, orders["channel"] == place, count) / total
        for place, name in enumerate(CATEGORIES):
            made[f"of_{name}"] = np.bincount(who, orders["category"] == place, count) / total
        weekday = (orders["time"].to_numpy() // DAY + 3) % 7
        made["weekend"] = np.bincount(who, weekday >= 5, count) / total
        return pd.DataFrame(made).astype(float)

    def plain(self) -> np.ndarray:
        """The exposure (n,) of the week to come."""
        kind = self.people.kind
        return self.calendar.exposure(kind, self.now + WEEK) - self.calendar.exposure(kind, self.now)

    def truth(self, factors: np.ndarray = MULTIPLIERS) -> np.ndarray:
        """What each strategy adds to each one's margin in the week to come, its cost taken off: (n, strategies)."""
        people = self.people
        is_alive = ~people.is_prospect & (self.memory.lost_at > self.now) & self.there()
        mean = (people.rate * self.plain())[:, None] * np.column_stack(
            [np.ones(len(people)), factors[:, people.kind].T]
        )
        orders = -np.expm1(-people.drop_out[:, None] * mean) / people.drop_out[:, None]
        worth = MARGIN * people.value_mean * (1 - people.cancelled_share) * is_alive
        return (orders[:, 1:] - orders[:, :1]) * worth[:, None] - COSTS


def earned(truth: np.ndarray, open_to: np.ndarray, chosen: np.ndarray) -> float:
    """What a policy earns, per customer; `chosen` (n,), -1: nobody."""
    rows = np.arange(len(truth))
    may = open_to[rows, np.maximum(chosen, 0)] & (chosen != NOBODY)
    return float(np.where(may, truth[rows, np.maximum(chosen, 0)], 0).mean())


def run(customers: int, history: int, rounds: int, seed: int) -> dict[str, float]:
    """One shop: the shares of the possible gain over the best single offer, and what they are shares of."""
    shop = Shop(
        Settings(seed=seed, customers=customers, first_day=LAST_DAY, span_days=history * 7), history + rounds + 1
    )
    for _ in range(history):
        shop.live()
    rng, parts, kind, model = np.random.default_rng(seed), [], None, None
    ids = np.array([f"C{number}" for number in range(len(shop.people))], object)
    held = np.random.default_rng(seed + 1).random((len(ids), len(NAMES))) < HELD_OUT
    exposures = []
    for _ in range(rounds):
        known, open_to = shop.features(), shop.open_to()
        chosen, chance = _drawn(model, known, open_to, ids, shop, rng)
        who = chosen != NOBODY
        is_held = held[np.arange(len(ids)), np.maximum(chosen, 0)]
        exposures.append(_of_rates(shop)[who])
        margin = shop.live(np.where(is_held, NOBODY, chosen))
        parts.append(Results(
            known[who], ids[who], NAMES, chosen[who], ~is_held[who], np.full(who.sum(), 1 - HELD_OUT),
            np.full(who.sum(), shop.week), chance[who], open_to[who], margin[who], COSTS,
        ))  # fmt: skip
        results = _together(parts)
        kind = kind or strategy_uplift._kind(results, seed, foresight.encoder_of(results.known))
        model = StrategyUplift(kind, seed).fit(results)
    known, open_to, truth = shop.features(), shop.open_to(), shop.truth()
    single = max(earned(truth, open_to, np.full(len(ids), place)) for place in range(len(NAMES)))
    best = earned(truth, open_to, strategy_uplift.greatest(truth, open_to))
    policies = {
        "learnt": model.predict(known) - COSTS,
        "types known": shop.truth(_factors(results, pd.concat(exposures), shop)),
        "features": _foretold(known, truth, seed),
    }
    told = {name: earned(truth, open_to, strategy_uplift.greatest(each, open_to)) for name, each in policies.items()}
    return {"single": single, "best": best, **{name: (each - single) / (best - single) for name, each in told.items()},
            "contacts": len(results)}  # fmt: skip


def _drawn(model, known, open_to, ids, shop, rng) -> tuple[np.ndarray, np.ndarray]:
    """(the strategy of each, its chance): by even lots at first, then by Thompson sampling as the product does."""
    if model is None:
        lots = np.where(open_to, rng.random(open_to.shape), -1)
        return np.where(open_to.any(axis=1), lots.argmax(axis=1), NOBODY), 1 / np.maximum(open_to.sum(axis=1), 1)
    told = model.tell(known)
    day = LAST_DAY.fromordinal(LAST_DAY.toordinal() + 7 * shop.week)
    drawn = np.column_stack([strategy_learnt.draws(ids, name, day) for name in NAMES])
    mean = told.mean - COSTS
    chosen = strategy_uplift.greatest(mean + told.spread * drawn, open_to)
    number = np.maximum(chosen, 0)
    return chosen, strategy_learnt.chances(number, mean, told.spread, open_to, np.zeros(len(NAMES)))


def _of_rates(shop: Shop) -> pd.DataFrame:
    """What the policy that knows the types is told of each customer: the margin that is expected without contact."""
    people = shop.people
    is_alive = ~people.is_prospect & (shop.memory.lost_at > shop.now) & shop.there()
    mean = people.rate * shop.plain()
    orders = -np.expm1(-people.drop_out * mean) / people.drop_out
    worth = MARGIN * people.value_mean * (1 - people.cancelled_share)
    return pd.DataFrame({"kind": people.kind, "plain": orders * worth * is_alive, "size": np.sqrt(orders) * worth})


def _factors(results: Results, told: pd.DataFrame, shop: Shop) -> np.ndarray:
    """The 30 factors by weighted least squares of margins on what is expected of the living, (strategies, types)."""
    found = np.ones((len(NAMES), len(TYPES)))
    kind, plain = told["kind"].to_numpy(), told["plain"].to_numpy()
    size = np.maximum(told["size"].to_numpy(), 1e-9)
    for strategy in range(len(NAMES)):
        for place in range(len(TYPES)):
            rows = results.is_treated & (results.strategy == strategy) & (kind == place) & (plain > 0)
            weight = 1 / size[rows] ** 2
            below = float(np.sum(weight * plain[rows] ** 2))
            if below > 0:
                found[strategy, place] = np.sum(weight * plain[rows] * results.outcome[rows]) / below
    return np.maximum(found, 0)


def _foretold(known: pd.DataFrame, truth: np.ndarray, seed: int) -> np.ndarray:
    """The truth from the features by trees that learn from it without noise, on customers left out."""
    told = np.zeros_like(truth)
    for held in foresight.folds_of(np.arange(len(known)), 3, seed):
        for place in range(truth.shape[1]):
            trees = lightgbm.LGBMRegressor(n_estimators=150, num_leaves=31, learning_rate=0.06, verbosity=-1, n_jobs=1)
            told[held, place] = trees.fit(known[~held], truth[~held, place]).predict(known[held])
    return told


def _together(parts: list[Results]) -> Results:
    return Results(
        pd.concat([each.known for each in parts], ignore_index=True), np.concatenate([each.customer for each in parts]),
        NAMES, *(np.concatenate([getattr(each, name) for each in parts])
                 for name in ("strategy", "is_treated", "treated", "period", "drawn", "open_to", "outcome")), COSTS,
    )  # fmt: skip


def main(sizes: list[int], history: int, rounds: int, seeds: range) -> None:
    table = Table(
        title=f"after {rounds} weekly rounds: share of what the truth's best policy earns beyond the best single"
    )
    headings = ("customers", "contacts", "best single, per customer and week", "truth's best policy", "learnt",
                "types known", "features")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for customers in sizes:
        found = []
        for seed in seeds:
            found.append(run(customers, history, rounds, seed))
            console.print(f"{customers:,} customers, seed {seed}: {found[-1]}")
        frame = pd.DataFrame(found)
        error = np.sqrt(max(len(frame) - 1, 1))
        cells = [f"{customers:,}", f"{frame['contacts'].mean():,.0f}", f"{frame['single'].mean():.3f}",
                 f"{frame['best'].mean():.3f}"]  # fmt: skip
        for name in ("learnt", "types known", "features"):
            cells.append(f"{frame[name].mean():.0%} ± {frame[name].std(ddof=0) / error:.0%}")
        table.add_row(*cells)
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, action="append", help="default 20,000")
    parser.add_argument("--history", type=int, default=52, help="weeks before the first round")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5, help="how many shops")
    parser.add_argument("--first-seed", type=int, default=101, help="1 to 4 are what the learner was chosen on")
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    main(given.customers or [20_000], given.history, given.rounds, seeds)
