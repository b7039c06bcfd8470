"""
Two runs of the same day take turns, whichever DAGs they are of: a day of a table is worked at by one run at a time.

Airflow keeps one run a DAG and logical date, and one running a DAG; but a back-fill counts apart from that, two DAGs
have the same first steps, and a day may be asked for at another hour. What a stage leaves does not depend on who came
first: the second run finds the day accepted, or writes the same rows once more.
"""

import datetime as dt
import functools
import hashlib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from segmentation import warehouse

log = logging.getLogger(__name__)


def takes_turns(of: str | Callable[[Mapping[str, Any]], Iterable[str]]) -> Callable:
    """Marks a stage that writes (or judges) a day of a table, and has arguments `day` and `stores`: while another run
    is at the same day of it, it waits, and its log says so.

    A killed run's turn ends with its connection. To be put before `erasures.holds_off_erasure`: who waits for a turn
    does not keep an erasure waiting.

    :param of: the table, or what tells the tables from the stage's arguments; always in the same order.
    """

    def mark(stage: Callable) -> Callable:
        signature = inspect.signature(stage)

        @functools.wraps(stage)
        def in_turn(*args, **kwargs):
            told = signature.bind(*args, **kwargs).arguments
            with warehouse.connect(told["stores"].marketing, autocommit=True) as guard:
                for table in [of] if isinstance(of, str) else of(told):
                    _wait(guard, table, told["day"])
                return stage(*args, **kwargs)

        return in_turn

    return mark


def _wait(guard: Any, table: str, day: dt.date) -> None:
    key = {"lock": lock_of(table, day)}
    if warehouse.fetch(guard, "select pg_try_advisory_lock(:lock)", key) == [(True,)]:
        return
    log.warning("another run is at %s of %s: waiting until it has ended that", table, day)
    warehouse.execute(guard, "select pg_advisory_lock(:lock)", key)
    log.info("the other run is through with %s of %s: going on", table, day)


def lock_of(table: str, day: dt.date) -> int:
    """The number of the advisory lock of a table's day."""
    digest = hashlib.sha256(f"fenqun.turn {table} {day}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
