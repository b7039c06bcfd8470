"""
What the Segments page tells beside the profiles, counted once, when a snapshot is published: no view of the page counts
customers.

Churn risk by value tier, strategies and who is held out of them, and moves between segments since a week ago. No group
of fewer customers than `settings.Publish.smallest_group` is told. The counts lie in tables whose lines and columns add
up to numbers that are known, so each line and each column keeps two cells back, or none.
"""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from segmentation import profiles, snapshots, sql, warehouse

CHURN_BY_VALUE, STRATEGY, MOVES = "churn_by_value", "strategy", "moves"
CONTACTED, HELD_OUT = "contacted", "held_out"
ENTERED, LEFT = profiles.ENTERED, "left"
Cells = Mapping[tuple[str | None, str | None], int]


class Count(NamedTuple):
    """A cell: how many customers are in a line and a column of one of the three tables. None: too few to be told.

    :param line: value tier; strategy, None: none; segment a week ago, or `ENTERED`.
    :param place: churn risk, None: no order yet; `CONTACTED` or `HELD_OUT`; segment now, or `LEFT`.
    :param about: of a strategy what it offers; of moves the day since when.
    """

    kind: str
    line: str | None
    place: str | None
    about: str | None
    customers: int | None


def of_snapshot(connection, day: dt.date, smallest: int) -> list[Count]:
    """The counts of `new_rows`, a view of the session."""
    churn: dict[tuple[str | None, str | None], int] = defaultdict(int)
    strategies: dict[tuple[str | None, str | None], int] = defaultdict(int)
    offers: dict[str | None, str | None] = {}
    for kind, tier, risk, strategy, offer, is_held_out, customers in warehouse.fetch(
        connection, sql.read("publish", "page_counts")
    ):
        if kind == CHURN_BY_VALUE:
            churn[tier, risk] += customers
        else:
            strategies[strategy, HELD_OUT if is_held_out else CONTACTED] += customers
            offers[strategy] = offer
    return [
        *(Count(CHURN_BY_VALUE, *cell, None, told) for cell, told in told_of(churn, smallest).items()),
        *(Count(STRATEGY, *cell, offers[cell[0]], told) for cell, told in told_of(strategies, smallest).items()),
        *_moves(connection, day, smallest),
    ]


def _moves(connection, day: dt.date, smallest: int) -> Iterable[Count]:
    found = warehouse.fetch(connection, sql.read("publish", "week_before"), {"day": day})
    if not found:
        return []
    [(snapshot_id, since)] = found
    moves: dict[tuple[str | None, str | None], int] = defaultdict(int)
    for was, now, customers in snapshots.migration(connection, snapshot_id):
        moves[ENTERED if was is None else str(was), LEFT if now is None else str(now)] += customers
    return [Count(MOVES, *cell, f"{since}", told) for cell, told in told_of(moves, smallest).items()]


def told_of(cells: Cells, smallest: int) -> dict[tuple[str | None, str | None], int | None]:
    """The cells of a table, None where one is not to be told.

    Where a cell is left out, so is the next smallest of its line and of its column (`profiles.suppressed`), until no
    line and no column tells by subtraction.

    >>> told_of({("a", "x"): 3, ("a", "y"): 20, ("a", "z"): 90, ("b", "x"): 30, ("b", "y"): 40, ("b", "z"): 50}, 10)
    {('a', 'x'): None, ('a', 'y'): None, ('a', 'z'): 90, ('b', 'x'): None, ('b', 'y'): None, ('b', 'z'): 50}
    """
    hidden: set[Any] = set()
    while True:
        found = set(hidden)
        for side, name in itertools.product((0, 1), {part for cell in cells for part in cell}):
            among = {cell: count for cell, count in cells.items() if cell[side] == name}
            found |= profiles.suppressed(among, smallest, found)
        if found == hidden:
            return {cell: None if cell in hidden else count for cell, count in cells.items()}
        hidden = found


def write(connection, snapshot_id: int, counts: Iterable[Count]) -> None:
    """Puts the counts of a snapshot into `marketing_internal.page_counts`, in the caller's transaction."""
    for count in counts:
        warehouse.execute(
            connection,
            "insert into marketing_internal.page_counts (snapshot_id, kind, line, place, about, customers) "
            "values (:snapshot_id, :kind, :line, :place, :about, :customers)",
            {"snapshot_id": snapshot_id, **count._asdict()},
        )
