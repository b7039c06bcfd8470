"""Every rule has three zones, applies only where its number is there, and the page says what would change."""

import pandas as pd
import pytest

from segmentation import compare, tables
from segmentation.settings import Promotion, Settings

CONFIG = Settings()
SOUND = {"auc": 0.75, "champion_auc": 0.75, "auc_gain": 0.0, "calibration_error": 0.02, "fairness_gap": 0.05}
SIZES = {"smallest_share": 0.1, "largest_share": 0.4}


def verdict(model="churn_90d", share=0.1, **metrics):
    return compare.worst(each.verdict for each in compare.judge(model, {**SOUND, **metrics}, share, CONFIG))


def test_the_same_recipe_on_newer_data_passes():
    assert verdict() == "pass"
    assert len(compare.judge("churn_90d", SOUND, 0.1, CONFIG)) == 5


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"auc_gain": -0.005}, "pass"),
        ({"auc_gain": -0.01}, "ask"),
        ({"auc_gain": -0.03}, "fail"),
        ({"auc": 0.5}, "fail"),
        ({"calibration_error": 0.05}, "pass"),
        ({"calibration_error": 0.10}, "ask"),
        ({"calibration_error": 0.10, "champion_calibration_error": 0.11}, "pass"),
        ({"calibration_error": 0.16}, "fail"),
        ({"fairness_gap": 0.10}, "pass"),
        ({"fairness_gap": 0.20}, "ask"),
        ({"fairness_gap": 0.30}, "fail"),
        ({"share": 0.25}, "pass"),
        ({"share": 0.50}, "ask"),
        ({"share": 0.61}, "fail"),
        ({"auc_gain": -0.01, "fairness_gap": 0.30}, "fail"),
    ],
)
def test_the_zones_of_each_rule(metrics, expected):
    assert verdict(**metrics) == expected


def test_the_first_model_of_all_is_judged_by_what_there_is():
    findings = compare.judge("churn_90d", {"auc": 0.6}, None, CONFIG)
    assert [(each.rule, each.verdict) for each in findings] == [("chance", "pass")]


def test_an_amount_is_judged_by_the_spend_of_its_best_tenth():
    metrics = {"spearman": 0.5, "spend_share_top_tenth_gain": -0.01, "calibration_error": 0.5}
    (finding,) = compare.judge("spend_90d", metrics, None, CONFIG)
    assert finding.verdict == "ask"
    assert finding.words == "share of spend in the best tenth -0.0100 against the champion's recipe"


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.4), (0.1, 0.7)])
def test_lopsided_segments_fail(low, high):
    metrics = {"smallest_share": low, "largest_share": high}
    (finding,) = compare.judge(tables.SEGMENTS_MODEL, metrics, None, CONFIG)
    assert finding.verdict == "fail"
    assert "outside 2% to 60%" in finding.words


def test_segments_that_move_too_many_customers_are_asked_about():
    findings = compare.judge(tables.SEGMENTS_MODEL, SIZES, 0.4, CONFIG)
    assert compare.worst(each.verdict for each in findings) == "ask"
    assert findings[-1].words == "segment_name would change for 40.0% of the customers"


def test_the_page_shows_the_rules_and_from_where_to_where():
    changed = pd.DataFrame({"from": ["low", "low", "high"], "to": ["low", "high", "high"]})
    findings = compare.judge("churn_90d", {**SOUND, "auc_gain": -0.01}, 1 / 3, CONFIG)
    page = compare._page("churn_90d", "7", "ask", findings, changed)
    assert page.startswith("## churn_90d version 7: ask\n")
    assert "| gain | AUC -0.0100 against the champion's recipe | ask |" in page
    assert "| | high | low |" in page
    assert "| low | 1 | 1 |" in page


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"good_gain": -0.02, "bad_gain": -0.01}, "bad_gain -0.01 must not be above"),
        ({"good_fairness_gap": 0.5}, "bad_fairness_gap must not be below"),
    ],
)
def test_limits_in_the_wrong_order_are_refused(limits, said):
    with pytest.raises(ValueError, match=said):
        Promotion(**limits)
