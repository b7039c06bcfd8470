"""What the new models would change is counted on the newest customers, and told where a human looks."""

import datetime as dt

import pytest

from segmentation import compare, settings
from segmentation.registry import Registry
from tests.rivals import (
    CHURN,
    CUSTOMERS,
    SEGMENTS,
    SIZES,
    SOUND,
    churn,
    promote_both,
    segments,
    trained,
    write_examples,
)

DAY = dt.date(2026, 1, 31)
NEXT = DAY + dt.timedelta(days=7)


@pytest.fixture
def registry(stores):
    """The registry of a shop whose newest examples are in the lake."""
    write_examples(stores.lake, NEXT)
    return Registry(stores.registry, stores.marketing)


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
    promote_both(registry, DAY)
    results = [trained(SEGMENTS, segments(registry, NEXT), SIZES), trained(CHURN, churn(registry, NEXT), SOUND)]
    found = compare.compare_models(NEXT, results, stores)
    assert found["verdicts"][CHURN] == {"version": "2", "verdict": "pass", "reasons": []}
    assert registry.metrics(registry.version(CHURN, "2"))["changed_share_churn_risk"] == 0
    assert registry.version(CHURN, "2").tags["verdict"] == "pass"


def test_what_moves_too_many_customers_is_asked_about_and_the_page_says_from_where_to_where(stores, registry):
    promote_both(registry, DAY)
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
    assert "| **high** | 100 | 0 |" in question["body"]
    assert "| **low** | 70 | 30 |" in question["body"]
    version = registry.version(CHURN, "2")
    assert registry.metrics(version)["changed_share_churn_risk"] == pytest.approx(0.35)
    assert version.tags["verdict"].startswith("ask: churn_risk would change for 35.0%")
    assert "comparison.md" in [each.path for each in registry._client.list_artifacts(version.run_id)]


def test_segments_are_compared_by_the_name_that_is_published(stores, registry):
    promote_both(registry, DAY)
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


def test_run_again_what_has_been_promoted_is_not_compared_with_itself(stores, registry):
    promote_both(registry, DAY)
    results = [trained(SEGMENTS, "1", SIZES), trained(CHURN, "1", {"auc": 0.7})]
    assert compare.compare_models(NEXT, results, stores)["asked"] == []


def test_what_is_returned_is_small(stores, registry):
    promote_both(registry, DAY)
    results = [
        trained(SEGMENTS, segments(registry, NEXT, names=("a", "b")), SIZES),
        trained(CHURN, churn(registry, NEXT, border=30.0), SOUND),
    ]
    assert len(str(compare.compare_models(NEXT, results, stores))) < 5_000
