"""
Profiles: each segment of a snapshot in numbers, for `marketing.segment_profiles`; aggregates only.

A group of fewer customers than `settings.Publish.smallest_group` is not told, and where that would leave one number
that can be found by subtraction, the next smallest is not told either (primary and complementary suppression;
Hundepool et al.: Statistical Disclosure Control, 2012, chapter 4).
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segmentation import sql, warehouse

FEW, ENTERED = "few", "entered"
_TOLD = 3
_COLUMNS = (
    "snapshot_id", "segment_id", "segment_name", "customers", "share", "average_expected_spend_90d",
    "average_purchase_probability_30d", "average_churn_probability_90d", "sets_apart", "came_from",
)  # fmt: skip


@dataclass
class Profile:
    """One segment. `customers` and the averages are None where it is too small to be told."""

    segment_id: int
    segment_name: str
    customers: int | None
    averages: tuple[float | None, float | None, float | None]
    values: dict[tuple[str, str], int] = field(default_factory=dict)
    came_from: dict[str, int] = field(default_factory=dict)
    share: float | None = None
    sets_apart: list[dict[str, Any]] = field(default_factory=list)


def counted(connection) -> list[tuple]:
    """The numbers that the profiles of `new_rows` are made of."""
    return warehouse.fetch(connection, sql.read("publish", "profiles"))


def of_counts(
    counts: Iterable[tuple], smallest: int, migration: Iterable[tuple[int | None, int | None, int]]
) -> list[Profile]:
    """The profiles of a snapshot, what is too small left out.

    :param counts: what `counted` gave.
    :param migration: (segment before, segment now, customers); None: not in that snapshot.
    """
    found: dict[int, Profile] = {}
    values: dict[int, dict[tuple[str, str], int]] = defaultdict(dict)
    for segment_id, name, column, value, customers, *averages in counts:
        if column is None:
            found[segment_id] = Profile(segment_id, name, customers, tuple(averages))
        elif value is not None:
            values[segment_id][column, value] = customers
    for segment_id, profile in found.items():
        profile.values = values[segment_id]
    for was, now, customers in migration:
        if now is not None:
            key = ENTERED if was is None else str(was)
            found[now].came_from[key] = found[now].came_from.get(key, 0) + customers
    return _told([found[key] for key in sorted(found)], smallest)


def _told(profiles: list[Profile], smallest: int) -> list[Profile]:
    whole = sum(profile.customers or 0 for profile in profiles)
    everyone: dict[tuple[str, str], int] = defaultdict(int)
    for profile in profiles:
        for key, customers in profile.values.items():
            everyone[key] += customers
    hidden = suppressed({profile.segment_id: profile.customers or 0 for profile in profiles}, smallest)
    for profile in profiles:
        size = profile.customers or 0
        if profile.segment_id in hidden:
            profile.customers, profile.averages, profile.came_from = None, (None, None, None), {}
            continue
        profile.share = size / whole
        profile.sets_apart = _sets_apart(profile.values, everyone, size, whole, smallest)
        few = suppressed(profile.came_from, smallest)
        told = {key: count for key, count in profile.came_from.items() if key not in few}
        profile.came_from = told | ({FEW: size - sum(told.values())} if few else {})
    return profiles


def suppressed(groups: Mapping[Any, int], smallest: int, besides: Collection[Any] = ()) -> set:
    """Which of the groups of a known whole are not to be told.

    Those with 1 to `smallest` - 1 members; and, while they have fewer than `smallest` together, or are one alone, the
    next smallest as well: else the whole less the others would tell.

    :param besides: groups that are not told for another reason.
    """
    ordered = sorted((count, str(key), key) for key, count in groups.items() if count)
    hidden = [entry for entry in ordered if entry[0] < smallest or entry[2] in besides]
    if not hidden:
        return set()
    rest = [entry for entry in ordered if entry not in hidden]
    while rest and (len(hidden) < 2 or sum(entry[0] for entry in hidden) < smallest):
        hidden.append(rest.pop(0))
    return {key for _, _, key in hidden}


def _sets_apart(
    values: Mapping[tuple[str, str], int],
    everyone: Mapping[tuple[str, str], int],
    size: int,
    whole: int,
    smallest: int,
) -> list[dict[str, Any]]:
    """The values whose share in the segment is most above their share among all, one a column."""
    above: dict[str, dict[str, Any]] = {}
    for (column, value), customers in values.items():
        here, all_ = customers / size, everyone[column, value] / whole
        is_telling = customers >= smallest and (size - customers == 0 or size - customers >= smallest)
        if is_telling and here > all_ and (column not in above or here - all_ > above[column]["more"]):
            above[column] = {"column": column, "value": value, "share": here, "of_all": all_, "more": here - all_}
    best = sorted(above.values(), key=lambda told: (-told["more"], told["column"]))[:_TOLD]
    return [
        {name: round(told, 3) if isinstance(told, float) else told for name, told in each.items() if name != "more"}
        for each in best
    ]


def write(connection, snapshot_id: int, profiles: Iterable[Profile]) -> None:
    """Puts the profiles of a snapshot into `marketing.segment_profiles`, in the caller's transaction."""
    for profile in profiles:
        row = (
            snapshot_id, profile.segment_id, profile.segment_name, profile.customers, profile.share, *profile.averages,
            json.dumps(profile.sets_apart), json.dumps(profile.came_from),
        )  # fmt: skip
        names, places = ", ".join(_COLUMNS), ", ".join(f":{name}" for name in _COLUMNS)
        warehouse.execute(
            connection,
            f"insert into marketing.segment_profiles ({names}) values ({places})",  # noqa: S608 - constants
            dict(zip(_COLUMNS, row, strict=True)),
        )
