"""
Verdicts: what the rules of a suite say of a table, rule by rule, and the same in words.
"""

import importlib
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from segmentation import measures
from segmentation.cleaning import Mending
from segmentation.measures import Profile
from segmentation.row_rules import EXAMPLES, Findings
from segmentation.suites import STOP, WARN, Rule

ROWS, TABLE, CLEANING = "rows", "table", "cleaning"
MEND = "mend"


@dataclass(frozen=True)
class Result:
    """What one rule found.

    :param scope: `rows`, `table` or `cleaning`.
    :param rows: how many rows were looked at.
    :param broken: how many of them break the rule, or were changed by cleaning.
    :param value: what a rule of the whole table has measured; None where it could not be taken.
    :param examples: keys of three rows that it is about.
    :param remark: what else there is to say.
    """

    rule: Rule
    scope: str
    is_met: bool
    rows: int
    broken: int = 0
    value: float | None = None
    examples: Sequence[str] = ()
    remark: str = ""


@dataclass(frozen=True)
class Verdict:
    """What all rules found in a table, of which `rows` were looked at and `quarantined` do not count."""

    table: str
    rows: int
    quarantined: int = 0
    results: Sequence[Result] = field(default_factory=list)

    @property
    def stops(self) -> list[str]:
        """What stops the run, in words."""
        return [in_words(self.table, r) for r in self.results if not r.is_met and r.rule.severity == STOP]

    @property
    def warnings(self) -> list[str]:
        """What somebody should look at, in words."""
        return [in_words(self.table, r) for r in self.results if not r.is_met and r.rule.severity == WARN]

    def summary(self, severity: str) -> list[str]:
        """What broke of the rules of a severity, in words that name no row: for what others may read."""
        return [without_keys(self.table, r) for r in self.results if not r.is_met and r.rule.severity == severity]


def make_ready() -> None:
    """Begins to import Great Expectations: that takes more than two seconds, in which the engine or the database can
    work already. So it is imported late here."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of everything that it registers
    threading.Thread(target=importlib.import_module, args=("segmentation.expectations",), daemon=True).start()


def of_rows(findings: Findings) -> list[Result]:
    """The results of the rules that look at each row."""
    judged = findings.rows - findings.deletions
    return [
        Result(count.rule, ROWS, not count.unexpected, judged, count.unexpected, examples=count.examples)
        for count in findings.counts
    ]


def of_whole(table: str, rules: Sequence[Rule], profile: Profile, rows: int) -> list[Result]:
    """The results of the rules that look at what was measured of a table; Great Expectations judges them.

    :raises expectations.NotCheckedError: a rule could not be checked.
    """
    from segmentation import expectations

    outcomes = expectations.run(table, rules, measures.as_frame(profile, rules))
    return [
        Result(
            outcome.rule,
            TABLE,
            outcome.is_met,
            rows,
            broken=profile.counts.get(name, (0, 0))[0],
            value=profile.values.get(name),
            examples=profile.examples.get(name, ()),
            remark=_measured(outcome.rule, profile),
        )
        for outcome in outcomes
        for name in [outcome.rule.columns[0]]
    ]


def of_cleaning(mendings: Iterable[Mending], rows: int) -> list[Result]:
    """What cleaning has changed."""
    return [
        Result(
            Rule(mending.told, MEND, CLEANING, {"column": mending.column}),
            CLEANING,
            True,
            rows,
            mending.rows,
            examples=mending.examples,
        )
        for mending in mendings
    ]


def in_words(table: str, result: Result) -> str:
    """A result as a sentence: table, rule, how many, and three keys."""
    keys = [str(key) for key in result.examples[:EXAMPLES]]
    examples = f", for example {', '.join(keys)}" if keys else ""
    return without_keys(table, result) + examples


def without_keys(table: str, result: Result) -> str:
    """A result as a sentence that tells of no single row."""
    if result.scope == TABLE:
        return f"{table}: {result.rule.name}: {result.remark}"
    return f"{table}: {result.rule.name}: {result.broken:,} of {result.rows:,} rows"


def _measured(rule: Rule, profile: Profile) -> str:
    """What was measured, against what is allowed: `612 of 9,000 rows, 6.8 % (at most 5 %): price is negative: 600`."""
    names = rule.columns
    value, remark = profile.values.get(names[0]), profile.remarks.get(names[0], "")
    is_share = names[0] in profile.counts
    if len(names) > 1:
        found = ", ".join(f"{name} {_number(profile.values.get(name))}" for name in names)
    elif is_share:
        part, whole = profile.counts[names[0]]
        found = f"{part:,} of {whole:,} rows, {part / whole if whole else 0:.1%}"
    else:
        found = f"{names[0]} is {_number(value)}"
    bounds = [
        f"{word} {f'{limit:.0%}' if is_share else _number(limit)}"
        for word, limit in (("at least", rule.kwargs.get("min_value")), ("at most", rule.kwargs.get("max_value")))
        if limit is not None
    ]
    return found + (f" ({', '.join(bounds)})" if bounds else "") + (f": {remark}" if remark else "")


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.6g}"
