"""
Which strategy each customer would get by one set of scores and by another: what a new model changes of the offers.

Chosen as every day (`strategy_session`): by the same file, the same brakes, the same learnt effects and draws, and down
to where budgets run out. Two things differ:

- Of a large shop some customers are looked at, and budgets are taken down to their share. So budgets run out about
  where they do for everyone; at least one contact is paid for.
- The key of the control groups is not needed. Which strategy a customer is chosen for depends on who is held out only
  in so far as those cost nothing, so groups of the same sizes are drawn by a key of its own, the same for all scores.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from segmentation import engine, strategy_file, strategy_learnt, strategy_session, tables
from segmentation.settings import Stores
from segmentation.strategy_file import Planned
from segmentation.strategy_learnt import Champion

COLUMNS = ("strategy_id", "offer")
_KEY = "groups of the same sizes"


def chosen(
    day: dt.date, stores: Stores, features: pa.Table, share: float, scores: Sequence[pa.RecordBatch], path: Path
) -> list[pd.DataFrame]:
    """What each of several sets of scores would have chosen, over the same customers.

    :param features: rows of `feat.customer_daily`.
    :param share: of all customers that these are, above 0 and up to 1.
    :param scores: rows of `score.customer_daily` each, of these customers.
    :param path: the file of strategies.
    :returns: for each of `scores`, by `customer_id` in its order, `COLUMNS`: texts, None for who gets none.
    :raises strategy_file.StrategiesError: the file cannot be right.
    :raises history.NotAcceptedError: the day has not passed the gate.
    :raises registry.UntrustedModelError: what campaigns have taught cannot be read.
    """
    planned = [_scaled(each, share) for each in strategy_file.read(path)]
    with strategy_session.opened(stores) as session:
        strategy_session.look_up(session, day, stores, planned, features)
        learnt, _ = strategy_learnt.champion(day, stores, features.column_names)
        return [_chosen(session, planned, each, day, learnt) for each in scores]


def _chosen(
    session: engine.Session, planned: Sequence[Planned], scores: pa.RecordBatch, day: dt.date, learnt: Champion | None
) -> pd.DataFrame:
    known = strategy_session.known(session, planned, pa.Table.from_batches([scores]))
    usable, _, _ = strategy_session.switched(planned, known)
    strategy_session.choose(session, usable, known, _KEY, day, learnt)
    made = engine.table_of(session.batches(f"select customer_id, number from {tables.STRATEGY_CHOICES}"))  # noqa: S608
    number = dict(zip(made["customer_id"].to_pylist(), made["number"].to_pylist(), strict=True))
    told = [(each.strategy.id, each.strategy.offer) for each in usable]
    customers = pd.Index(scores["customer_id"].to_pylist(), name="customer_id")
    rows = [(None, None) if number[one] is None else told[number[one]] for one in customers]
    return pd.DataFrame(rows, customers, COLUMNS, dtype=object)


def _scaled(planned: Planned, share: float) -> Planned:
    strategy = planned.strategy
    if strategy.budget is None:
        return planned
    budget = max(strategy.budget * share, strategy.cost_per_contact)
    return replace(planned, strategy=strategy.model_copy(update={"budget": budget}))
