"""The only door to Great Expectations: runs a suite's rules over a frame, and draws the Data Docs of what was found."""

import datetime as dt
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import great_expectations as gx  # noqa: TID251 - the one importer
import pandas as pd
from great_expectations.core import (  # noqa: TID251 - the one importer
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.core.expectation_suite import ExpectationSuite  # noqa: TID251 - the one importer
from great_expectations.data_context.types.base import (  # noqa: TID251 - the one importer
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.expectation_configuration import (  # noqa: TID251 - the one importer
    ExpectationConfiguration,
)
from great_expectations.render.renderer import ValidationResultsPageRenderer  # noqa: TID251 - the one importer
from great_expectations.render.view import DefaultJinjaPageView  # noqa: TID251 - the one importer

from segmentation.errors import FinalError
from segmentation.suites import OWN_TYPES, Rule

if TYPE_CHECKING:
    from segmentation.verdict import Result


class NotCheckedError(FinalError):
    """Great Expectations could not check a rule; it files such errors instead of raising them."""


@dataclass(frozen=True)
class Outcome:
    """What Great Expectations says of one rule: whether it is met, how many rows break it, and three of the values."""

    rule: Rule
    is_met: bool
    unexpected: int
    values: list[Any]


def run(table: str, rules: Sequence[Rule], frame: pd.DataFrame) -> list[Outcome]:
    """Runs those rules that Great Expectations has over a frame (n, columns); rules of our own are left out.

    A null breaks only "not null": Great Expectations itself skips it in one column, and here in pairs of columns too.

    Nothing is written and nothing leaves the process.

    :raises NotCheckedError: a rule could not be checked: it names a column that is not there, or an odd value.
    """
    known = [rule for rule in rules if rule.type not in OWN_TYPES]
    if not known:
        return []
    source = _source()
    asset = source.add_dataframe_asset(f"{table} {len(source.assets)}")
    batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": frame})
    suite = ExpectationSuite(
        name=table,
        expectations=[
            {"type": rule.type, "kwargs": _kwargs(rule), "meta": {"number": number}}
            for number, rule in enumerate(known)
        ],
    )
    outcome = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 3})
    results = sorted(outcome.results, key=lambda result: result.expectation_config.meta["number"])
    return [_outcome(table, rule, result) for rule, result in zip(known, results, strict=True)]


@cache
def _view() -> DefaultJinjaPageView:
    """One for all pages: it compiles its templates once."""
    return DefaultJinjaPageView()


@cache
def _source():
    """Where frames are handed in, in an ephemeral context: several tasks at once corrupt a shared file context."""
    in_memory = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False), analytics_enabled=False
    )
    context = gx.get_context(mode="ephemeral", project_config=in_memory)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context.data_sources.add_pandas("lake")


def page(table: str, results: Sequence["Result"], day: dt.date, run_id: str | None, style: str) -> str:
    """What was found in a table as a page of Great Expectations' Data Docs: HTML that needs no other file and host.

    The counts are those of the whole table, which `row_rules` has taken, and the examples are keys.

    :param style: CSS, in the place of the stylesheets that the page would fetch.
    """
    told = [_told(result) for result in results]
    met = sum(result.is_met for result in results)
    suite = ExpectationSuiteValidationResult(
        success=met == len(results),
        results=told,
        suite_name=table,
        statistics={
            "evaluated_expectations": len(told),
            "successful_expectations": met,
            "unsuccessful_expectations": len(told) - met,
            "success_percent": 100 * met / max(1, len(told)),
        },
        meta={
            "batch_kwargs": {"data_asset_name": f"{table}, {day}"},
            "run_id": {"run_name": html.escape(run_id or ""), "run_time": f"{day}T00:00:00+00:00"},
            "great_expectations_version": gx.__version__,
        },
    )
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(suite)
    return _standing_alone(_view().render(document), table, style)


def _told(result: "Result") -> ExpectationValidationResult:
    """A result as Great Expectations would have told it of the whole table."""
    rule = result.rule
    facts: dict[str, Any] = {"observed_value": html.escape(result.remark)}
    if result.scope != "table":
        share = 100 * result.broken / max(1, result.rows)
        facts = {
            "element_count": result.rows,
            "missing_count": 0,
            "missing_percent": 0.0,
            "unexpected_count": result.broken,
            "unexpected_percent": share,
            "unexpected_percent_total": share,
            "unexpected_percent_nonmissing": share,
            "partial_unexpected_list": [html.escape(key) for key in result.examples],  # they go out as they stand
        }
    has_own_type = rule.type in OWN_TYPES or result.scope == "cleaning"
    config = ExpectationConfiguration(
        type="expect_column_values_to_be_in_set" if has_own_type else rule.type,
        kwargs={"column": rule.columns[0], "value_set": []} if has_own_type else _printable(dict(rule.kwargs)),
        description=f"{rule.name} ({rule.severity})",  # stands for the text that Great Expectations would make
    )
    return ExpectationValidationResult(success=result.is_met, expectation_config=config, result=facts)


def _printable(value: Any) -> Any:
    if isinstance(value, dt.date):
        return str(value)
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    return [_printable(each) for each in value] if isinstance(value, list) else value


def _standing_alone(page_text: str, table: str, style: str) -> str:
    """Without scripts and what would be fetched from other hosts; its links lead to pages that there are."""
    for pattern in (r"<script.*?</script>", r"<link[^>]*\bhref=[^>]*>", r"<img[^>]*>", r"<footer>.*?</footer>"):
        page_text = re.sub(pattern, "", page_text, flags=re.DOTALL)
    page_text = re.sub(r"<style.*?</style>", "", page_text, flags=re.DOTALL)
    page_text = re.sub(r'href="(\.\./)+index\.html"', 'href="index.html"', page_text)
    page_text = re.sub(r'<a[^>]*href="(\.\./)+expectations/[^"]*"[^>]*>(.*?)</a>', r"\2", page_text, flags=re.DOTALL)
    page_text = page_text.replace("<title></title>", "").replace(
        "<title>Data documentation compiled by", f"<title>{table}:"
    )
    policy = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
    return page_text.replace("</head>", f"{policy}<style>{style}</style></head>", 1)


def _kwargs(rule: Rule) -> dict[str, Any]:
    kwargs = dict(rule.kwargs)
    return kwargs | {"ignore_row_if": "either_value_is_missing"} if "column_A" in kwargs else kwargs


def _outcome(table: str, rule: Rule, result: Any) -> Outcome:
    error = _raised(result)
    if error:
        raise NotCheckedError(f"{table}: {rule.name!r} could not be checked: {error}")
    facts = result.result or {}
    return Outcome(
        rule=rule,
        is_met=bool(result.success),
        unexpected=int(facts.get("unexpected_count") or 0),
        values=list(facts.get("partial_unexpected_list") or []),
    )


def _raised(result: Any) -> str | None:
    info = result.exception_info or {}
    for each in (info, *(value for value in info.values() if isinstance(value, dict))):
        if each.get("raised_exception"):
            return str(each.get("exception_message"))
    return None
