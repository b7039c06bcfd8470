"""
gate: keeps and shows what the rules found, and stops the run if it must not go on.
"""

import datetime as dt
import logging

from segmentation import data_docs, history, notices, quality, tables
from segmentation.errors import FinalError
from segmentation.settings import Stores
from segmentation.suites import STOP
from segmentation.verdict import Verdict

log = logging.getLogger(__name__)


class GateError(FinalError):
    """A table breaks its suite. Says table, rule, how many rows, and example keys; nothing downstream has run."""

    usual = notices.GATE


def report(verdicts: list[Verdict], gate: str, day: dt.date, stores: Stores, run_id: str | None) -> None:
    """Writes results and Data Docs, warns, and stops the run if that is what was found.

    :raises GateError: names each rule of severity `stop` that is broken.
    """
    history.ensure_schema(stores.marketing)
    quality.write(stores.marketing, verdicts, day, run_id)
    page = data_docs.write(stores, verdicts, day, run_id)
    for warning in (warning for each in verdicts for warning in each.warnings):
        log.warning(warning)
    stops = [stop for each in verdicts for stop in each.stops]
    if stops:
        head = f"{gate} of {day} breaks {len(stops)} rule{'s' * (len(stops) > 1)}; nothing after it has run:"
        told = [stop for each in verdicts for stop in each.summary(STOP)]
        raise GateError(
            "\n".join([head, *stops, f"Data Docs: {page}"]),
            summary="\n".join([head, *told]),
            kind=_kind(verdicts, told),
        )


def _kind(verdicts: list[Verdict], stops: list[str]) -> str:
    if any(each.table == tables.CUSTOMER_SEGMENTS for each in verdicts):
        return notices.SNAPSHOT
    late = {_table(stop) for stop in stops if notices.LATE_RULE in stop}
    refused = {_table(stop) for stop in stops if notices.QUARANTINED_RULE in stop}
    return notices.LATE if late - refused else notices.GATE


def _table(stop: str) -> str:
    return stop.split(":", 1)[0]
