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
from segmentation.settings import Stores
from tests import frames

CUSTOMERS = 200
SEGMENTS, CHURN, PURCHASE = tables.SEGMENTS_MODEL, tables.CHURN.model, tables.PURCHASE.model
SIZES = {"smallest_share": 0.5, "largest_share": 0.5}
SOUND = {"auc": 0.75, "auc_gain": 0.0, "calibration_error": 0.02}


def write_examples(stores: Stores, day: dt.date) -> None:
    """Accepts the customers of a day, who consent to email, and writes its training examples: these, behind those of an
    older cutoff."""
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
    frames.accept(stores, day, customers=[{"customer_id": f"C{n}", "email_consent": True} for n in range(CUSTOMERS)])
    before = rows.assign(as_of_date=day - dt.timedelta(days=7))
    table = pa.Table.from_pandas(pd.concat([before, rows]), preserve_index=False)
    lake.write(stores.lake, tables.TRAINING_EXAMPLES, day, iter(table.to_batches(max_chunksize=90)), table.schema)


def segments(registry: Registry, day: dt.date, names=("near", "far"), columns=("last_order_age_days",)) -> str:
    """Registers two segments, of 100 customers each; returns the version."""
    model = KMeans(2, init=np.array([[50.0], [150.0]]), n_init=1).fit(np.linspace(1, 200, 50)[:, None])
    kinds = [{"cluster": n, "segment_id": n + 1, "segment_name": name} for n, name in enumerate(names)]
    prospects = {"segment_id": 0, "segment_name": "prospects"}
    return _register(
        registry, SEGMENTS, day, model, {"columns": list(columns), "segments": kinds, "prospects": prospects}
    )


def churn(registry: Registry, day: dt.date, border: float = 100.0, model: str = CHURN) -> str:
    """Registers a model that takes those for lost whose last order is older than the border, in days.

    :param model: or for what it says instead.
    """
    ages = pd.DataFrame({"last_order_age_days": [border - 1, border + 1] * 20})
    steps = [
        ("select", Columns(["last_order_age_days"])),
        ("encode", Encoder()),
        ("model", DecisionTreeClassifier(max_depth=1)),
    ]
    fitted = ProbabilityEnsemble([("only", Pipeline(steps))]).fit(ages, np.array([0, 1] * 20))
    return _register(registry, model, day, fitted, {"columns": ["last_order_age_days"]})


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
