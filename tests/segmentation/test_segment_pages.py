"""Rules, words and pictures of segments."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from segmentation import cluster, lineage, segment_pages, segment_pictures, segment_rules
from segmentation.buyers import COLUMNS, Past
from tests.segmentation.test_cluster import four_kinds

LABELS = np.repeat(np.arange(4), 100)


@pytest.fixture(scope="module")
def told():
    rows = four_kinds()
    segments, profile = cluster.describe(rows, LABELS, lineage.first(range(4)))
    return rows, segment_pages.shown(segments), profile


def test_rules_reach_the_agreement_with_the_shallowest_tree(told):
    rules = segment_rules.find(told[0], LABELS, 400, deepest=8, least=0.85)
    assert rules.agreement == 1
    assert rules.depth == 2
    assert set(rules.precision.values()) == set(rules.recall.values()) == {1.0}
    assert sum(rule.share for each in rules.of.values() for rule in each) == pytest.approx(1)


def test_rules_say_what_they_do_and_their_precision_and_recall_are_counted():
    """40 of the 100 customers of cluster 1 look like those of cluster 0."""
    rows = pd.DataFrame(np.zeros((300, 3)), columns=list(COLUMNS))
    rows["orders_count"] = np.repeat([1.0, 1.0, 9.0], [200, 40, 60])
    labels = np.repeat([0, 1], 200)[:300]
    rules = segment_rules.find(rows, labels, 300, deepest=3, least=0.99)
    assert rules.agreement == pytest.approx(260 / 300)
    assert rules.precision == {0: pytest.approx(200 / 240), 1: 1.0}
    assert rules.recall == {0: 1.0, 1: pytest.approx(0.6)}
    assert [segment_pages.rule_in_words(rule) for rule in rules.of[1]] == ["more than 5 orders"]


def test_one_order_is_one_order():
    rule = segment_rules.Rule({"orders_count": (-np.inf, 1.0), "spend_total": (20.0, np.inf)}, 0.1)
    assert segment_pages.rule_in_words(rule) == "at most 1 order; spend more than 20"


def test_limits_are_whole_where_the_values_are(told):
    rules = segment_rules.find(told[0], LABELS, 400, deepest=8, least=0.85)
    limits = [x for each in rules.of.values() for rule in each for pair in rule.limits.values() for x in pair]
    assert all(limit == round(limit) for limit in limits if np.isfinite(limit))


def test_what_customers_did_next_is_counted_by_segment():
    outcomes = pd.DataFrame({"spend_far": [10.0, 0, 30, 60], "is_churn": [0, 1, 0, 0], "is_purchase": [0, 0, 1, 1]})
    past = Past(dt.date(2026, 1, 1), pd.DataFrame(np.ones((4, 3)), columns=list(COLUMNS)), outcomes)
    found = segment_pages.happened_next(past, np.array([1, 1, 2, 2]))
    assert found.loc[1, ["customers", "bought_near", "bought_far", "spend", "spend_share"]].tolist() == [
        2,
        0,
        0.5,
        5,
        0.1,
    ]
    assert found.loc[2, ["customers", "bought_near", "bought_far", "spend", "spend_share"]].tolist() == [
        2,
        1,
        1,
        45,
        0.9,
    ]


def test_the_page_has_sizes_names_words_and_rules(told):
    rows, segments, profile = told
    rules = segment_rules.find(rows, LABELS, 400, deepest=8, least=0.85)
    page = segment_pages.page(segments, rules, profile, "the history is too short")
    assert "| 1 | recent_loyal_big_spenders | 近期·高频·高消费客户 | 100 | 25.0% |" in page
    assert "put 100.0% of the buyers" in page
    assert "than 88% of all buyers, " in page
    assert "What customers did next is not told: the history is too short." in page


def test_every_picture_can_be_drawn_and_is_explained(told, tmp_path):
    rows, segments, profile = told
    names = {segment["cluster"]: segment["shown_en"] for segment in segments}
    figures = {
        "sizes": segment_pictures.segment_sizes(list(names.values()), [0.25] * 4),
        "profiles": segment_pictures.segment_profiles(profile),
        "map": segment_pictures.segment_map(rows.to_numpy(), LABELS, names),
        "number_of_segments": segment_pictures.k_curve({"power": [(4, 0.8, True), (5, 0.7, False)]}, "k", ("power", 4)),
        "stability": segment_pictures.stability([0.9, 0.8]),
        "candidates": segment_pictures.score_parts({"a": {"separation": 0.4}, "b": {"stability": 0.2}}, "a"),
    }
    captions = segment_pages.captions(segments)
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert f"`{name}.png`" in captions
    assert "近期·高频·高消费客户" in captions
