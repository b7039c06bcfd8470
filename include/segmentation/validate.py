"""
validate: the gates between the stages, one Great Expectations suite per table in `include/expectations/<table>.yaml`.

A suite is the `expectations` of GX as they stand (type and kwargs), plus two rules of ours: `references` (a column's
values must all occur in another table's key of the same name) and `same_rows_as` (row counts are equal). Values that
depend on the day are suite parameters: `{$PARAMETER: as_of}` (its midnight, UTC) and `{$PARAMETER: only_day}` (the
set of that one date).
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import great_expectations as gx  # noqa: TID251 - the one importer
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from great_expectations.core.expectation_suite import ExpectationSuite  # noqa: TID251 - the one importer
from great_expectations.data_context.types.base import (  # noqa: TID251 - the one importer
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from segmentation import lake
from segmentation.engine import midnight
from segmentation.errors import FinalError
from segmentation.settings import Stores

SUITES_HOME = Path(__file__).resolve().parents[1] / "expectations"
EXAMPLES = 3


class GateError(FinalError):
    """A table breaks its suite. Says table, column, rule, how many rows, and examples; nothing downstream has run."""


def validate_table(table: str, day: dt.date, stores: Stores) -> dict[str, Any]:
    """Checks one table's day against its suite.

    :param table: a lake table with a suite, e.g. `raw.orders`.
    :returns: `table`, `rows` and `expectations` (how many were met).
    :raises GateError: with a line per broken rule.
    :raises lake.MissingDayError: the table's day has not been written.
    """
    suite = yaml.safe_load((SUITES_HOME / f"{table}.yaml").read_text(encoding="utf-8"))
    broken = list(_broken_counts(table, suite, day, stores))
    frame, missing = _frame(table, suite, day, stores)
    broken += [f"{table}: column {column} is missing" for column in missing]
    expectations = [e for e in suite["expectations"] if not set(_columns_of(e)) & set(missing)]
    expectations += [*_reference_rules(table, suite, frame, day, stores)]
    results = _run(table, expectations, frame, {"as_of": midnight(day), "only_day": [day]})
    broken += [_in_words(table, result, len(frame)) for result in results if not result.success]
    if broken:
        raise GateError(
            f"{table} of {day} breaks {len(broken)} rule(s); nothing after it has run:\n" + "\n".join(broken)
        )
    return {"table": table, "rows": len(frame), "expectations": len(results)}


def _run(table: str, expectations: list[dict], frame: pd.DataFrame, parameters: dict[str, Any]) -> list:
    # An ephemeral context: several tasks at once corrupt a shared file context.
    in_memory = DataContextConfig(store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False))
    context = gx.get_context(mode="ephemeral", project_config=in_memory)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("lake").add_dataframe_asset(table).add_batch_definition_whole_dataframe("day")
    )
    suite = ExpectationSuite(
        name=table, expectations=[{"type": e["type"], "kwargs": e["kwargs"]} for e in expectations]
    )
    outcome = batch.get_batch({"dataframe": frame}).validate(
        suite,
        result_format={"result_format": "BASIC", "partial_unexpected_count": EXAMPLES},
        expectation_parameters=parameters,
    )
    return list(outcome.results)


def _frame(table: str, suite: dict, day: dt.date, stores: Stores) -> tuple[pd.DataFrame, list[str]]:
    """The columns that the suite looks at, and those among them that are not there. Decimals as floats, for speed."""
    wanted = dict.fromkeys(column for e in suite["expectations"] for column in _columns_of(e))
    wanted |= dict.fromkeys(suite.get("references", {}))
    with lake.open_parquet(stores.lake, table, day) as file:
        names = file.schema_arrow.names
        data = file.read(columns=[column for column in wanted if column in names])
    for index, field in enumerate(data.schema):
        if pa.types.is_decimal(field.type):
            data = data.set_column(index, field.name, data.column(index).cast(pa.float64()))
    return data.to_pandas(), [column for column in wanted if column not in names]


def _columns_of(expectation: dict) -> list[str]:
    kwargs = expectation["kwargs"]
    single = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return single + list(kwargs.get("column_list", []))


def _reference_rules(table: str, suite: dict, frame: pd.DataFrame, day: dt.date, stores: Stores) -> Iterator[dict]:
    """A reference as an expectation: none of the values that the other table lacks may occur."""
    for column, other in suite.get("references", {}).items():
        if column not in frame:
            continue
        known = lake.read(stores.lake, other, day, [column])[column]
        values = pa.array(frame[column].dropna().unique(), known.type)
        orphans = values.filter(pc.invert(pc.is_in(values, value_set=known)))
        yield {
            "type": "expect_column_values_to_not_be_in_set",
            "kwargs": {"column": column, "value_set": orphans.to_pylist(), "meta": {"rule": f"must occur in {other}"}},
        }


def _broken_counts(table: str, suite: dict, day: dt.date, stores: Stores) -> Iterator[str]:
    other = suite.get("same_rows_as")
    if other:
        rows = lake.open_parquet(stores.lake, table, day).metadata.num_rows
        wanted = lake.open_parquet(stores.lake, other, day).metadata.num_rows
        if rows != wanted:
            yield f"{table}: {rows:,} rows, but {other} has {wanted:,}"


def _in_words(table: str, result, rows: int) -> str:
    """One broken expectation as a sentence; an error inside GX is told apart from bad data."""
    config = result.expectation_config
    kwargs = {key: value for key, value in config.kwargs.items() if key not in ("batch_id", "meta")}
    column = kwargs.pop("column", None) or ", ".join(kwargs.pop("column_list", [])) or kwargs.pop("column_A", None)
    rule = (config.meta or {}).get("rule") or _rule(config.type, kwargs)
    subject = f"{table}.{column}" if column else table
    error = _raised(result)
    if error:
        return f"{subject}: {rule} could not be checked: {error}"
    facts = result.result or {}
    if "unexpected_count" in facts:
        count = facts["unexpected_count"]
        examples = ", ".join(map(str, facts.get("partial_unexpected_list", [])[:EXAMPLES]))
        example = f", for example {examples}" if examples else ""
        return f"{subject}: {rule}: {count:,} of {rows:,} rows do not{example}"
    return f"{subject}: {rule}, but it is {facts.get('observed_value')}"


def _rule(kind: str, kwargs: dict[str, Any]) -> str:
    name = kind.removeprefix("expect_").removeprefix("column_").removeprefix("table_")
    words = name.removeprefix("values_").replace("_to_", " must ", 1) if "_to_" in name else name
    words = words.replace("to_", "must ", 1) if words.startswith("to_") else words
    given = ", ".join(f"{key}={value}" for key, value in kwargs.items())
    return words.replace("_", " ") + (f" ({given})" if given else "")


def _raised(result) -> str | None:
    """The message of an exception inside GX, which does not raise it but files it under the metric's name."""
    info = result.exception_info or {}
    for each in (info, *(value for value in info.values() if isinstance(value, dict))):
        if each.get("raised_exception"):
            return str(each.get("exception_message"))
    return None
