"""
validate: the gates between the stages, one suite of rules per table in `include/expectations/<table>.yaml`.

The raw gate judges what the extract has staged: rows that break a rule of severity `quarantine` go to `quarantine.rows`
with their reasons, the others are accepted into the history, and from then on the day knows them. The gates of the
features and of the scores judge a day's table as it lies. A rule of severity `stop` that is broken stops the run before
anything after it has changed. What every rule found goes to `quality.results` and to the Data Docs, whatever it was.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from segmentation import (
    engine,
    erasures,
    gate,
    history,
    incoming,
    judged_rows,
    lake,
    measures,
    row_rules,
    settings,
    suites,
    tables,
    turns,
    verdict,
)
from segmentation.errors import FinalError
from segmentation.incoming import Incoming
from segmentation.row_rules import Checked, Findings, Parent
from segmentation.settings import Stores
from segmentation.suites import QUARANTINE, READABLE, STOP, WARN, Rule, Suite
from segmentation.verdict import Verdict

log = logging.getLogger(__name__)


class DisagreementError(FinalError):
    """Great Expectations refuses rows that the same rule in SQL let pass: a mistake in `row_rules`, not in the data."""


@dataclass(frozen=True)
class _Judged:
    """An entity that was judged: what was known and what was looked at, and what was found."""

    known: engine.Versions
    incoming: Incoming
    findings: Findings
    verdict: Verdict


@turns.takes_turns(lambda _: [entity.staged for entity in tables.ENTITIES.values()])
@erasures.holds_off_erasure
def accept_raw(day: dt.date, stores: Stores, run_id: str | None = None, *, is_reload: bool = False) -> dict[str, Any]:
    """Judges what was staged for a day, and accepts what is good of it, all entities at once.

    A day that has passed the gate already keeps what it knows.

    :param run_id: the run of the DAG, for `quality.results` and `quarantine.rows`.
    :param is_reload: rows were staged once more for a day that has passed.
    :returns: `batch`, and for each table `rows`, `accepted`, `quarantined`, `taken_back`, `kept_out` (of persons who
        were erased) and `warnings`, which name no row; or `accepted_batch`, where there was nothing to judge.
    :raises gate.GateError: with a line per broken rule. Nothing was accepted.
    :raises lake.MissingDayError: an entity was not staged.
    """
    batch = history.accepted_batch(stores, day)
    if batch is not None and not is_reload:
        return {"accepted_batch": batch}
    verdict.make_ready()
    try:
        judged = _judge_all(day, stores)
    except lake.MissingDayError:
        batch = history.accepted_batch(stores, day)
        if batch is None or is_reload:
            raise
        return {"accepted_batch": batch}  # by another run, while this one was at it
    verdicts = [each.verdict for each in judged.values()]
    gate.report(verdicts, "raw", day, stores, run_id)
    parts = {name: _part(tables.ENTITIES[name], each, day, run_id) for name, each in judged.items()}
    batch = history.append(stores, day, parts, is_reload=is_reload)
    return {"batch": batch, "tables": {each.verdict.table: _summary(each) for each in judged.values()}}


@turns.takes_turns(lambda told: [told["table"]])
@erasures.holds_off_erasure
def validate_table(table: str, day: dt.date, stores: Stores, run_id: str | None = None) -> dict[str, Any]:
    """Checks one table's day against its suite.

    :param table: a lake table by day with a suite: `feat.customer_daily` or `score.customer_daily`.
    :returns: `table`, `rows`, `rules` (how many there are) and `warnings`, which name no row.
    :raises gate.GateError: with a line per broken rule.
    :raises lake.MissingDayError: the table's day has not been written.
    """
    path = lake.existing(stores.lake, table, day)
    verdict.make_ready()
    with lake.open_parquet(stores.lake, table, day) as file:
        schema = file.schema_arrow
    suite = suites.read(table, suites.parameters(day))
    missing = [c for c in dict.fromkeys(c for rule in suite.rows for c in rule.columns) if c not in schema.names]
    if missing:
        raise gate.GateError(f"{table} of {day}: column {', '.join(missing)} is missing")
    parents = {parent: _parent_of_day(parent, day, stores) for parent in suite.parents}
    checked = Checked(table, path, suite.key, schema)
    findings = row_rules.find(checked, suite.rows, parents, rows_at_once=settings.load().gates.rows_at_once)
    _compare(checked, suite.rows, findings)
    wanted = _rows_of(suite.same_rows_as, day, stores) if suite.same_rows_as else None
    profile = measures.of_table(path, schema, _drifting(suite), wanted, _same_table_before(table, day, stores))
    results = verdict.of_rows(findings) + verdict.of_whole(table, suite.whole, profile, findings.rows)
    told = Verdict(table, findings.rows, 0, results)
    gate.report([told], table, day, stores, run_id)
    return {"table": table, "rows": findings.rows, "rules": len(results), "warnings": told.summary(WARN)}


def _judge_all(day: dt.date, stores: Stores) -> dict[str, _Judged]:
    """Every entity in the order of their references; not those that refer to one that stops the run anyway."""
    judged: dict[str, _Judged] = {}
    broken: set[str] = set()
    for entity in tables.ENTITIES.values():
        suite = suites.read(entity.table, suites.parameters(day, _latest_update(entity, day, stores)))
        if reasons := broken & set(suite.parents):
            log.warning("%s was not checked, because %s is broken", entity.table, min(reasons))
        else:
            judged[entity.name] = _judge(entity, suite, judged, day, stores)
            told = judged[entity.name].verdict
            log.info("%s: %s rows, %s to quarantine", told.table, f"{told.rows:,}", f"{told.quarantined:,}")
        if entity.name not in judged or judged[entity.name].verdict.stops:
            broken.add(entity.table)
    return judged


def _judge(entity: tables.Entity, suite: Suite, judged: Mapping[str, _Judged], day: dt.date, stores: Stores) -> _Judged:
    parents = {table: _parent_of_run(table, judged[table.removeprefix("raw.")]) for table in suite.parents}
    known = history.latest(stores, entity.name)
    found = incoming.gather(entity, suite, known, parents, day, stores)
    checked = Checked(entity.table, found.path, entity.key, entity.schema, entity.time, has_deletions=True)
    rules = (*(_unreadable(column) for column in found.unreadable), *suite.rows, *found.cleaning.rules)
    keeps_latest = settings.load().clean.duplicates == "latest"
    findings = row_rules.find(checked, rules, parents, keeps_latest=keeps_latest)
    _compare(checked, rules, findings)
    recent = history.recent_batches(stores, entity.name, settings.load().gates.history_days)
    versions = sum(file.rows for file in history.files_of(stores, entity.name))
    profile = measures.of_batch(findings, known, day, _drifting(suite), recent, versions)
    results = verdict.of_cleaning(found.cleaning.mendings, findings.rows - findings.deletions)
    results += verdict.of_rows(findings) + verdict.of_whole(entity.table, suite.whole, profile, findings.rows)
    return _Judged(known, found, findings, Verdict(entity.table, findings.rows, findings.bad.num_rows, results))


def _compare(checked: Checked, rules: tuple[Rule, ...], findings: Findings) -> None:
    """Has Great Expectations look once more at a sample of the rows that passed.

    :raises DisagreementError: it finds one that breaks a rule.
    """
    broken = [count.rule for count in findings.counts if count.unexpected and count.rule.severity != QUARANTINE]
    asked = [rule for rule in rules if rule.severity in (QUARANTINE, STOP) and rule not in broken]
    from segmentation import expectations

    frame = judged_rows.sample_of_good(checked, findings.bad, asked)
    if frame.empty:
        return
    for outcome in expectations.run(checked.table, asked, frame):
        if not outcome.is_met:
            raise DisagreementError(
                f"{checked.table}: Great Expectations finds {outcome.unexpected:,} rows of which {outcome.rule.name!r} "
                f"holds, for example {', '.join(map(str, outcome.values))}; segmentation.row_rules let them pass"
            )


def _parent_of_run(table: str, judged: _Judged) -> Parent:
    entity = tables.ENTITIES[table.removeprefix("raw.")]
    return Parent(
        table,
        entity.key[0],
        judged.known if judged.known.files else None,
        incoming=judged.incoming.path,
        bad=judged.findings.bad,
        is_required=entity.required,
    )


def _parent_of_day(table: str, day: dt.date, stores: Stores) -> Parent:
    entity = tables.ENTITIES.get(table.removeprefix("raw."))
    if entity is not None:
        return Parent(table, entity.key[0], history.known(stores, entity.name, day), is_required=True)
    return Parent(table, "customer_id", lake.existing(stores.lake, table, day), is_required=True)


def _part(entity: tables.Entity, judged: _Judged, day: dt.date, run_id: str | None) -> history.Part:
    """What of a judged entity goes where."""
    path, findings = judged.incoming.path, judged.findings
    taken_back = judged_rows.taken_back(findings) if judged.incoming.taken_back else ()
    rows: Callable[[], Iterator[pa.RecordBatch]] = partial(judged_rows.good_rows, findings, entity.version_schema)
    if not findings.bad.num_rows:
        rows = partial(_columns_of, path, entity.version_schema)
    refused = judged_rows.refused(findings, entity.schema, day, run_id) if findings.bad.num_rows else ()
    return history.Part(rows, judged.incoming.staged_rows, refused, taken_back)


def _columns_of(path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in lake.batches_of(path, incoming.BATCH_ROWS):
        yield batch.select(schema.names)


def _summary(judged: _Judged) -> dict[str, Any]:
    told = judged.verdict
    return {
        "rows": told.rows,
        "accepted": told.rows - told.quarantined,
        "quarantined": told.quarantined,
        "taken_back": judged.incoming.taken_back,
        "kept_out": judged.incoming.kept_out,
        "warnings": told.summary(WARN),
    }


def _unreadable(column: str) -> Rule:
    return Rule(f"{column} cannot be read as its type", QUARANTINE, READABLE, {"column": column})


def _latest_update(entity: tables.Entity, day: dt.date, stores: Stores) -> dt.datetime | None:
    """The latest `updated_at` that the extract has seen."""
    with lake.open_parquet(stores.lake, entity.staged, day) as file:
        told = (file.metadata.metadata or {}).get(b"watermark", b"").decode()
    return dt.datetime.fromisoformat(told) if told else None


def _drifting(suite: Suite) -> list[str]:
    """The columns whose distribution the suite asks about."""
    names = [column for rule in suite.whole for column in rule.columns if column.startswith(measures.DRIFT)]
    return [name.removeprefix(measures.DRIFT) for name in names]


def _rows_of(table: str, day: dt.date, stores: Stores) -> int:
    with lake.open_parquet(stores.lake, table, day) as file:
        return file.metadata.num_rows


def _same_table_before(table: str, day: dt.date, stores: Stores) -> str | None:
    """The table of the last day before this one, if that is not too long ago to compare with."""
    oldest = day - dt.timedelta(days=settings.load().gates.history_days)
    days = [each for each in lake.days_of(stores.lake, table) if oldest <= each < day]
    return lake.path(stores.lake, table, days[-1]) if days else None
