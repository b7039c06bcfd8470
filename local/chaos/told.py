"""What the pipeline has published and keeps, so that two histories of the same days can be held against each other.

Left out is what differs between two undisturbed runs as well: numbers that the database or MLflow draws (of snapshots,
changes, batches, runs, versions), and the times at which something was done. Whatever refers to such a number is told
by what the number stands for: a model's version by its training day and the digest of its files.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from local.stack import Addresses
from segmentation import lake as lakes
from segmentation import tables, warehouse
from segmentation.registry import Registry, Version

Rows = list[tuple]
Told = Mapping[str, Rows]
EXAMPLES = 2
_DRAWN = {"snapshot_id", "scored_at", "model_versions", "dag_run_id", "created_at", "published_at", "change_id"}
_OF_DAY = (tables.CUSTOMER_FEATURES, tables.CUSTOMER_SCORES, tables.RECOMMENDATIONS, tables.STRATEGIES)

_SEGMENT_COLUMNS = """
select column_name from information_schema.columns
where table_schema = 'marketing' and table_name = 'customer_segments' order by ordinal_position
"""
_FEED = """
select dense_rank() over (order by p.publication_id), p.kind, c.customer_id, c.change, c.from_segment_id,
    c.to_segment_id, c.from_strategy_id, c.to_strategy_id, c.as_of_date
from marketing.segment_changes as c
inner join marketing_internal.publications as p on c.change_id between p.first_change_id and p.last_change_id
order by 1, 3
"""
# Of the feed, by runs that erased: the line of each person tells of all persons of its run
_TAKEN_OUT = """
select coalesce(sum((removed ->> 'marketing_internal.change_rows')::bigint), 0)::bigint
from (select distinct run_id, removed from privacy.erasures) as of_runs
"""
# name -> (a relation that is there, the query)
_QUERIES = {
    "feed": ("marketing_internal.publications", _FEED),
    "history": (
        "marketing.segment_history",
        "select customer_id, segment_id, segment_name, value_tier, strategy_id, valid_from, valid_to "
        "from marketing.segment_history order by customer_id, valid_from",
    ),
    "published days": (
        "marketing.snapshots",
        "select as_of_date, row_count from marketing.snapshots where status = 'published' order by 1",
    ),
    "segment profiles": (
        "marketing.segment_profiles",
        "select s.as_of_date, to_jsonb(p) - 'snapshot_id' from marketing.segment_profiles as p "
        "inner join marketing.snapshots as s using (snapshot_id) where s.status = 'published' order by 1, 2",
    ),
    "page counts": (
        "marketing_internal.page_counts",
        "select s.as_of_date, to_jsonb(p) - 'snapshot_id' from marketing_internal.page_counts as p "
        "inner join marketing.snapshots as s using (snapshot_id) where s.status = 'published' order by 1, 2",
    ),
    "campaign results": (
        "evaluation.campaign_results",
        "select to_jsonb(r) from evaluation.campaign_results as r order by 1",
    ),
    "product movement": (
        "marketing_internal.product_movement_rows",
        "select to_jsonb(r) from marketing_internal.product_movement_rows as r order by 1",
    ),
    "performance": ("ops.performance", "select to_jsonb(r) - 'version' from ops.performance as r order by 1"),
    "drift": ("ops.drift", "select to_jsonb(r) from ops.drift as r order by 1"),
    "retrains": ("ops.retrains", "select to_jsonb(r) from ops.retrains as r order by 1"),
    "accepted days": ("ops.acceptances", "select day from ops.acceptances order by batch"),
    "accepted rows": (
        "ops.versions",
        "select entity, sum(row_count)::bigint from ops.versions where retired_at is null group by 1 order by 1",
    ),
    "watermarks": ("ops.watermarks", "select entity, watermark from ops.watermarks order by 1"),
    "quarantine": (
        "quarantine.rows",
        "select table_name, reason, count(*) from quarantine.rows where source = 'raw gate' "
        "group by 1, 2 order by 1, 2",
    ),
    "erased persons": (
        "privacy.erasures",
        "select count(distinct id_hash) from privacy.erasures where finished_at is not null",
    ),
}


@dataclass(frozen=True)
class Difference:
    """One part that is not as it should be, in words."""

    part: str
    words: str

    def __str__(self) -> str:
        return f"{self.part}: {self.words}"


def tell(addresses: Addresses, lake: str, days: Sequence[dt.date] = ()) -> dict[str, Rows]:
    """Everything, as part -> rows in an order of their own.

    :param days: of these the lake's tables are told as well.
    """
    registry = Registry(addresses.mlflow)
    with warehouse.connect(addresses.warehouse) as connection:
        known = registered(registry)
        found = {"published table": _segments(connection, known), "registry": known.rows}
        for name, (relation, query) in _QUERIES.items():
            there = warehouse.fetch(connection, "select to_regclass(:name) is not null", {"name": relation})[0][0]
            found[name] = [_plain(row) for row in warehouse.fetch(connection, query)] if there else []
        found["feed replayed"] = replayed(
            warehouse.fetch(
                connection,
                "select customer_id, change, to_segment_id, to_strategy_id from marketing.segment_changes "
                "order by change_id",
            )
        )
    for table in _OF_DAY:
        found[f"lake: {table}"] = [row for day in days for row in _of_lake(lake, table, day)]
    return found


def checksum(rows: Rows) -> str:
    """The first 12 digits of the SHA-256 of a part."""
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]


def differences(wanted: Told, found: Told) -> list[Difference]:
    """Where two tellings are not the same, part by part, with examples of rows that one of them has alone."""
    differing = []
    for part in sorted(set(wanted) | set(found)):
        before, now = wanted.get(part, []), found.get(part, [])
        if before == now:
            continue
        missing, more = _without(before, now), _without(now, before)
        words = f"{len(missing)} of {len(before)} rows are missing, {len(more)} are more"
        if not missing and not more:
            words = "the same rows in another order"
        for name, rows in (("missing", missing), ("more", more)):
            words += "".join(f"; {name}: {row!r:.300}" for row in rows[:EXAMPLES])
        differing.append(Difference(part, words))
    return differing


def replayed(changes: Sequence[tuple]) -> Rows:
    """What a CRM has that follows the feed from its beginning: (customer, segment, strategy) in order.

    :param changes: (customer_id, change, to_segment_id, to_strategy_id) in the feed's order.
    """
    kept: dict[str, tuple] = {}
    for customer, change, segment, strategy in changes:
        if change in ("left", "erased"):
            kept.pop(customer, None)
        else:
            kept[customer] = (customer, segment, strategy)
    return [kept[customer] for customer in sorted(kept)]


def broken(addresses: Addresses, lake: str, *, is_compacted: bool = True) -> list[Difference]:
    """What must hold at any rest, whatever the history: nothing is half there, and nothing lies about unnamed.

    :param is_compacted: task `compact` has ended well since; it takes away what killed writers of the history left.
    """
    found = []

    def holds(part: str, is_so: bool, words: str) -> None:
        if not is_so:
            found.append(Difference(part, words))

    with warehouse.connect(addresses.warehouse) as connection:

        def fetch(query: str) -> Rows:
            return warehouse.fetch(connection, query)

        current = fetch("select customer_id, segment_id, strategy_id from marketing.customer_segments order by 1")
        feed = fetch(
            "select customer_id, change, to_segment_id, to_strategy_id from marketing.segment_changes "
            "order by change_id"
        )
        holds("feed", replayed(feed) == current, "replayed, it is not what is current")
        numbers = fetch("select min(change_id), max(change_id), count(*) from marketing.segment_changes")[0]
        taken_out = fetch(_TAKEN_OUT)[0][0] if fetch("select to_regclass('privacy.erasures') is not null")[0][0] else 0
        gaps = (numbers[1] or 0) - (numbers[0] or 0) + 1 - numbers[2] if numbers[2] else 0
        words = f"its numbers have gaps: {numbers}, and {taken_out} entries were taken out by erasures"
        holds("feed", gaps <= taken_out, words)
        opened = fetch(
            "select customer_id, segment_id, strategy_id from marketing.segment_history "
            "where valid_to is null order by 1"
        )
        holds("history", opened == current, "its open rows are not what is current")
        half = fetch("select count(*) from marketing.snapshots where status = 'building'")[0][0]
        holds("snapshots", half == 0, f"{half} are still being built")
        loose = fetch(
            "select c.relname from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid "
            "where n.nspname = 'marketing_internal' and c.relkind = 'r' and not c.relispartition "
            r"and (c.relname ~ '^change_rows_\d+$' or c.relname ~ '^segment_rows_\d+$') and not exists ("
            "select from marketing.snapshots as s where s.status = 'rejected' and s.is_kept "
            "and c.relname = 'segment_rows_' || s.snapshot_id)"
        )
        holds("snapshots", not loose, f"tables that belong to nothing: {[name for (name,) in loose]}")
        named = dict(fetch("select path, row_count from ops.versions"))
    for path, rows in named.items():
        file = Path(lake, path)
        is_whole = file.is_file() and pq.ParquetFile(file).metadata.num_rows == rows
        holds("lake", is_whole, f"{path} is {'not whole' if file.is_file() else 'missing'}")
    files = [posixpath.relpath(file, lake) for file in lakes.walk(lake)]
    unfinished = [file for file in files if file.endswith(".tmp")]
    holds("lake", not unfinished, f"{len(unfinished)} unfinished files, such as {unfinished[:3]}")
    unnamed = [file for file in files if file.startswith("history/") and file not in named and file not in unfinished]
    if is_compacted:
        holds("lake", not unnamed, f"{len(unnamed)} files of the history that nothing names, such as {unnamed[:3]}")
    return found


@dataclass(frozen=True)
class Registered:
    """The registry: `names`: (model, version) -> what it stands for; `rows`: all that counts."""

    names: Mapping[tuple[str, str], str]
    rows: Rows


def registered(registry: Registry) -> Registered:
    """The version of each training day, with its tags, what was measured of it, and which alias it has.

    A task of a training that has ended well and is cleared trains again: another version, the same to the last digit of
    what was measured. Both count as one, and what was the champion before them as the previous one. By their files they
    could not be told to be the same: these hold run and time.
    """
    names, rows = {}, []
    for model in (tables.SEGMENTS_MODEL, *tables.TARGETS, tables.UPLIFT_MODEL):
        known: dict[tuple[str, str], dict[str, str]] = {}
        for version in sorted(registry.versions(model), key=lambda each: int(each.version)):
            digest = _measured(registry, version)
            names[(model, version.version)] = f"{version.training_day} {digest}"
            tags = {key: value for key, value in version.tags.items() if key not in ("rolled_back", "promotion")}
            known[(f"{version.training_day}", digest)] = tags
        champion, previous = (
            each and (f"{each.training_day}", _measured(registry, each))
            for each in (registry.champion(model), registry.previous(model))
        )
        if previous and previous == champion:
            before = [each for each, tags in known.items() if each < champion and tags.get("promoted") == "true"]
            previous = max(before, default=None)
        for each, tags in known.items():
            held = tuple(name for name, of in (("champion", champion), ("previous", previous)) if of == each)
            rows.append((model, *each, held, json.dumps(tags, sort_keys=True)))
    return Registered(names, sorted(rows))


def _measured(registry: Registry, version: Version) -> str:
    """The first 12 digits of the SHA-256 of the numbers of a version's training, times of doing left out."""
    numbers = {name: value for name, value in registry.metrics(version).items() if not name.endswith("seconds")}
    return checksum(sorted(numbers.items()))


def _segments(connection, known: Registered) -> Rows:
    columns = [name for (name,) in warehouse.fetch(connection, _SEGMENT_COLUMNS)]
    kept = ", ".join(warehouse.identifier(name) for name in columns if name not in _DRAWN)
    if not kept:
        return []
    query = f"select model_versions, {kept} from marketing.customer_segments order by customer_id"  # noqa: S608 - quoted
    told: dict[str, str] = {}
    rows = []
    for versions, *row in warehouse.fetch(connection, query):
        text = json.dumps(versions, sort_keys=True)
        if text not in told:
            told[text] = ", ".join(f"{m} {known.names.get((m, str(v)), v)}" for m, v in sorted(versions.items()))
        rows.append(_plain((told[text], *row)))
    return rows


def _of_lake(lake: str, table: str, day: dt.date) -> Rows:
    if not lakes.has(lake, table, day):
        return []
    names = [name for name in lakes.columns(lake, table, day) if name not in _DRAWN]
    frame = lakes.read(lake, table, day, names)
    rows = zip(*(frame[name].to_pylist() for name in names), strict=True)
    return sorted((_plain((f"{day}", *row)) for row in rows), key=repr)


def _plain(row: Sequence[Any]) -> tuple:
    return tuple(json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value for value in row)


def _without(rows: Rows, others: Rows) -> Rows:
    left = [repr(row) for row in others]
    counted: dict[str, int] = {}
    for text in left:
        counted[text] = counted.get(text, 0) + 1
    found = []
    for row in rows:
        text = repr(row)
        if counted.get(text):
            counted[text] -= 1
        else:
            found.append(row)
    return found
