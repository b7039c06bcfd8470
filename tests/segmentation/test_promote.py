"""The gate says why; what fails it stays, and the champion goes on."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from segmentation import promote, tables
from segmentation.registry import NoModelError, Registry

DAY = dt.date(2026, 1, 31)
SOUND = {"smallest_share": 0.2, "largest_share": 0.4}
X = pd.DataFrame({"x": [0.0, 1.0]})


@pytest.fixture
def trained(stores):
    """Registers a version of any model with given metrics, as training does."""
    registry = Registry(stores.registry)
    estimator = LogisticRegression().fit(X, [0, 1])

    def train(model, metrics):
        with registry.training(model, DAY) as run:
            version = run.register(model, estimator, X, np.array([0.0, 1.0]), {})
        return {"model": model, "version": version, "metrics": metrics}

    return train


def test_what_passes_becomes_champion(stores, trained):
    results = [trained("customer_segments", SOUND), trained("churn_90d", {"auc": 0.7})]
    outcome = promote.promote_models(DAY, results, stores)
    assert outcome == {"churn_90d": "version 1, champion", "customer_segments": "version 1, champion"}


def test_a_skipped_target_is_noted_where_scoring_looks(stores, trained):
    results = [trained("customer_segments", SOUND), {"model": "churn_90d", "skipped": "too few"}]
    outcome = promote.promote_models(DAY, results, stores)
    assert outcome["churn_90d"] == "skipped: too few"
    tags = Registry(stores.registry).resolve("customer_segments", DAY).tags
    assert json.loads(tags["skipped_targets"]) == {"churn_90d": "too few"}


def test_what_fails_the_gate_is_named_and_the_rest_promoted(stores, trained):
    results = [trained("customer_segments", SOUND), trained("churn_90d", {"auc": 0.48})]
    with pytest.raises(
        promote.PromotionRefusedError, match=r"churn_90d version 1: AUC 0\.480 .* no better than chance"
    ):
        promote.promote_models(DAY, results, stores)
    registry = Registry(stores.registry)
    assert registry.resolve("customer_segments", DAY).version == "1"
    with pytest.raises(NoModelError):
        registry.resolve("churn_90d", DAY)
    assert registry.version("churn_90d", "1").tags["promoted"] == "false"


@pytest.mark.parametrize("shares", [(0.01, 0.4), (0.1, 0.7)])
def test_lopsided_segments_do_not_pass(shares):
    from segmentation.settings import Settings

    metrics = dict(zip(("smallest_share", "largest_share"), shares, strict=True))
    reason = promote.gate(tables.SEGMENTS_MODEL, metrics, Settings())
    assert "outside 2% to 60%" in reason
