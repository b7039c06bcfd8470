"""
promote: what the comparison, or a human, let pass -> tag `promoted` and alias `champion` in the registry.

What is refused stays in the registry for inspection, and the champion goes on: an ordinary outcome, told in what the
task returns, in the version's tags and in the log. It is an error only where no champion is there to go on.
"""

import datetime as dt
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from segmentation import notices, tables
from segmentation.errors import FinalError
from segmentation.promotion_rules import ASK, PASS
from segmentation.registry import NoModelError, Registry
from segmentation.settings import Stores

log = logging.getLogger(__name__)

APPROVE, KEEP = "promote", "keep the champion"  # what a human may answer


class PromotionRefusedError(FinalError):
    """A trained model was refused and no other can score its day; names each such model with its reasons."""

    usual = notices.PROMOTION


def promote_models(
    day: dt.date, comparison: Mapping[str, Any], answers: Iterable[Mapping[str, Any]] | None, stores: Stores
) -> dict[str, str]:
    """Promotes every model that passed, or that a human approved; aliases move only if no later training day has them.

    The segments go last: they carry the targets that have no model, which scoring relies on. Killed in between and run
    again, it comes to the same.

    :param comparison: what `compare_models` returned.
    :param answers: the humans', one for each model that was asked about, in that order: `chosen_options`, and
        `responded_by_user`, None for the default after the set time. None if nobody was asked.
    :returns: model -> what became of it, in words.
    :raises PromotionRefusedError: at least one refused model has no champion; the others have been promoted.
    """
    registry = Registry(stores.registry, stores.marketing)
    answered = dict(zip(comparison["asked"], answers or (), strict=False))
    outcomes = {model: f"skipped: {reason}" for model, reason in comparison["skipped"].items()}
    without = dict(comparison["skipped"])
    helpless = []
    for model, found in sorted(comparison["verdicts"].items(), key=lambda each: each[0] == tables.SEGMENTS_MODEL):
        version = found["version"]
        is_approved, who, told = _decided(found["verdict"], answered.get(model))
        reasons = "; ".join([*found["reasons"], *([told] if told else [])])
        if who:
            registry.tag(model, version, {"decided_by": who})
        if is_approved:
            if model == tables.SEGMENTS_MODEL:
                registry.tag(model, version, {"skipped_targets": json.dumps(without)})
            outcomes[model] = _promoted(registry, model, version, reasons or f"passed all rules of {day}")
            continue
        outcomes[model], is_served = _refused(registry, model, version, reasons, day)
        log.warning("%s %s", model, outcomes[model])
        if not is_served and model != tables.UPLIFT_MODEL:  # strategies go by their file instead
            without[model] = f"refused: {reasons}"
            helpless.append(f"{model} version {version}: {reasons}")
    if helpless:
        raise PromotionRefusedError(f"refused, and there is no champion to go on: {'; '.join(helpless)}")
    return outcomes


def _decided(verdict: str, answer: Mapping[str, Any] | None) -> tuple[bool, str | None, str]:
    """(whether it is promoted, who decided that if anybody was asked, that in words)."""
    if verdict != ASK:
        return verdict == PASS, None, ""
    if answer is None:
        return False, None, "nobody was asked"
    user, is_approved = answer["responded_by_user"], APPROVE in answer["chosen_options"]
    if user is None:
        return is_approved, "nobody", "nobody answered in time"
    return is_approved, user["name"], f"{'approved' if is_approved else 'declined'} by {user['name']}"


def _promoted(registry: Registry, model: str, version: str, reason: str) -> str:
    found = registry.version(model, version)
    if "rolled_back" in found.tags:
        return f"version {version} stays out of use: {found.tags['promotion']}"
    is_champion = registry.promote(model, version, reason)
    return f"version {version}, {'champion' if is_champion else f'kept for days from {found.training_day}'}: {reason}"


def _refused(registry: Registry, model: str, version: str, reasons: str, day: dt.date) -> tuple[str, bool]:
    """(what became of it, whether there is a model for its day all the same)."""
    if registry.version(model, version).tags.get("promoted") == "true":
        return f"version {version} has been promoted before and stays; roll_back_model takes it out of use", True
    registry.tag(model, version, {"promoted": "false", "promotion": reasons})
    try:
        goes_on = f"version {registry.resolve(model, day).version} goes on"
    except NoModelError:
        return f"version {version} refused: {reasons}; there is no champion", False
    return f"version {version} refused: {reasons}; {goes_on}", True
