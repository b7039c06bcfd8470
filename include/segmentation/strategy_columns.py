"""
The columns that a strategy's condition may name: scores as they are published, features, and facts of its own.

Scores come from `score.customer_daily` under the names of the output contract, features from `feat.customer_daily`
(docs/features.md). Gender, age and income are left out on purpose: who gets an offer is audited by them.
"""

import datetime as dt
from functools import cache

import pyarrow as pa

from segmentation import families, suites, tables
from segmentation.conditions import NUMBER, TEXT, TRUTH, Column

# Published, but nothing that a strategy could go by: keys, what strategies themselves write, lists
_NOT_SCORES = (
    "customer_id", "as_of_date", "strategy_id", "offer", "contact_channel", "in_holdout", "recommended_products",
    "reasons", "model_versions", "scored_at", "strategy_basis",
)  # fmt: skip
AUDITED = ("gender", "age_years", "income_band")
_REFUSAL = "nobody gets an offer for gender, age or income; who gets one is audited by them"
# What strategies know besides, see include/sql/strategy/facts.sql
ANNIVERSARY = "anniversary_in_days"
# What the expected margin is reckoned from
PROBABILITY, ORDER_VALUE = "purchase_probability_30d", "order_value_mean"


@cache
def every() -> dict[str, Column]:
    """All of them by name."""
    found = {name: Column(name, _kind(kind), _values().get(name)) for name, kind in scores().items()}
    for name in features():
        refusal = _REFUSAL if name in AUDITED else None
        found[name] = Column(name, TEXT if name in _named() else NUMBER, refusal=refusal)
    found[ANNIVERSARY] = Column(ANNIVERSARY, NUMBER)
    return found


@cache
def scores() -> dict[str, pa.DataType]:
    """Name and type of those that the scores have."""
    return {field.name: field.type for field in tables.SEGMENT_COLUMNS if field.name not in _NOT_SCORES}


@cache
def features() -> tuple[str, ...]:
    """Names of those that the features have, and the scores have not."""
    every_one = (column.name for family in families.every() for column in family.columns)
    return tuple(name for name in every_one if name not in scores())


def _named() -> set[str]:
    return {column.name for family in families.every() for column in family.columns if column.unit == "name"}


def _kind(kind: pa.DataType) -> str:
    return TEXT if pa.types.is_string(kind) else TRUTH if pa.types.is_boolean(kind) else NUMBER


@cache
def _values() -> dict[str, tuple[str, ...]]:
    """What the suite of the scores lets their columns be."""
    suite = suites.read(tables.CUSTOMER_SCORES, suites.parameters(dt.date(2000, 1, 1)), {})
    sets = {rule.kwargs["column"]: rule.kwargs["value_set"] for rule in suite.rows if "value_set" in rule.kwargs}
    return {name: tuple(values) for name, values in sets.items() if all(isinstance(each, str) for each in values)}
