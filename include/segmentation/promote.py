"""
promote: what the comparison, or a human, let pass -> tag `promoted` and alias `champion` in the registry.

What fails stays in the registry for inspection, and the champion goes on: an ordinary outcome, told in what the task
returns, in the version's tags and in the log. It is an error only where no champion is there to go on.
"""

import datetime as dt
import json
import logging
from collections.abc import Mapping
from typing import Any

from segmentation import tables
from segmentation.errors import FinalError
from segmentation.registry import Registry, Version
from segmentation.settings import Stores

log = logging.getLogger(__name__)

APPROVE, KEEP = "promote", "keep the champions"  # what a human may answer


class PromotionRefusedError(FinalError):
    """A trained model failed the gate and there is no champion; names each such model with its reason."""


def promote_models(
    day: dt.date, comparison: Mapping[str, Any], answer: Mapping[str, Any] | None, stores: Stores
) -> dict[str, str]:
    """Promotes every model that passed, or that a human approved; aliases move only if no later training day has them.

    The segments go last: they carry the targets that were skipped, which scoring relies on. Run again, it comes to the
    same.

    :param comparison: what `compare_models` returned.
    :param answer: the human's: `chosen_options`, and `responded_by_user`, None for a default after the set time; None
        if nobody was asked.
    :returns: model -> what became of it, in words.
    :raises PromotionRefusedError: at least one model failed that has no champion; the others have been promoted.
    """
    registry = Registry(stores.registry)
    outcomes = {model: f"skipped: {reason}" for model, reason in comparison["skipped"].items()}
    helpless = []
    for model, found in sorted(comparison["verdicts"].items(), key=lambda each: each[0] == tables.SEGMENTS_MODEL):
        version, why = found["version"], "; ".join(found["reasons"])
        is_approved, by = _decided(found["verdict"], answer)
        if by:
            registry.tag(model, version, {"decided_by": by})
        if not is_approved:
            reason = f"{why}; {by}" if by else why
            registry.tag(model, version, {"promoted": "false", "promotion": reason})
            champion = registry.champion(model)
            outcomes[model] = f"version {version} refused: {reason}; {_goes_on(champion)}"
            log.warning("%s %s", model, outcomes[model])
            helpless += [f"{model} version {version}: {reason}"] if champion is None else []
            continue
        if model == tables.SEGMENTS_MODEL:
            registry.tag(model, version, {"skipped_targets": json.dumps(comparison["skipped"])})
        passed = f"approved by {by}: {why}" if by else f"passed the gate of {day}"
        is_champion = registry.promote(model, version, passed)
        outcomes[model] = f"version {version}, {'champion' if is_champion else f'kept for days from {day}'}"
    if helpless:
        raise PromotionRefusedError("; ".join(helpless))
    return outcomes


def _decided(verdict: str, answer: Mapping[str, Any] | None) -> tuple[bool, str | None]:
    """(whether it is promoted, who decided that if a human was asked)."""
    if verdict != "ask":
        return verdict == "pass", None
    if answer is None:
        return False, "nobody was asked"
    user = answer.get("responded_by_user")
    name = user.get("name") if isinstance(user, Mapping) else getattr(user, "name", user)
    return APPROVE in answer["chosen_options"], f"{name}" if name else "nobody answered in time"


def _goes_on(champion: Version | None) -> str:
    return f"version {champion.version} stays champion" if champion else "there is no champion"
