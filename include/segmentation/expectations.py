"""The only door to Great Expectations: runs a suite's rules over a frame, and says in words what each asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import great_expectations as gx  # noqa: TID251 - the one importer
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite  # noqa: TID251 - the one importer
from great_expectations.data_context.types.base import (  # noqa: TID251 - the one importer
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from segmentation.suites import OWN_TYPES, Rule


@dataclass(frozen=True)
class Outcome:
    """What Great Expectations says of one rule.

    :param error: the message of an exception inside it, which it files instead of raising; None otherwise.
    """

    rule: Rule
    is_met: bool
    rows: int
    unexpected: int
    values: list[Any]
    error: str | None = None


def run(table: str, rules: Sequence[Rule], frame: pd.DataFrame) -> list[Outcome]:
    """Runs those rules that Great Expectations has over a frame; rules of our own are left out.

    Nothing is written and nothing leaves the process: an ephemeral context, because several tasks at once corrupt a
    shared file context.
    """
    known = [rule for rule in rules if rule.type not in OWN_TYPES and set(rule.columns) <= set(frame.columns)]
    if not known:
        return []
    in_memory = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False), analytics_enabled=False
    )
    context = gx.get_context(mode="ephemeral", project_config=in_memory)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": frame})
    suite = ExpectationSuite(
        name=table,
        expectations=[
            {"type": rule.type, "kwargs": dict(rule.kwargs), "meta": {"number": number}}
            for number, rule in enumerate(known)
        ],
    )
    outcome = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 3})
    results = sorted(outcome.results, key=lambda result: result.expectation_config.meta["number"])
    return [_outcome(rule, result, len(frame)) for rule, result in zip(known, results, strict=True)]


def in_words(rule: Rule) -> str:
    """What a rule asks for, from its type and arguments.

    >>> in_words(Rule("x", "stop", "expect_column_values_to_be_between", {"column": "a", "min_value": 0}))
    'a must be between (min_value=0)'
    """
    kwargs = dict(rule.kwargs)
    columns = [kwargs.pop(key) for key in ("column", "column_A", "column_B") if key in kwargs]
    columns += kwargs.pop("column_list", [])
    if rule.type == "references":
        return f"{columns[0]} must occur in {kwargs['table']}"
    name = rule.type.removeprefix("expect_")
    for prefix in ("compound_columns_", "column_pair_values_", "column_values_", "column_"):
        name = name.removeprefix(prefix)
    asked = name.removeprefix("to_").replace("a_to_be", "be").replace("_than_b", "_than").replace("_", " ")
    given = ", ".join(f"{key}={value}" for key, value in kwargs.items())
    must = "" if asked.startswith("be ") or asked.startswith("not ") else "be "
    return f"{', '.join(columns)} must {must}{asked}" + (f" ({given})" if given else "")


def _outcome(rule: Rule, result: Any, rows: int) -> Outcome:
    facts = result.result or {}
    return Outcome(
        rule=rule,
        is_met=bool(result.success),
        rows=rows,
        unexpected=int(facts.get("unexpected_count") or 0),
        values=list(facts.get("partial_unexpected_list") or []),
        error=_raised(result),
    )


def _raised(result: Any) -> str | None:
    info = result.exception_info or {}
    for each in (info, *(value for value in info.values() if isinstance(value, dict))):
        if each.get("raised_exception"):
            return str(each.get("exception_message"))
    return None
