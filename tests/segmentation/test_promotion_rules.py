"""Every rule has three zones, fails nothing that chance explains, and applies only where its number is there."""

import pytest

from segmentation import promotion_rules, tables
from segmentation.promotion_rules import Finding
from segmentation.settings import Promotion, Settings

CONFIG = Settings()
SOUND = {"auc": 0.75, "auc_gain": 0.0, "calibration_error": 0.02, "fairness_gap": 0.05}
SPEND = {"spearman": 0.5, "total_ratio": 1.1, "spend_share_top_tenth_gain": 0.0, "calibration_error": 0.5}
SIZES = {"smallest_share": 0.1, "largest_share": 0.4}
CHAMPION = {"fairness_gap": 0.05}


def judged(model, metrics, champion=CHAMPION, **changed):
    return promotion_rules.judge(model, metrics, champion, changed, CONFIG)


def verdict(findings):
    return promotion_rules.worst(each.verdict for each in findings)


def test_the_same_recipe_on_newer_data_passes():
    findings = judged("churn_90d", SOUND, churn_risk=0.1)
    assert [each.rule for each in findings] == ["chance", "gain", "calibration", "fairness", "changes"]
    assert verdict(findings) == "pass"
    assert verdict(judged("spend_90d", SPEND)) == "pass"
    assert verdict(judged(tables.SEGMENTS_MODEL, SIZES, segment_name=0.2)) == "pass"


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"auc_gain": -0.005}, "pass"),
        ({"auc_gain": -0.01}, "ask"),
        ({"auc_gain": -0.02}, "ask"),
        ({"auc_gain": -0.03}, "fail"),
        ({"auc_gain": -0.03, "auc_gain_low": -0.05, "auc_gain_high": -0.01}, "fail"),
        ({"auc_gain": -0.03, "auc_gain_low": -0.08, "auc_gain_high": 0.02}, "ask"),  # chance may explain it
        ({"auc_gain": None}, "ask"),
        ({"auc": 0.5}, "fail"),
        ({"calibration_error": 0.05}, "pass"),
        ({"calibration_error": 0.10}, "ask"),
        ({"calibration_error": 0.10, "champion_calibration_error": 0.11}, "pass"),
        ({"calibration_error": 0.16}, "fail"),
        ({"calibration_error": 0.16, "calibration_error_low": 0.12}, "ask"),
        ({"calibration_error": 0.30, "champion_calibration_error": 0.31}, "fail"),
        ({"calibration_error": 0.16, "calibration_error_low": 0.12, "champion_calibration_error": 0.31}, "ask"),
        ({"calibration_error": None}, "pass"),
        ({"fairness_gap": 0.10}, "pass"),
        ({"fairness_gap": 0.20}, "ask"),
        ({"fairness_gap": 0.30}, "fail"),
        ({"fairness_gap": None}, "pass"),
        ({"auc_gain": -0.01, "fairness_gap": 0.30}, "fail"),
    ],
)
def test_the_zones_of_a_probability(metrics, expected):
    numbers = {name: value for name, value in {**SOUND, **metrics}.items() if value is not None}
    assert verdict(judged("churn_90d", numbers)) == expected


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"spend_share_top_tenth_gain": -0.01}, "ask"),
        ({"spend_share_top_tenth_gain": -0.03, "spend_share_top_tenth_gain_high": -0.001}, "fail"),
        ({"spearman": -0.1}, "fail"),
        ({"total_ratio": 0.7}, "ask"),
        ({"total_ratio": 1.3, "champion_total_ratio": 0.65}, "pass"),
        ({"total_ratio": 1.6}, "fail"),
        ({"total_ratio": 3.0, "champion_total_ratio": 3.1}, "fail"),
        ({"total_ratio_gap": 0.20}, "pass"),
        ({"total_ratio_gap": 0.30}, "ask"),
        ({"total_ratio_gap": 0.51}, "fail"),
        ({"total_ratio": 1.6, "total_ratio_low": 0.9, "total_ratio_high": 2.4}, "ask"),
        ({"total_ratio": 0.4, "total_ratio_low": 0.3, "total_ratio_high": 0.45}, "fail"),
    ],
)
def test_the_zones_of_an_amount(metrics, expected):
    assert verdict(judged("spend_90d", {**SPEND, **metrics})) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.25, "pass"), (0.5, "ask"), (0.61, "fail")])
def test_the_zones_of_what_changes_for_customers(share, expected):
    findings = judged(tables.SEGMENTS_MODEL, SIZES, segment_name=share, offer=0.0)
    assert verdict(findings) == expected
    assert findings[1].words == (
        f"segment_name would change for {share:.1%} of the customers (passes up to 25%, fails above 60%)"
    )


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.4), (0.1, 0.7)])
def test_lopsided_segments_fail_with_or_without_a_champion(low, high):
    (finding,) = judged(tables.SEGMENTS_MODEL, {"smallest_share": low, "largest_share": high}, champion=None)
    assert finding == Finding("sizes", f"segments hold {low:.1%} to {high:.1%} of the buyers", "2% to 60%", "fail")


def test_a_gap_between_groups_that_the_champion_has_too_does_not_ask_every_week():
    metrics = {**SOUND, "fairness_gap": 0.18}
    assert verdict(judged("churn_90d", metrics)) == "ask"
    assert verdict(judged("churn_90d", metrics, champion={"fairness_gap": 0.19})) == "pass"


def test_a_gap_over_the_limit_fails_whatever_the_champion_has():
    assert verdict(judged("churn_90d", {**SOUND, "fairness_gap": 0.35}, champion={"fairness_gap": 0.36})) == "fail"


@pytest.mark.parametrize(
    ("metrics", "champion", "expected"),
    [
        ({"auc": 0.56, "auc_low": 0.54, "auc_high": 0.58}, {"auc": 0.93, "auc_low": 0.92}, "ask"),
        ({"auc": 0.56, "auc_low": 0.54, "auc_high": 0.95}, {"auc": 0.93, "auc_low": 0.92}, "pass"),  # chance may be it
        ({"auc": 0.91, "auc_low": 0.905, "auc_high": 0.915}, {"auc": 0.93, "auc_low": 0.92}, "pass"),  # little
        ({"auc": 0.95}, {"auc": 0.93, "auc_low": 0.92}, "pass"),
        ({"auc": 0.56}, {}, "pass"),  # of a champion that has told nothing
    ],
)
def test_far_less_than_the_champion_promised_is_asked_about_though_its_recipe_does_as_badly_now(
    metrics, champion, expected
):
    assert verdict(judged("churn_90d", {**SOUND, **metrics}, champion={**CHAMPION, **champion})) == expected


def test_of_spend_the_promise_is_its_order():
    champion = {"spearman": 0.6, "spearman_low": 0.58}
    assert verdict(judged("spend_90d", SPEND, champion)) == "ask"


def test_models_that_change_much_at_once_are_asked_about_and_never_refused():
    few, many = (
        promotion_rules.judge_together(["b", "a"], {"strategy_id": share}, CONFIG.promotion) for share in (0.2, 0.7)
    )
    assert (verdict(few), verdict(many)) == ("pass", "ask")
    assert many[0].words == ("strategy_id would change for 70.0% of the customers with a, b at once (passes up to 25%)")


def test_without_a_champion_there_is_nothing_to_keep_and_what_does_not_fail_passes():
    metrics = {"auc": 0.6, "calibration_error": 0.10, "fairness_gap": 0.20}
    findings = judged("churn_90d", metrics, champion=None)
    assert [(each.rule, each.verdict) for each in findings] == [
        ("chance", "pass"),
        ("calibration", "pass"),
        ("fairness", "pass"),
    ]
    assert verdict(judged("churn_90d", {**metrics, "auc": 0.48}, champion=None)) == "fail"


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


POLICY = {
    f"value_{name}{end}": value
    for name in ("policy", "advantage")
    for end, value in (("", 0.2), ("_low", -0.1), ("_high", 0.5))
}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, "pass"),
        ({"value_advantage": 0.0}, "pass"),  # everybody the best single offer
        ({"value_advantage": -0.05}, "ask"),
        ({"value_advantage": -0.3, "value_advantage_high": -0.01}, "fail"),
        ({"value_policy": -0.05}, "ask"),
        ({"value_policy": -0.3, "value_policy_high": -0.01}, "fail"),
        ({"untried_share": 0.2}, "pass"),
        ({"untried_share": 0.3}, "ask"),
        ({"changed_share_strategy": 0.2}, "pass"),
        ({"changed_share_strategy": 0.4}, "ask"),
        ({"changed_share_strategy": 0.7}, "fail"),
    ],
)
def test_a_policy_is_judged_by_what_it_is_worth_and_what_it_changes(metrics, expected):
    findings = judged(tables.UPLIFT_MODEL, {**POLICY, **metrics})
    assert verdict(findings) == expected
    assert {each.rule for each in findings} <= {"worth", "advantage", "changes", "support"}
    assert "+0.2000 (-0.1000 to +0.5000)" in judged(tables.UPLIFT_MODEL, POLICY)[0].found


def test_a_first_policy_is_refused_only_for_what_is_sure():
    assert verdict(judged(tables.UPLIFT_MODEL, {**POLICY, "value_policy": -0.05}, None)) == "pass"
    surely_worse = {**POLICY, "value_policy": -0.3, "value_policy_high": -0.01}
    assert verdict(judged(tables.UPLIFT_MODEL, surely_worse, None)) == "fail"
