"""
What campaigns have taught about strategies, as the choice of a day uses it: effects, draws, and the chances of them.

**Effects** come from the champion of model `strategy_uplift`, if there is one; of a strategy that it does not know, the
file's `expected_lift` stands. **Explored** is by Thompson sampling (Thompson 1933, Biometrika 25; Chapelle and Li
2011, NIPS): a customer is given the strategy that is the best for one draw of what is not known for sure, the posterior
of the effects' coefficients. So a strategy is tried as often as it may be the best one, and no more. The draw is a
function of strategy, customer and a span of `settings.policy.redraw_days` days: a rerun draws the same, and customers
are not handed to and fro every day. Control groups are drawn apart from it, by `strategy_choice`, and stay.

**The chance** of each choice is kept, for whoever learns from what comes of it: that of drawing the same strategy for
this customer again, with budgets running out where they did.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import norm

from segmentation import engine, model_cache, preparation, settings, tables
from segmentation.registry import NoModelError, Registry, Version
from segmentation.settings import Stores
from segmentation.strategy_file import Planned
from segmentation.strategy_uplift import StrategyUplift, is_readable

LEARNT, EXPLORED, ASSUMED = "learnt", "explored", "assumed"
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_SURE = 1e-12  # a spread of nothing
_TIE = 1e-9  # what is as good as equal: the choice has settled it


@dataclass(frozen=True)
class Champion:
    """The model that a day goes by.

    :param window_days: for how many days after a contact its effects count; None: it was not kept.
    """

    version: Version
    model: StrategyUplift
    columns: list[str]
    window_days: float | None = None

    @property
    def share_of_assumed(self) -> float:
        """How much of what a file assumes of the next days goes beside these effects: as much of it as their days are.

        Both count orders after a contact, but the one those of a campaign's window, the other those of a month.
        """
        near = settings.load().targets.near_days
        return 1.0 if self.window_days is None else min(1.0, self.window_days / near)


def champion(day: dt.date, stores: Stores, features: Collection[str]) -> tuple[Champion | None, str]:
    """(the model that a day goes by, or None; why None).

    :param features: the columns that there are to tell the effects from.
    :raises registry.UnreachableError: MLflow does not answer, and did not for an earlier day either.
    :raises registry.UntrustedModelError: the model holds types that have not been reviewed.
    """
    registry = Registry(stores.registry, stores.marketing)

    def resolve() -> Mapping[str, Version]:
        try:
            return {tables.UPLIFT_MODEL: registry.resolve(tables.UPLIFT_MODEL, day)}
        except NoModelError:
            return {}

    versions = model_cache.resolved(resolve, stores.lake, day, engine.midnight(day), model_cache.POLICY)
    if tables.UPLIFT_MODEL not in versions:
        return None, "nothing has been learnt from campaigns yet"
    version = versions[tables.UPLIFT_MODEL]
    model, metadata = model_cache.load(registry, version, stores.lake)
    if not is_readable(model):
        return None, f"version {version.version} is of an earlier release: learn_policy_weekly makes a new one"
    missing = sorted(set(metadata["columns"]) - set(features))
    if missing:
        named = ", ".join(missing[:3])
        return None, f"version {version.version} needs {len(missing)} features that there are not, such as {named}"
    return Champion(version, model, metadata["columns"], metadata.get("window_days")), ""


def put(session: engine.Session, found: Champion | None, planned: Sequence[Planned], day: dt.date) -> set[int]:
    """Gives the session `strategy.uplift`: of each customer of its `feat.customer_daily`, by number of the strategy,
    what it adds on average and how unsure that is (`mean_0`, `spread_0`, of learnt strategies), and the day's draw
    (`draw_0`, standard normal; 0 of what is not explored).

    :returns: the numbers of the strategies whose effect has been learnt.
    """
    known = {name: place for place, name in enumerate(found.model.strategies_)} if found else {}
    learnt = {number: known[each.strategy.id] for number, each in enumerate(planned) if each.strategy.id in known}
    columns, config = found.columns if found and learnt else [], settings.load().policy
    wanted = ", ".join(map(engine.quoted, ["customer_id", *columns]))
    parts = []
    for batch in session.batches(f"select {wanted} from {tables.CUSTOMER_FEATURES}"):  # noqa: S608 - names
        frame = batch.to_pandas()
        made: dict[str, object] = {"customer_id": batch["customer_id"]}
        for number, each in enumerate(planned):
            is_unsure = config.exploration if number in learnt else config.assumed_spread
            drawn = draws(frame["customer_id"].to_numpy(object), each.strategy.id, day) if is_unsure else None
            made[f"draw_{number}"] = np.zeros(len(frame)) if drawn is None else drawn
        if learnt and len(frame):
            told = found.model.tell(preparation.inputs(frame, columns))
            for number, place in learnt.items():
                made |= {f"mean_{number}": told.mean[:, place], f"spread_{number}": told.spread[:, place]}
        elif learnt:
            made |= {f"{kind}_{number}": np.zeros(0) for number in learnt for kind in ("mean", "spread")}
        parts.append(pa.table(made))
    filled = [each for each in parts if each.num_rows]  # of nobody a model tells nothing, nor in which precision
    session.put(tables.STRATEGY_UPLIFT, pa.concat_tables(filled or parts[:1]))
    return set(learnt)


def draws(customers: np.ndarray, strategy: str, day: dt.date) -> np.ndarray:
    """Standard normal numbers, shape (n,): the same for the same strategy, customer and span of days."""
    span = day.toordinal() // settings.load().policy.redraw_days
    key = hashlib.sha256(f"{span}/{strategy}".encode()).hexdigest()[:16]
    hashed = pd.util.hash_array(np.asarray(customers, object), hash_key=key, categorize=False)
    return norm.ppf(((hashed >> np.uint64(11)).astype(float) + 0.5) / 2.0**53)


def chances(number: np.ndarray, mean: np.ndarray, spread: np.ndarray, may: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The chance of each choice, shape (n,), over draws of all S values that are independent and normal.

    :param number: the strategy that was chosen, shape (n,).
    :param mean: what each strategy is worth on average, and `spread` its standard deviation, shape (n, S).
    :param may: which strategies the customer may get, booleans, shape (n, S).
    :param least: the value above which each strategy is given: 0, or where its budget ran out, shape (S,).
    """
    rows = np.arange(len(number))
    spread = np.maximum(spread, _SURE)
    own_mean, own_spread = mean[rows, number], spread[rows, number]
    # what is known for sure is a step, which no polynomial follows: it bounds the values from below instead
    is_sure = may & (spread <= _SURE) & (mean >= least - _TIE)
    is_sure[rows, number] = False
    bound = np.maximum(np.where(is_sure, mean, -np.inf).max(axis=1), least[number])
    lowest = norm.cdf((bound - _TIE - own_mean) / own_spread)
    told = np.zeros(len(number))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        at = lowest + (1 - lowest) * (node + 1) / 2
        value = own_mean + own_spread * norm.ppf(np.clip(at, 1e-15, 1 - 1e-15))
        below = norm.cdf((np.maximum(value[:, None], least) + _TIE - mean) / spread)
        below = np.where(may, below, 1.0)
        below[rows, number] = 1.0
        told += weight / 2 * below.prod(axis=1)
    return told * (1 - lowest)


def bases(
    number: np.ndarray, mean: np.ndarray, may: np.ndarray, least: np.ndarray, learnt: Sequence[bool]
) -> np.ndarray:
    """What each choice rests on, texts of shape (n,); parameters as of `chances`.

    `explored`: another one was expected to bring more, or nothing to be better.
    """
    rows = np.arange(len(number))
    expected = np.where(may & (mean >= least), mean, -np.inf)
    is_best = expected[rows, number] >= expected.max(axis=1)
    is_best &= np.isfinite(expected[rows, number])
    by_mean = np.where(np.asarray(learnt)[number], LEARNT, ASSUMED)
    return np.where(is_best, by_mean, EXPLORED)
