"""What the new models would change is counted on the newest customers, and told where a human looks."""

import datetime as dt

import pytest

from segmentation import compare, settings, strategy_changes, tables
from segmentation.registry import Registry
from tests import frames
from tests.rivals import (
    CHURN,
    CUSTOMERS,
    PURCHASE,
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
    write_examples(stores, NEXT)
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
    numbers = registry.metrics(registry.version(CHURN, "2"))
    assert numbers["changed_share_churn_risk"] == 0
    assert "changed_share_strategy_id" not in numbers  # without the chance to buy no strategy can be used
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
    rows, share = compare._newest(NEXT, stores, settings.load().promotion.compared_rows)
    assert rows["customer_id"].to_pylist() == [f"C{n}" for n in range(0, CUSTOMERS, 2)]
    assert share == 0.5


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


BUYERS = """\
- id: buyers
  name: {en: Buyers, zh: 买家}
  priority: 1
  who: purchase_probability_30d > 0.5
  offer: Five per cent off
  channels: [email]
  cost_per_contact: 0
  expected_margin: 100
  expected_lift: 1.2
  frequency_cap: {contacts: 2, days: 30}
  holdout_share: 0.1
"""


@pytest.fixture
def strategies(tmp_path):
    """A file of one strategy, for those who are likely to buy."""
    path = tmp_path / "strategies.yaml"
    path.write_text(BUYERS, encoding="utf-8")
    return path


def test_a_model_is_asked_about_that_changes_offers_and_nothing_else_that_is_published(stores, registry, strategies):
    promote_both(registry, DAY)
    registry.promote(PURCHASE, churn(registry, DAY, model=PURCHASE), "for a test")
    results = [
        trained(SEGMENTS, segments(registry, NEXT), SIZES),
        trained(PURCHASE, churn(registry, NEXT, border=30.0, model=PURCHASE), SOUND),
        {"model": CHURN, "skipped": "its champion goes on"},
    ]
    found = compare.compare_models(NEXT, results, stores, strategies)
    assert {model: each["verdict"] for model, each in found["verdicts"].items()} == {SEGMENTS: "pass", PURCHASE: "ask"}
    of_all = "would change for 35.0% of the customers (passes up to 25%, fails above 60%)"
    assert found["verdicts"][PURCHASE]["reasons"] == [f"{each} {of_all}" for each in ("strategy_id", "offer")]
    (question,) = found["questions"]
    assert "| now | then | customers |\n|---|---|---:|\n| none | buyers | 70 |\n" in question["body"]
    for model, share in ((SEGMENTS, 0), (PURCHASE, 0.35)):
        numbers = registry.metrics(registry.version(model, "2"))
        assert numbers["changed_share_strategy_id"] == numbers["changed_share_offer"] == pytest.approx(share)


def test_models_that_each_change_few_offers_and_together_many_are_asked_about(stores, registry, strategies):
    promote_both(registry, DAY)
    registry.promote(PURCHASE, churn(registry, DAY, model=PURCHASE), "for a test")
    stay, leave = (BUYERS.replace("> 0.5", f"> 0.5 and churn_risk = '{risk}'") for risk in ("low", "high"))
    leave = (
        leave.replace("id: buyers", "id: leaving").replace("Buyers", "Leaving").replace("priority: 1", "priority: 2")
    )
    strategies.write_text(stay + leave, encoding="utf-8")
    results = [
        trained(SEGMENTS, segments(registry, NEXT), SIZES),
        trained(CHURN, churn(registry, NEXT, border=140.0), SOUND),
        trained(PURCHASE, churn(registry, NEXT, border=60.0, model=PURCHASE), SOUND),
    ]
    found = compare.compare_models(NEXT, results, stores, strategies)
    for model in (CHURN, PURCHASE):
        numbers = registry.metrics(registry.version(model, "2"))
        assert numbers["changed_share_strategy_id"] == pytest.approx(0.2), "which alone would pass"
        words = (
            f"strategy_id would change for 40.0% of the customers with {CHURN}, {PURCHASE} at once (passes up to 25%)"
        )
        assert words in found["verdicts"][model]["reasons"]
    assert found["asked"] == [CHURN, PURCHASE]
    assert "| changes together | strategy_id would change for 40.0%" in found["questions"][0]["body"]
    one = compare.compare_models(NEXT, results[:2], stores, strategies)
    assert one["asked"] == [], "with nothing else to change"


def test_a_skipped_targets_champion_still_decides_the_strategies(stores, registry, strategies):
    promote_both(registry, DAY)
    registry.promote(PURCHASE, churn(registry, DAY, model=PURCHASE), "for a test")
    strategies.write_text(BUYERS.replace("> 0.5", "> 0.5 and churn_risk = 'high'"), encoding="utf-8")
    results = [
        trained(SEGMENTS, segments(registry, NEXT), SIZES),
        trained(CHURN, churn(registry, NEXT, border=150.0), SOUND),
        {"model": PURCHASE, "skipped": "its champion goes on"},
    ]
    compare.compare_models(NEXT, results, stores, strategies)
    numbers = registry.metrics(registry.version(CHURN, "2"))
    assert numbers["changed_share_strategy_id"] == pytest.approx(0.25)


def test_strategies_that_cannot_be_read_are_for_a_human(stores, registry, strategies):
    promote_both(registry, DAY)
    strategies.write_text(BUYERS.replace("purchase_probability_30d", "purchase"), encoding="utf-8")
    results = [trained(SEGMENTS, segments(registry, NEXT), SIZES), trained(CHURN, churn(registry, NEXT), SOUND)]
    found = compare.compare_models(NEXT, results, stores, strategies)
    assert found["asked"] == [SEGMENTS, CHURN]
    assert found["verdicts"][CHURN]["reasons"][0].startswith(
        "strategies.yaml has 1 problem; nobody gets an offer by it:"
    )


def test_of_some_customers_a_budget_takes_their_share(stores, registry, strategies):
    text = BUYERS.replace("cost_per_contact: 0", "cost_per_contact: 0.5\n  budget: 20").replace("0.1\n", "0\n")
    strategies.write_text(text.replace("> 0.5", ">= 0"), encoding="utf-8")
    rows, share = compare._newest(NEXT, stores, 100)
    features = rows.to_pandas()
    scores = [
        frames.typed(
            [{"customer_id": one, "purchase_probability_30d": 0.3 + place / 1e3 * way} for place, one in who],
            tables.SEGMENT_COLUMNS,
        ).to_batches()[0]
        for who in [list(enumerate(features["customer_id"]))]
        for way in (1, -1)
    ]
    up, down = strategy_changes.chosen(NEXT, stores, rows, share, scores, strategies)
    assert share == 0.5
    assert up.index[up["strategy_id"].notna()].tolist() == features["customer_id"].tolist()[-20:]  # of 40 for everyone
    assert down.index[down["offer"] == "Five per cent off"].tolist() == features["customer_id"].tolist()[:20]


def test_what_is_returned_is_small(stores, registry):
    promote_both(registry, DAY)
    results = [
        trained(SEGMENTS, segments(registry, NEXT, names=("a", "b")), SIZES),
        trained(CHURN, churn(registry, NEXT, border=30.0), SOUND),
    ]
    assert len(str(compare.compare_models(NEXT, results, stores))) < 5_000
