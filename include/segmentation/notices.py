"""
notices: what somebody has to be told of a run, beside its failures: late data, drift, a model that was not promoted.

A stage that has ended well may have found what a human should know; that stands in what it returns. Words here name no
row and no customer. Light to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FAILURE = "failed task"
GATE = "failed gate"
LATE = "late data"
SNAPSHOT = "rejected snapshot"
PROMOTION = "failed promotion"
DRIFT = "drift"
TRAINING = "training before its time"
DEADLINE = "missed deadline"
KINDS = (FAILURE, GATE, LATE, SNAPSHOT, PROMOTION, DRIFT, TRAINING, DEADLINE)

LATE_RULE = "the newest row is too old"  # its name in the suites
QUARANTINED_RULE = "too many rows are quarantined"  # where these are the newest, what is left looks late, and is not
_MOST_NAMED = 10


@dataclass(frozen=True)
class Notice:
    """One thing to be told: its kind, and the cause in words."""

    kind: str
    cause: str


def of_result(task_id: str, result: Any) -> list[Notice]:
    """What has to be told of a stage that has ended well, by what it returned.

    :param task_id: of the task; most have nothing to tell.
    """
    look = _LOOKS.get(task_id)
    return look(result) if look and result else []


def has_any(task_id: str) -> bool:
    """Whether there may be something to tell of a task that has ended well: what it returned is worth asking for."""
    return task_id in _LOOKS


def _late(result: Mapping[str, Any]) -> list[Notice]:
    warnings = (text for table in result.get("tables", {}).values() for text in table["warnings"])
    late = [text for text in warnings if LATE_RULE in text]
    return [Notice(LATE, "\n".join(late))] if late else []


def _refused(result: Mapping[str, str]) -> list[Notice]:
    refused = [f"{model}: {told}" for model, told in result.items() if " refused: " in told]
    return [Notice(PROMOTION, "\n".join(refused))] if refused else []


def _drifted(result: Mapping[str, Any]) -> list[Notice]:
    if not result.get("is_far"):
        return []
    told = [
        f"{len(columns)} {kind} column{'s have' if len(columns) > 1 else ' has'} drifted, most of all "
        f"{', '.join(columns[:_MOST_NAMED])}"
        for kind in ("score", "feature")
        if (columns := result[kind])
    ]
    return [Notice(DRIFT, "\n".join(told))]


def _asked(result: list[str]) -> list[Notice]:
    return [Notice(TRAINING, "\n".join(result))]


_LOOKS = {"validate_raw": _late, "promote": _refused, "drift": _drifted, "retrain": _asked}
