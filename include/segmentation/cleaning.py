"""
cleaning: missing values and outliers of a shop's numbers, as `settings.Clean` asks for it, before the rules look.

Missing values are dropped (to quarantine), or filled by the mean, the median or a model of the entity's other numbers:
scikit-learn's IterativeImputer, after MICE (van Buuren & Groothuis-Oudshoorn 2011). Outliers, values more than so many
standard deviations from the mean, are winsorised (set to that limit) or quarantined. What the mean is, and all else, is
learnt from a sample of the history, with the rows at hand where there is too little of it. All of it is told in
`quality.results`, column by column, with counts and examples.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segmentation import engine, settings, tables
from segmentation.row_rules import EXAMPLES
from segmentation.suites import QUARANTINE, Rule

ENOUGH_ROWS = 100


@dataclass(frozen=True)
class Mending:
    """What was done to one column: `told` in words, to how many rows, and the keys of three of them."""

    column: str
    told: str
    rows: int
    examples: list[str]


@dataclass(frozen=True)
class Cleaning:
    """What is to be done to an entity's rows.

    :param fills: column -> what stands for a missing value.
    :param limits: column -> the lowest and the highest value that stay as they are.
    :param models: columns whose missing values the model fills.
    :param numbers: the columns that the model looks at, in order.
    :param model: the fitted model; None: no column wants it.
    :param rules: what goes to quarantine.
    :param mendings: what is told of it.
    """

    fills: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    model: Any = None
    rules: tuple[Rule, ...] = ()
    mendings: tuple[Mending, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is a row that will not stay as it is."""
        return any(mending.rows for mending in self.mendings)


def plan(entity: tables.Entity, staged: engine.Numbered, known: engine.Versions, config: settings.Clean) -> Cleaning:
    """What the settings make of an entity's rows; nothing where they do not name it.

    :param staged: the rows at hand, with `is_deleted`.
    :param known: the entity's history, which the limits and the model are learnt from.
    """
    wanted = {
        name.partition(".")[2]: column for name, column in config.columns.items() if name.startswith(f"{entity.name}.")
    }
    if not wanted:
        return Cleaning()
    numbers = tuple(f.name for f in entity.schema if settings.is_number(f.type) and f.name not in entity.key)
    sample = _sample(entity, staged, known, numbers, config)
    fills: dict[str, float] = {}
    limits: dict[str, tuple[float, float]] = {}
    rules: list[Rule] = []
    for name, column in wanted.items():
        values = sample[name]
        if column.missing == "drop":
            rules.append(Rule(f"{name} is missing and to be dropped", QUARANTINE, _NOT_NULL, {"column": name}))
        if column.missing in ("mean", "median") and values.notna().any():
            fills[name] = _fitting(float(getattr(values, column.missing)()), entity.schema.field(name).type)
        mean, reach = float(values.mean()), float(values.std()) * column.z_score
        if column.outliers != "keep" and np.isfinite(reach):
            limits[name] = (mean - reach, mean + reach)
        if column.outliers == "quarantine" and name in limits:
            low, high = limits.pop(name)
            told = f"{name} is an outlier, beyond {column.z_score:g} standard deviations of the mean {mean:.6g}"
            rules.append(Rule(told, QUARANTINE, _BETWEEN, {"column": name, "min_value": low, "max_value": high}))
    models = tuple(name for name, column in wanted.items() if column.missing == "model")
    model = _model(sample, numbers, config) if models else None
    mendings = _mendings(entity, staged, wanted, fills, limits, models)
    return Cleaning(fills, limits, models, numbers, model, tuple(rules), mendings)


def mended(batches: Iterator[pa.RecordBatch], cleaning: Cleaning) -> Iterator[pa.RecordBatch]:
    """The batches with missing values filled and outliers winsorised; deletions stay as they are."""
    for batch in batches:
        living = pc.invert(batch["is_deleted"])
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        guesses = _guesses(columns, cleaning) if cleaning.model is not None else {}
        for name, value in cleaning.fills.items():
            kind = columns[name].type
            wants = pc.and_(living, columns[name].is_null())
            columns[name] = pc.if_else(wants, _scalar(value, kind), columns[name])
        for name in cleaning.models:
            wants = pc.and_(living, columns[name].is_null())
            columns[name] = pc.if_else(wants, guesses[name], columns[name])
        for name, (low, high) in cleaning.limits.items():
            kind = columns[name].type
            capped = pc.max_element_wise(columns[name], _scalar(low, kind, math.ceil), skip_nulls=False)
            columns[name] = pc.min_element_wise(capped, _scalar(high, kind, math.floor), skip_nulls=False)
        yield pa.RecordBatch.from_arrays([columns[name] for name in batch.schema.names], schema=batch.schema)


_NOT_NULL = "expect_column_values_to_not_be_null"
_BETWEEN = "expect_column_values_to_be_between"


def _sample(
    entity: tables.Entity,
    staged: engine.Numbered,
    known: engine.Versions,
    numbers: tuple[str, ...],
    config: settings.Clean,
) -> pd.DataFrame:
    """The numbers (n, k) of some rows as float64, the same ones every time: of the history, if that is enough."""
    columns = ", ".join(f"{engine.quoted(name)}::double as {engine.quoted(name)}" for name in numbers)
    key = ", ".join(map(engine.quoted, entity.key))
    order = f"order by hash({key}, {config.seed}) limit {config.fit_rows}"
    history = f"select {columns} from known.rows {order}"  # noqa: S608
    found = engine.table_of(engine.query(history, {"known.rows": known}))
    if found.num_rows < ENOUGH_ROWS:
        at_hand = f"select {columns} from staged.rows where not is_deleted {order}"  # noqa: S608
        found = pa.concat_tables([found, engine.table_of(engine.query(at_hand, {"staged.rows": staged}))])
    frame = found.to_pandas()
    return frame.where(np.isfinite(frame))


def _model(sample: pd.DataFrame, numbers: tuple[str, ...], config: settings.Clean) -> Any:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    imputer = IterativeImputer(max_iter=config.model_rounds, random_state=config.seed, keep_empty_features=True)
    return imputer.fit(np.array(sample[list(numbers)], float))


def _guesses(columns: Mapping[str, pa.Array], cleaning: Cleaning) -> dict[str, pa.Array]:
    matrix = np.column_stack([_floats(columns[name]) for name in cleaning.numbers])
    filled = cleaning.model.transform(matrix)
    return {
        name: pa.array(
            [_scalar(value, columns[name].type).as_py() for value in filled[:, cleaning.numbers.index(name)]],
            columns[name].type,
        )
        if columns[name].null_count
        else columns[name]
        for name in cleaning.models
    }


def _floats(column: pa.Array) -> np.ndarray:
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def _fitting(value: float, kind: pa.DataType) -> float:
    """The nearest value that a column of this type can hold."""
    if pa.types.is_integer(kind):
        return float(round(value))
    return round(value, kind.scale) if pa.types.is_decimal(kind) else float(value)


def _scalar(value: float, kind: pa.DataType, rounded: Callable[[float], float] = round) -> pa.Scalar:
    """A number in a column's type; an integer by `rounded`, and no further out than the type reaches."""
    if pa.types.is_integer(kind):
        reach = np.iinfo(kind.to_pandas_dtype())
        return pa.scalar(int(rounded(min(max(value, reach.min), reach.max))), kind)
    if pa.types.is_decimal(kind):
        return pa.scalar(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-kind.scale)), kind)
    return pa.scalar(value, kind)


def _mendings(
    entity: tables.Entity,
    staged: engine.Numbered,
    wanted: Mapping[str, settings.CleanColumn],
    fills: Mapping[str, float],
    limits: Mapping[str, tuple[float, float]],
    models: tuple[str, ...],
) -> tuple[Mending, ...]:
    """What will be changed, counted beforehand."""
    told = []
    for name, column in wanted.items():
        if name in fills:
            words = f"{name}: missing values filled by the {column.missing}, {fills[name]:.6g}"
            told.append((name, words, f"{engine.quoted(name)} is null"))
        if name in models:
            told.append((name, f"{name}: missing values filled by the model", f"{engine.quoted(name)} is null"))
        if name in limits:
            low, high = limits[name]
            words = f"{name}: outliers set to the limits, {low:.6g} to {high:.6g}"
            told.append((name, words, f"{engine.quoted(name)} < {low!r} or {engine.quoted(name)} > {high!r}"))
    if not told:
        return ()
    key = ", ".join(f"coalesce({engine.quoted(column)}::varchar, 'null')" for column in entity.key)
    key = f"concat_ws('/', {key})"
    parts = ", ".join(
        f"count(*) filter (where {is_it}) as n{i}, min({key}, {EXAMPLES}) filter (where {is_it}) as e{i}"
        for i, (_, _, is_it) in enumerate(told)
    )
    statement = f"select {parts} from staged.rows where not is_deleted"  # noqa: S608
    [row] = engine.table_of(engine.query(statement, {"staged.rows": staged})).to_pylist()
    return tuple(
        Mending(column, words, row[f"n{i}"], list(row[f"e{i}"] or [])) for i, (column, words, _) in enumerate(told)
    )
