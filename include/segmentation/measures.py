"""
Measures: what a table's rules look at, as one row of numbers: shares, ages, yesterday against the days before, drift.

A measure that cannot be taken (too few rows, too short a history) is None and breaks no rule.
"""

import datetime as dt
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa

from segmentation import engine, settings
from segmentation.row_rules import EXAMPLES, Checked, Findings, engine_of
from segmentation.suites import Rule

DRIFT = "psi."
_DAY = dt.timedelta(days=1)
_FEWEST_DAYS = 14
_SAME_WEEKDAYS = 3
_BUSY = 0.8
_FEW_DELETIONS = 0.01


@dataclass
class Profile:
    """The measures of a table.

    :param values: measure -> number, or None where it could not be taken.
    :param examples: measure -> keys that show what it is about.
    :param counts: measure -> (rows it counts, out of how many), where it is a share.
    :param remarks: measure -> what else there is to say.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DayCount:
    """What happened on one day: how many rows, when the last was, and three keys."""

    day: dt.date
    rows: int
    last_at: dt.datetime
    examples: Sequence[str] = ()


def of_batch(
    findings: Findings,
    known: engine.Input,
    day: dt.date,
    drift: Sequence[str],
    recent_batches: Sequence[int] = (),
    versions: int = 0,
    config: settings.Gates | None = None,
) -> Profile:
    """What a day brought of an entity, measured against what is known of it.

    :param drift: columns whose distribution is compared with the recent days.
    :param recent_batches: rows of the batches of the recent days.
    :param versions: of rows that are known, which are at least as many as there are rows: these are only counted where
        it could matter.
    """
    config = config or settings.load().gates
    checked, profile = findings.checked, Profile()
    living, quarantined = findings.rows - findings.deletions, findings.bad.num_rows
    good = living - quarantined
    known_rows = versions
    if not good or findings.deletions > _FEW_DELETIONS * versions:
        known_rows = _count(known, config)
    profile.values["rows_in_all"] = good + max(0, known_rows - findings.deletions)
    _share(profile, "duplicate_share", findings.duplicates.unexpected, living, config)
    profile.examples["duplicate_share"] = findings.duplicates.examples
    _share(profile, "quarantined_share", quarantined, living, config)
    removed = (count for count in findings.counts if count.rule.severity == "quarantine" and count.unexpected)
    worst = sorted(removed, key=lambda count: -count.unexpected)
    profile.examples["quarantined_share"] = [key for count in worst for key in count.examples][:EXAMPLES]
    profile.remarks["quarantined_share"] = "; ".join(f"{c.rule.name}: {c.unexpected:,}" for c in worst[:EXAMPLES])
    _share(profile, "deleted_share", findings.deletions, known_rows, config)
    if findings.deletions:
        profile.examples["deleted_share"] = _deleted_keys(checked, config)
    usual = statistics.median(recent_batches) if len(recent_batches) >= config.history_days // 4 else 0
    enough = usual >= config.min_rows_a_day
    profile.values["batch_ratio"] = findings.rows / usual if enough else None
    profile.remarks["batch_ratio"] = f"{findings.rows:,} rows; usual are {usual:,.0f}" if enough else ""
    if checked.time:
        inputs = {"checked.batch": checked.input, "known.rows": known, "bad.rows": findings.bad}
        days, bins = _recent(checked, inputs, day, drift, config)
        _freshness(profile, days, inputs, checked, day, config)
        _last_day(profile, days, day, config)
        _drift(profile, bins, config)
    return profile


def of_table(
    table: str | pa.Table,
    schema: pa.Schema,
    drift: Sequence[str],
    wanted_rows: int | None = None,
    before: str | None = None,
    config: settings.Gates | None = None,
) -> Profile:
    """A table of one day, measured against the same of an earlier day.

    :param wanted_rows: how many rows it must have.
    :param before: the table of the earlier day.
    """
    config = config or settings.load().gates
    rows = _count(table, config)
    profile = Profile({"rows_in_all": rows, "rows_wanted": wanted_rows, "rows_ratio": None})
    if before is None:
        return profile
    rows_before = _count(before, config)
    if min(rows, rows_before) >= config.min_rows_drift:
        profile.values["rows_ratio"] = rows / rows_before
        profile.remarks["rows_ratio"] = f"{rows:,} rows; there were {rows_before:,}"
    sides = {"now": "select * from now.rows", "before": "select * from before.rows"}
    inputs = {"now.rows": table, "before.rows": before}
    if bins := _distributions(drift, schema, sides):
        _drift(profile, engine.table_of(engine.query(bins, inputs, engine_of(config))).to_pylist(), config)
    return profile


def as_frame(profile: Profile, rules: Sequence[Rule]) -> pd.DataFrame:
    """The measures that the rules look at as a table of one row, as float64."""
    names = dict.fromkeys(column for rule in rules for column in rule.columns)
    return pd.DataFrame({name: [profile.values.get(name)] for name in names}, dtype="float64")


def last_day_ratio(days: Mapping[dt.date, int], last: dt.date, config: settings.Gates) -> float | None:
    """Rows of the last day against the median of the days before it; shops that close on Sundays are no alarm.

    Of two comparisons, with all recent days and with the same weekday, the milder counts.

    >>> week = {dt.date(2026, 1, day): 100 for day in range(1, 29)}
    >>> last_day_ratio({**week, dt.date(2026, 1, 29): 10}, dt.date(2026, 1, 29), settings.Gates())
    0.1
    """
    span = [last - _DAY * back for back in range(1, config.history_days + 1)]
    first = min(days, default=last)
    before = [days.get(each, 0) for each in span if each >= first]
    if len(before) < _FEWEST_DAYS or statistics.median(before) < config.min_rows_a_day:
        return None
    weekday = [days.get(each, 0) for each in span if each >= first and each.weekday() == last.weekday()]
    usual = [statistics.median(before)]
    if len(weekday) >= _SAME_WEEKDAYS:
        usual.append(statistics.median(weekday))
    rows = days.get(last, 0)
    ratios = [1.0 if rows == each else math.inf if not each else rows / each for each in usual]
    return min(ratios, key=lambda ratio: abs(math.log(max(ratio, 1e-9))) if ratio != math.inf else math.inf)


def stability(now: Mapping[str, int], before: Mapping[str, int]) -> float:
    """The population stability index of two distributions: 0 the same, from 0.25 clearly another. Each bin counts half
    a row more, so that one that was empty has a share.

    >>> round(stability({"a": 50, "b": 50}, {"a": 90, "b": 10}), 2)
    0.85
    """
    bins = sorted(set(now) | set(before))  # in order, so that the last digit is the same each time
    total_now, total_before = (sum(side.values()) + len(bins) / 2 for side in (now, before))
    index = 0.0
    for each in bins:
        p, q = (now.get(each, 0) + 0.5) / total_now, (before.get(each, 0) + 0.5) / total_before
        index += (p - q) * math.log(p / q)
    return index


def _share(profile: Profile, name: str, part: int, whole: int, config: settings.Gates) -> None:
    """A share; a handful of rows is no matter for the whole table, however small that is."""
    profile.counts[name] = (part, whole)
    profile.values[name] = part / whole if whole and part >= config.few_rows else 0.0


def _freshness(
    profile: Profile,
    days: Sequence[DayCount],
    inputs: Mapping[str, engine.Input],
    checked: Checked,
    day: dt.date,
    config: settings.Gates,
) -> None:
    newest = max(days, key=lambda each: each.last_at, default=None)
    as_of = engine.midnight(day)
    if newest is None:
        row = f"select {checked.key_text} as key, {engine.quoted(checked.time)} as t"
        statement = f"""
            select max(t) as last_at, arg_max(key, concat(epoch_us(t), key), {EXAMPLES}) as examples from (
                {row} from ({_unchanged(checked)}) as k union all {row} from ({_good(checked)}) as g
            ) as r where t < {engine.literal(as_of)}
        """  # noqa: S608
        [found] = engine.table_of(engine.query(statement, inputs, engine_of(config))).to_pylist()
        if found["last_at"] is None:
            profile.values["newest_age_days"] = None
            return
        newest = DayCount(found["last_at"].date(), 0, found["last_at"], found["examples"])
    profile.values["newest_age_days"] = round((as_of - newest.last_at) / _DAY, 2)
    profile.examples["newest_age_days"] = list(newest.examples)
    profile.remarks["newest_age_days"] = f"the newest is of {newest.last_at:%Y-%m-%d %H:%M} UTC"


def _last_day(profile: Profile, days: Sequence[DayCount], day: dt.date, config: settings.Gates) -> None:
    by_day, last = {each.day: each for each in days}, day - _DAY
    counts = {each.day: each.rows for each in days}
    ratio = last_day_ratio(counts, last, config)
    profile.values["last_day_ratio"], profile.values["silent_hours_beyond_usual"] = ratio, None
    if ratio is None:
        return
    span = [last - _DAY * back for back in range(1, config.history_days + 1)]
    usual = statistics.median(counts.get(each, 0) for each in span if each >= min(counts))
    told = by_day.get(last)
    profile.remarks["last_day_ratio"] = f"{counts.get(last, 0):,} rows on {last}; usual are {usual:,.0f}"
    if told is None:
        profile.examples["last_day_ratio"] = list(by_day[max(by_day)].examples)
        return
    profile.examples["last_day_ratio"] = profile.examples["silent_hours_beyond_usual"] = list(told.examples)

    def silence(each: DayCount) -> float:
        return (engine.midnight(each.day + _DAY) - each.last_at) / dt.timedelta(hours=1)

    longest = max(silence(by_day[each]) for each in span if each in by_day)
    is_busy = told.rows >= _BUSY * usual
    profile.values["silent_hours_beyond_usual"] = 0.0 if is_busy else round(max(0.0, silence(told) - longest), 2)
    profile.remarks["silent_hours_beyond_usual"] = (
        f"{told.rows:,} rows on {last}, the last at {told.last_at:%H:%M} UTC; usual are {usual:,.0f}, "
        f"and at most {longest:.1f} silent hours at a day's end"
    )


def _drift(profile: Profile, bins: Iterable[Mapping[str, Any]], config: settings.Gates) -> None:
    sides: dict[str, dict[str, dict[str, int]]] = {}
    for each in bins:
        sides.setdefault(each["col"], {"now": {}, "before": {}})[each["side"]][each["bin"]] = each["rows"]
    for column, both in sides.items():
        rows = min(sum(side.values()) for side in both.values())
        enough = rows >= config.min_rows_drift
        profile.values[DRIFT + column] = round(stability(both["now"], both["before"]), 4) if enough else None


def _recent(
    checked: Checked, inputs: Mapping[str, engine.Input], day: dt.date, drift: Sequence[str], config: settings.Gates
) -> tuple[list[DayCount], list[dict]]:
    """What happened on each of the recent days, and how often values fall where, on the last day and before it.

    The recent rows are read once. Of a row that the batch has in a new version only that counts for its day. For the
    drift, the last day's rows of the batch stand against all that was known before: which older rows are updated has to
    do with what is in them.
    """
    time, key = engine.quoted(checked.time), ", ".join(map(engine.quoted, checked.key))
    columns = "".join(f", {engine.quoted(column)}" for column in drift)
    row = f"select {checked.key_text} as key, {time} as t{columns}"
    window, last = _window(checked, day, config), engine.literal(engine.midnight(day) - _DAY)
    sides = {
        "now": f"select * from recent where is_new and t >= {last}",  # noqa: S608
        "before": f"select * from recent where not is_new and t < {last}",  # noqa: S608
    }
    bins = _distributions(drift, checked.schema, sides)
    statement = f"""
        with recent as materialized (
            {row}, false as is_new, r.is_replaced is not null as is_old
            from (select * from known.rows where {window}) as k
            left join (select distinct {key}, true as is_replaced from checked.batch) as r using ({key})
            union all
            {row}, true as is_new, false as is_old from ({_good(checked)}) as g where {window}
        )
        select t::date as day, count(*) as rows, max(t) as last_at,
            arg_max(key, concat(epoch_us(t), key), {EXAMPLES}) as examples
        from recent where not is_old group by 1
        {"union all by name " + bins if bins else ""} order by day
    """  # noqa: S608
    found = engine.table_of(engine.query(statement, inputs, engine_of(config))).to_pylist()
    days = [each for each in found if each["day"] is not None]
    counted = [DayCount(each["day"], each["rows"], each["last_at"], each["examples"]) for each in days]
    return counted, [each for each in found if each["day"] is None]


def _distributions(columns: Sequence[str], schema: pa.Schema, sides: Mapping[str, str]) -> str:
    """SQL: `col`, `bin`, `side`, `rows`; each side is read once, whatever the number of columns. Empty for none."""
    places = [f"b{place}" for place, _ in enumerate(columns)]
    bins = ", ".join(f"{_bin(column, schema)} as {place}" for place, column in zip(places, columns, strict=True))
    which = " ".join(
        f"when grouping({place}) = 0 then {engine.literal(column)}"
        for place, column in zip(places, columns, strict=True)
    )
    return " union all by name ".join(
        f"select case {which} end as col, coalesce({', '.join(places)}) as bin, '{side}' as side, count(*) as rows "  # noqa: S608
        f"from (select {bins} from ({source}) as s) as t group by grouping sets ({', '.join(f'({p})' for p in places)})"
        for side, source in sides.items()
        if columns
    )


def _bin(column: str, schema: pa.Schema) -> str:
    """SQL: where a value falls: texts by themselves, numbers by powers of the square root of 2."""
    name, kind = engine.quoted(column), schema.field(column).type
    if settings.is_number(kind):
        scale = f"floor(2 * log2(abs({name}::double) + 1)) * sign({name}::double)"
        return f"case when isfinite({name}::double) then ({scale})::bigint::varchar else 'none' end"
    return f"coalesce({name}::varchar, 'none')"


def _good(checked: Checked) -> str:
    return (
        f"select * from ({checked.numbered}) as n where not is_deleted and row_no not in (select row_no from bad.rows)"  # noqa: S608
    )


def _unchanged(checked: Checked) -> str:
    """SQL: what is known, without the rows of which the batch brings another version."""
    key = ", ".join(map(engine.quoted, checked.key))
    return f"select * from known.rows anti join checked.batch using ({key})"  # noqa: S608


def _window(checked: Checked, day: dt.date, config: settings.Gates) -> str:
    as_of, time = engine.midnight(day), engine.quoted(checked.time)
    return f"{time} >= {engine.literal(as_of - _DAY * (config.history_days + 1))} and {time} < {engine.literal(as_of)}"


def _count(source: engine.Input, config: settings.Gates) -> int:
    found = engine.query("select count(*) as rows from counted.rows", {"counted.rows": source}, engine_of(config))
    return engine.table_of(found)["rows"][0].as_py()


def _deleted_keys(checked: Checked, config: settings.Gates) -> list[str]:
    statement = f"select {checked.key_text} as key from checked.batch where is_deleted limit {EXAMPLES}"  # noqa: S608
    return engine.table_of(engine.query(statement, {"checked.batch": checked.input}, engine_of(config)))[
        "key"
    ].to_pylist()
