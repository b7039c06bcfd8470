"""
promote: what the weekly training made -> tag `promoted` and alias `champion` in the registry, or not, and why.

The gate is declared here. What fails it stays in the registry for inspection, and the champion goes on.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any

from segmentation import settings, tables
from segmentation.errors import FinalError
from segmentation.registry import Registry
from segmentation.settings import Stores

MIN_AUC = 0.5


class PromotionRefusedError(FinalError):
    """A trained model failed the gate; names each model with its reason."""


def promote_models(day: dt.date, trained: Iterable[Mapping[str, Any]], stores: Stores) -> dict[str, str]:
    """Promotes every model that passes the gate; the alias moves only if no later training day holds it.

    The segments go last: they carry the targets that were skipped, which scoring relies on.

    :param trained: what `train_segments` and `train_classifier` returned.
    :returns: model -> what became of it, in words.
    :raises PromotionRefusedError: at least one model failed; the others have been promoted.
    """
    registry = Registry(stores.registry)
    outcomes: dict[str, str] = {}
    refused: list[str] = []
    skipped = {result["model"]: result["skipped"] for result in trained if "skipped" in result}
    outcomes |= {model: f"skipped: {reason}" for model, reason in skipped.items()}
    for result in sorted((r for r in trained if "version" in r), key=lambda r: r["model"] == tables.SEGMENTS_MODEL):
        model, version = result["model"], result["version"]
        reason = gate(model, result["metrics"], settings.load())
        if reason:
            registry.tag(model, version, {"promoted": "false", "promotion": reason})
            refused.append(f"{model} version {version}: {reason}")
            continue
        if model == tables.SEGMENTS_MODEL:
            registry.tag(model, version, {"skipped_targets": json.dumps(skipped)})
        is_champion = registry.promote(model, version, f"passed the gate of {day}")
        outcomes[model] = f"version {version}, {'champion' if is_champion else 'kept for days from ' + str(day)}"
    if refused:
        raise PromotionRefusedError("; ".join(refused))
    return outcomes


def gate(model: str, metrics: Mapping[str, float], config: settings.Settings) -> str | None:
    """Why a model must not be promoted, in words; None if it may."""
    if model == tables.SEGMENTS_MODEL:
        limits = config.cluster
        if metrics["smallest_share"] < limits.min_share or metrics["largest_share"] > limits.max_share:
            return (
                f"segments hold {metrics['smallest_share']:.1%} to {metrics['largest_share']:.1%} of the buyers, "
                f"outside {limits.min_share:.0%} to {limits.max_share:.0%}"
            )
        return None
    if metrics["auc"] <= MIN_AUC:
        return f"AUC {metrics['auc']:.3f} on the test cutoff is no better than chance"
    return None
