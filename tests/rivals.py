"""Champions and challengers that can be reckoned by hand: of 200 buyers, told apart by the age of their last order."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.cluster import KMeans
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from segmentation import lake, tables
from segmentation.baselines import Columns
from segmentation.ensembles import ProbabilityEnsemble
from segmentation.preparation import Encoder
from segmentation.registry import Registry

CUSTOMERS = 200
SEGMENTS, CHURN = tables.SEGMENTS_MODEL, tables.CHURN.model
SIZES = {"smallest_share": 0.5, "largest_share": 0.5}
SOUND = {"auc": 0.75, "auc_gain": 0.0, "calibration_error": 0.02}


def write_examples(folder: str, day: dt.date) -> None:
    """Writes the training examples of a day into a lake: its customers, behind those of an older cutoff."""
    rows = pd.DataFrame(
        {
            "customer_id": [f"C{n}" for n in range(CUSTOMERS)],
            "as_of_date": day,
            "orders_count": 3,
            "spend_365d": 10.0,
            "last_order_age_days": np.linspace(1, 200, CUSTOMERS),
            "first_order_age_days": 300.0,
        }
    )
    before = rows.assign(as_of_date=day - dt.timedelta(days=7))
    table = pa.Table.from_pandas(pd.concat([before, rows]), preserve_index=False)
    lake.write(folder, tables.TRAINING_EXAMPLES, day, iter(table.to_batches(max_chunksize=90)), table.schema)


def segments(registry: Registry, day: dt.date, names=("near", "far"), columns=("last_order_age_days",)) -> str:
    """Registers two segments, of 100 customers each; returns the version."""
    model = KMeans(2, init=np.array([[50.0], [150.0]]), n_init=1).fit(np.linspace(1, 200, 50)[:, None])
    kinds = [{"cluster": n, "segment_id": n + 1, "segment_name": name} for n, name in enumerate(names)]
    prospects = {"segment_id": 0, "segment_name": "prospects"}
    return _register(
        registry, SEGMENTS, day, model, {"columns": list(columns), "segments": kinds, "prospects": prospects}
    )


def churn(registry: Registry, day: dt.date, border: float = 100.0) -> str:
    """Registers a model that takes those for lost whose last order is older than the border, in days."""
    ages = pd.DataFrame({"last_order_age_days": [border - 1, border + 1] * 20})
    steps = [
        ("select", Columns(["last_order_age_days"])),
        ("encode", Encoder()),
        ("model", DecisionTreeClassifier(max_depth=1)),
    ]
    model = ProbabilityEnsemble([("only", Pipeline(steps))]).fit(ages, np.array([0, 1] * 20))
    return _register(registry, CHURN, day, model, {"columns": ["last_order_age_days"]})


def trained(model: str, version: str, metrics: dict[str, float]) -> dict[str, Any]:
    """What a training returns."""
    return {"model": model, "version": version, "metrics": metrics}


def promote_both(registry: Registry, day: dt.date) -> None:
    """Makes the first champions."""
    registry.promote(SEGMENTS, segments(registry, day), "for a test")
    registry.promote(CHURN, churn(registry, day), "for a test")


def _register(registry, model, day, estimator, metadata) -> str:
    inputs = pd.DataFrame({"last_order_age_days": [1.0, 2.0]})
    with registry.training(model, day) as run:
        return run.register(model, estimator, inputs, np.array([0, 1]), metadata)
