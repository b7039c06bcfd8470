"""
What OpenLineage's events say of our tasks: the tables that each reads and writes.

Airflow's OpenLineage provider tells of runs and tasks by itself, but knows the assets of no other tool's addresses, and
nothing of what goes on in a Python function. This extractor, named in `[openlineage] extractors`, adds the data sets,
in namespace `fenqun`, by the names that `segmentation.tables` gives them. `WithoutRows`, for `[openlineage]
transport`, sees to it that events, which go to other systems, name no row and no person. See docs/watching.md.
"""

from typing import Any

from airflow.providers.openlineage.extractors.base import BaseExtractor, OperatorLineage
from openlineage.client.event_v2 import Dataset
from openlineage.client.transport.transform import EventTransformer

from segmentation import causes, tables

NAMESPACE = "fenqun"
_MODELS = "registry.models"
_PUBLISHED = [
    f"marketing.{name}"
    for name in ("customer_segments", "segment_changes", "segment_history", "segment_profiles", "snapshots")
]
# Task -> what it reads, what it writes; a task that is not here tells of no data set. Those of `_SCHEMAS` stand for all
# that is in them, or for the entity's table where a task is for one of them.
TABLES = {
    "extract": (["shop"], ["staged"]),
    "validate_raw": (["staged"], ["raw", "quarantine.rows", "quality.results"]),
    "aggregates": (["raw"], ["agg"]),
    "features": (["raw", "agg"], ["feat.customer_daily"]),
    "validate_features": (["feat.customer_daily"], ["quality.results"]),
    "score": (["feat.customer_daily", _MODELS], ["score.customer_daily"]),
    "validate_scores": (["score.customer_daily"], ["quality.results"]),
    "recommend": (["raw.products", "agg"], ["score.recommendations_daily"]),
    "strategy": (["score.customer_daily", "feat.customer_daily"], ["score.strategy_daily"]),
    "validate_strategies": (["score.strategy_daily"], ["quality.results"]),
    "publish": (["score.customer_daily", "score.strategy_daily", "score.recommendations_daily"], _PUBLISHED),
    "performance": (["score.customer_daily", "raw", "agg"], ["ops.performance"]),
    "drift": (["feat.customer_daily", "feat.training_examples", "score.customer_daily"], ["ops.drift"]),
    "retrain": (["ops.performance", "ops.drift"], ["ops.retrains"]),
    "training_examples": (["raw", "agg"], ["feat.training_examples"]),
    "cluster": (["feat.training_examples"], [_MODELS]),
    "classify": (["feat.training_examples"], [_MODELS]),
    "compare": (["feat.training_examples", _MODELS], []),
    "promote": ([_MODELS], [_MODELS]),
    "evaluate": (["raw", "marketing.segment_history"], ["marketing.campaign_results"]),
    "contact_examples": (["raw", "agg"], ["feat.contact_examples"]),
    "learn": (["raw", "feat.contact_examples", "score.strategy_daily"], [_MODELS]),
    "movement": (["raw.products", "agg.product_days"], ["marketing.product_movement"]),
}
_OF_ENTITIES = ("shop", "staged", "raw")
_SCHEMAS = {name: [f"{name}.{entity}" for entity in tables.ENTITIES] for name in _OF_ENTITIES}
_SCHEMAS["agg"] = [each.table for each in tables.AGGREGATES.values()]


class StageLineage(BaseExtractor):
    """The data sets of a task, by its id; those of `extract` are of its entity."""

    @classmethod
    def get_operator_classnames(cls) -> list[str]:
        """The kinds of tasks that our stages run in."""
        return ["_PythonDecoratedOperator", "_ShortCircuitDecoratedOperator", "GateOperator"]

    def _execute_extraction(self) -> OperatorLineage:
        reads, writes = TABLES.get(self.operator.task_id, ([], []))
        entity = (getattr(self.operator, "op_kwargs", None) or {}).get("entity")
        return OperatorLineage(inputs=_data_sets(reads, entity), outputs=_data_sets(writes, entity))


def _data_sets(names: list[str], entity: str | None) -> list[Dataset]:
    found: list[str] = []
    for name in names:
        found += [f"{name}.{entity}"] if entity and name in _OF_ENTITIES else _SCHEMAS.get(name, [name])
    return [Dataset(NAMESPACE, name) for name in found]


class WithoutRows(EventTransformer):
    """Cuts errors down to what may be told of them (see `causes`), and leaves out the parameters of runs."""

    def transform(self, event: Any) -> Any:
        """The event, changed; one without a run is let through."""
        facets = getattr(getattr(event, "run", None), "facets", None) or {}
        for name, facet in facets.items():
            if name == "errorMessage":
                facet.message, facet.stackTrace = causes.cause_of(facet.message), None
            if isinstance(run := getattr(facet, "dagRun", None), dict):
                run.pop("conf", None)
        return event
