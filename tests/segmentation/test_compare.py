"""What the new models would change is counted on the newest customers, and told where a human looks."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

from segmentation import compare, lake, settings, tables
from segmentation.registry import Registry

DAY = dt.date(2026, 1, 31)
NEXT = DAY + dt.timedelta(days=7)
SEGMENTS, CHURN = tables.SEGMENTS_MODEL, tables.CHURN.model
SIZES = {"smallest_share": 0.5, "largest_share": 0.5}
SOUND = {"auc": 0.75, "auc_gain": 0.0, "calibration_error": 0.02}
CUSTOMERS = 200


@pytest.fixture
def registry(stores):
    """The registry of a shop of 200 buyers, whose newest examples are in the lake, behind those of an older cutoff."""
    ages = np.linspace(1, 200, CUSTOMERS)
    rows = pd.DataFrame(
        {
            "customer_id": [f"C{n}" for n in range(CUSTOMERS)],
            "as_of_date": NEXT,
            "orders_count": 3,
            "spend_365d": 10.0,
            "last_order_age_days": ages,
            "first_order_age_days": 300.0,
        }
    )
    table = pa.Table.from_pandas(pd.concat([rows.assign(as_of_date=DAY), rows]), preserve_index=False)
    lake.write(stores.lake, tables.TRAINING_EXAMPLES, NEXT, iter(table.to_batches(max_chunksize=90)), table.schema)
    return Registry(stores.registry)


def segments(registry, day, names=("near", "far"), columns=("last_order_age_days",)):
    """Registers two segments, by the age of the last order."""
    model = KMeans(2, init=np.array([[50.0], [150.0]]), n_init=1).fit(np.linspace(1, 200, 50)[:, None])
    kinds = [{"cluster": n, "segment_id": n + 1, "segment_name": name} for n, name in enumerate(names)]
    metadata = {
        "columns": list(columns),
        "segments": kinds,
        "prospects": {"segment_id": 0, "segment_name": "prospects"},
    }
    return registered(registry, SEGMENTS, day, model, metadata)


def churn(registry, day, border=100.0):
    """Registers a model of churn that takes those for lost whose last order is older than the border, in days."""
    ages = pd.DataFrame({"last_order_age_days": [border - 1, border + 1] * 20})
    model = LogisticRegression(C=1e4, max_iter=2000).fit(ages, [0, 1] * 20)
    return registered(registry, CHURN, day, model, {"columns": ["last_order_age_days"]})


def registered(registry, model, day, estimator, metadata):
    inputs = pd.DataFrame({"last_order_age_days": [1.0, 2.0]})
    with registry.training(model, day) as run:
        return run.register(model, estimator, inputs, np.array([0, 1]), metadata)


def trained(model, version, metrics):
    return {"model": model, "version": version, "metrics": metrics}


def promoted(registry):
    """Champions of the day before."""
    registry.promote(SEGMENTS, segments(registry, DAY), "for a test")
    registry.promote(CHURN, churn(registry, DAY), "for a test")


def test_the_first_models_pass_without_a_question(stores, registry):
    results = [
        trained(SEGMENTS, segments(registry, NEXT), SIZES),
        trained(CHURN, churn(registry, NEXT), {"auc": 0.6, "calibration_error": 0.1}),
        {"model": "spend_90d", "skipped": "too few"},
    ]
    found = compare.compare_models(NEXT, results, stores)
    assert {model: each["verdict"] for model, each in found["verdicts"].items()} == {SEGMENTS: "pass", CHURN: "pass"}
    assert (found["skipped"], found["asked"], found["questions"]) == ({"spend_90d": "too few"}, [], [])


def test_the_same_again_passes_and_changes_nothing(stores, registry):
    promoted(registry)
    results = [trained(SEGMENTS, segments(registry, NEXT), SIZES), trained(CHURN, churn(registry, NEXT), SOUND)]
    found = compare.compare_models(NEXT, results, stores)
    assert found["verdicts"][CHURN] == {"version": "2", "verdict": "pass", "reasons": []}
    assert registry.metrics(registry.version(CHURN, "2"))["changed_share_churn_risk"] == 0
    assert registry.version(CHURN, "2").tags["verdict"] == "pass"


def test_what_moves_too_many_customers_is_asked_about_and_the_page_says_from_where_to_where(stores, registry):
    promoted(registry)
    results = [
        trained(SEGMENTS, segments(registry, NEXT), SIZES),
        trained(CHURN, churn(registry, NEXT, border=30.0), SOUND),
    ]
    found = compare.compare_models(NEXT, results, stores)
    assert found["asked"] == [CHURN]
    (question,) = found["questions"]
    assert question["subject"] == f"{CHURN}: promote version 2 of {NEXT} instead of version 1?"
    assert f"Against version 1 of {DAY}: **ask**" in question["body"]
    assert "| changes | churn_risk would change for 35.0% of the customers |" in question["body"]
    assert "| | high | low |" in question["body"]
    assert "| **high** | 101 | 0 |" in question["body"]
    assert "| **low** | 70 | 29 |" in question["body"]
    version = registry.version(CHURN, "2")
    assert registry.metrics(version)["changed_share_churn_risk"] == pytest.approx(0.35)
    assert version.tags["verdict"].startswith("ask: churn_risk would change for 35.0%")
    assert "comparison.md" in [each.path for each in registry._client.list_artifacts(version.run_id)]


def test_segments_are_compared_by_the_name_that_is_published(stores, registry):
    promoted(registry)
    results = [trained(SEGMENTS, segments(registry, NEXT, names=("near", "gone")), SIZES)]
    found = compare.compare_models(NEXT, results, stores)
    (question,) = found["questions"]
    assert "| **far** | 100 | 0 |" in question["body"]


def test_most_customers_are_left_out_of_a_large_shop_evenly(stores, registry, monkeypatch):
    monkeypatch.setenv("SEGMENTATION_PROMOTION__COMPARED_ROWS", "100")
    monkeypatch.setattr(settings, "load", settings.Settings)
    rows = compare._newest(NEXT, stores, settings.load().promotion.compared_rows)
    assert rows["customer_id"].tolist() == [f"C{n}" for n in range(0, CUSTOMERS, 2)]


def test_a_champion_that_lost_a_feature_does_not_stop_its_successor_but_a_human_decides(stores, registry):
    registry.promote(SEGMENTS, segments(registry, DAY, columns=["an_old_feature"]), "for a test")
    registry.promote(CHURN, churn(registry, DAY), "for a test")
    results = [trained(SEGMENTS, segments(registry, NEXT), SIZES), trained(CHURN, churn(registry, NEXT), SOUND)]
    found = compare.compare_models(NEXT, results, stores)
    assert {model: each["verdict"] for model, each in found["verdicts"].items()} == {SEGMENTS: "ask", CHURN: "pass"}
    assert found["verdicts"][SEGMENTS]["reasons"] == [
        "version 1 needs features that are no more: an_old_feature (the champion has to be read)"
    ]


def test_what_is_returned_is_small(stores, registry):
    promoted(registry)
    results = [
        trained(SEGMENTS, segments(registry, NEXT, names=("a", "b")), SIZES),
        trained(CHURN, churn(registry, NEXT, border=30.0), SOUND),
    ]
    assert len(str(compare.compare_models(NEXT, results, stores))) < 5_000
