"""
The choice of strategies in a session: what it goes by, which strategies a shop can use, and who gets which.

For the day's strategies, and before a promotion for whom a new model would give another one: both choose the same way,
over the scores and features that they put in.
"""

import datetime as dt
from collections.abc import Sequence

from segmentation import (
    engine,
    history,
    settings,
    sql,
    strategy_choice,
    strategy_columns,
    strategy_learnt,
    tables,
)
from segmentation.settings import Stores
from segmentation.strategy_choice import Cutoff, Known
from segmentation.strategy_columns import ORDER_VALUE
from segmentation.strategy_file import Planned
from segmentation.strategy_learnt import Champion


def opened(stores: Stores):
    """Always in this process: statements are made for it, and a day's choice is one machine's work."""
    return engine.session(stores.lake, settings.load().model_copy(update={"engine": "duckdb"}))


def look_up(
    session: engine.Session, day: dt.date, stores: Stores, planned: Sequence[Planned], features: engine.Input
) -> None:
    """Gives the session what strategies are chosen from besides the scores.

    :param features: rows of `feat.customer_daily`, of everyone who is to be chosen for.
    :raises history.NotAcceptedError: the day has not passed the gate.
    """
    session.put(tables.CUSTOMER_FEATURES, features)
    session.put(tables.CUSTOMERS_NOW, history.latest(stores, tables.CUSTOMERS.name))
    for entity in (tables.CAMPAIGN_CONTACTS, tables.CAMPAIGNS, tables.PRODUCTS):
        session.put(entity.table, history.known(stores, entity.name, day))
    most_days = max((each.strategy.frequency_cap.days for each in planned if each.strategy.frequency_cap), default=1)
    session.create(tables.STRATEGY_FACTS, sql.read("strategy", "facts"), {"as_of": day, "most_days": most_days})
    session.create(tables.STRATEGY_STOCK, sql.read("strategy", "stock"))


def known(session: engine.Session, planned: Sequence[Planned], scores: engine.Input) -> Known:
    """Gives the session, after `look_up`, the scores instead of those it had; says which columns hold anything.

    :param scores: rows of `score.customer_daily`.
    """
    session.put(tables.CUSTOMER_SCORES, scores)
    wanted = {name for each in planned for name in strategy_choice.needs(each)}
    wanted |= {
        name for each in planned for names in strategy_choice.brake_columns(each.strategy).values() for name in names
    }
    there = set(engine.table_of(session.batches(f"select * from {tables.CUSTOMER_FEATURES} limit 0")).column_names)  # noqa: S608
    columns = {
        *_filled(session, tables.CUSTOMER_SCORES, wanted & strategy_columns.scores().keys()),
        *_filled(session, tables.CUSTOMER_FEATURES, wanted & there & set(strategy_columns.features())),
    }
    stock = engine.table_of(session.batches(f"select count(pieces) as counted from {tables.STRATEGY_STOCK}"))  # noqa: S608
    value = None
    if ORDER_VALUE in columns:
        mean = f"select avg({engine.quoted(ORDER_VALUE)}) as mean from {tables.CUSTOMER_FEATURES}"  # noqa: S608
        value = engine.table_of(session.batches(mean))["mean"][0].as_py()
    return Known(columns, stock["counted"][0].as_py() > 0, value)


def switched(planned: Sequence[Planned], known: Known) -> tuple[list[Planned], dict[str, str], list[str]]:
    """The strategies that this shop can use; why the others are off; which brakes are."""
    usable, off, remarks = [], {}, []
    for each in planned:
        missing = [name for name in strategy_choice.needs(each) if name not in known.columns]
        if missing:
            off[each.strategy.id] = f"this shop has no {', '.join(missing)}"
            continue
        usable.append(each)
        for brake, names in strategy_choice.brake_columns(each.strategy).items():
            if not set(names) & set(known.columns):
                remarks.append(
                    f"strategy {each.strategy.id}: brake {brake} is off: this shop has no {' or '.join(names)}"
                )
        if each.strategy.brakes.low_stock and not known.has_stock:
            remarks.append(f"strategy {each.strategy.id}: brake low_stock is off: this shop counts no stock")
    return usable, off, remarks


def choose(
    session: engine.Session, usable: Sequence[Planned], known: Known, key: str, day: dt.date, champion: Champion | None
) -> tuple[set[int], dict[int, Cutoff]]:
    """Makes `strategy.choices`; (the numbers of the strategies whose effect has been learnt, where budgets ran out).

    :param key: what the control groups are drawn by.
    """
    if not usable:
        nobody = f"select customer_id, cast(null as integer) as number from {tables.CUSTOMER_SCORES}"  # noqa: S608
        session.create(tables.STRATEGY_CHOICES, nobody)
        return set(), {}
    learnt = strategy_learnt.put(session, champion, usable, day)
    session.put("strategy.key", strategy_choice.keys(key))
    share = champion.share_of_assumed if champion and learnt else 1.0
    session.create(tables.STRATEGY_CANDIDATES, strategy_choice.candidates(usable, known, f"{day}", learnt, share))
    return learnt, strategy_choice.assigned(session, usable)


def _filled(session: engine.Session, table: str, names: set[str]) -> list[str]:
    """Those of a table's columns that are not null for everyone."""
    if not names:
        return []
    ordered = sorted(names)
    counts = ", ".join(f"count({engine.quoted(name)}) as count_{number}" for number, name in enumerate(ordered))
    [row] = engine.table_of(session.batches(f"select {counts} from {table}")).to_pylist()  # noqa: S608
    return [name for number, name in enumerate(ordered) if row[f"count_{number}"]]
