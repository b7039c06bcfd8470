"""Reasons in words: the heaviest kinds first, one reason a kind, what is missing told once, nothing personal."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml

from segmentation import families, reasons, tables
from segmentation.explain import Contributions

LANGUAGES = ("en", "zh")
CHURN, NEWCOMER = tables.CHURN.model, tables.NEWCOMER.model


def told(row: dict[str, tuple[float | str, float]], model=CHURN, language="en") -> list[str]:
    """The reasons of one customer: feature -> (value, what it adds)."""
    found = Contributions(tuple(row), 0.0, np.array([[added for _, added in row.values()]]))
    inputs = pd.DataFrame({name: [value] for name, (value, _) in row.items()})
    return reasons.tell(found, inputs, model, language).to_pylist()[0]


def test_the_heaviest_come_first_with_value_and_effect():
    assert told(
        {
            "last_order_age_days": (120.0, 0.7),
            "spend_365d": (1234.4, -0.9),
            "complaints_365d": (1.0, 0.2),
            "coupon_share": (0.345, 0.1),
        }
    ) == [
        "spent 1,234 in the last 12 months (lowers the risk to leave)",
        "last order 120 days ago (raises the risk to leave)",
        "1 complaint in the last 12 months (raises the risk to leave)",
    ]


def test_they_are_told_in_chinese_where_a_shop_wants_it():
    row = {
        "last_order_age_days": (120.0, 0.7),
        "spend_365d": (1234.4, -0.9),
        "orders_90d": (0.0, 0.4),
        "coupon_share": (0.345, 0.1),
    }
    assert told(row, language="zh") == [
        "近 12 个月消费 1,234（流失风险降低）",
        "最近一次下单在 120 天前（流失风险升高）",
        "近 90 天有 0 个订单（流失风险升高）",
    ]
    assert told({"last_order_age_days": (np.nan, -0.1)}, NEWCOMER, "zh") == ["尚未下单（近期下单概率降低）"]


def test_features_of_one_kind_count_together_and_fill_one_place():
    row = {
        "spend_total": (500.0, -0.4),
        "spend_365d": (400.0, -0.5),
        "spend_90d": (300.0, 0.1),
        "last_order_age_days": (20.0, -0.7),
        "coupon_share": (0.5, 0.1),
        "channel_top": ("app", 0.2),
    }
    assert told(row) == [
        "spent 400 in the last 12 months (lowers the risk to leave)",
        "last order 20 days ago (lowers the risk to leave)",
        "comes mostly over: app (raises the risk to leave)",
    ]


def test_two_ways_agree_on_whom_they_name_the_same_three_kinds_in_whatever_order():
    columns = ("last_order_age_days", "spend_total", "spend_365d", "complaints_365d", "coupon_share", "age_years")
    one = Contributions(columns, 0.0, np.array([[0.9, 0.3, 0.3, 0.5, 0.1, 9.0], [0.9, 0.3, 0.3, 0.5, 0.1, 9.0]]))
    other = Contributions(columns, 0.0, np.array([[-0.5, 0.6, 0.3, 0.8, 0.1, 0.0], [0.9, 0.2, -0.2, 0.5, 0.1, 0.0]]))
    assert reasons.agreement(one, other) == 0.5  # of the second, spend comes to nothing and a coupon is before it
    assert reasons.agreement(one, one) == 1


def test_who_has_not_ordered_hears_so_once():
    row = {
        "last_order_age_days": (np.nan, -0.1),
        "orders_count": (0.0, -0.3),
        "spend_total": (0.0, -0.3),
        "order_gap_mean_days": (np.nan, -0.5),
        "category_top": ("unknown", -0.2),
        "last_visit_age_days": (3.0, 0.4),
        "tenure_days": (9.0, 0.2),
    }
    assert told(row, NEWCOMER) == [
        "no order yet (lowers the chance of an order soon)",
        "last visit 3 days ago (raises the chance of an order soon)",
        "signed up 9 days ago (raises the chance of an order soon)",
    ]


def test_missing_values_and_zeros_read_well():
    row = {
        "last_complaint_age_days": (np.nan, -0.5),
        "last_ticket_age_days": (40.0, 0.1),
        "orders_90d": (0.0, 0.4),
        "last_order_age_days": (100.0, 0.3),
    }
    assert told(row)[:2] == [
        "no complaint yet (lowers the risk to leave)",
        "no orders in the last 90 days (raises the risk to leave)",
    ]


def test_nothing_about_the_person_is_a_reason():
    row = dict.fromkeys(("age_years", "gender", "income_band", "city", "country"), ("unknown", 5.0))
    row |= {"age_years": (70.0, 9.0), "tenure_days": (400.0, 0.1)}
    assert told(row) == ["signed up 400 days ago (raises the risk to leave)"]


def test_a_model_of_one_kind_tells_its_features_apart():
    row = {"spend_total": (50.0, 0.3), "spend_365d": (40.0, 0.2), "spend_30d": (30.0, -0.1)}
    assert len(told(row)) == 3


def test_what_adds_nothing_is_no_reason():
    assert told({"spend_total": (50.0, 0.3), "tenure_days": (40.0, 0.0), "channel_top": ("app", 0.0)}) == [
        "spent 50 in all (raises the risk to leave)"
    ]
    assert told({"tenure_days": (40.0, 0.0)}) == []


def test_of_kinds_that_weigh_the_same_the_first_is_told_and_the_order_is_that_of_the_weights():
    rng = np.random.default_rng(2)
    weights = rng.integers(-3, 4, (9, 500)).astype("float64")  # many are equal, many are 0
    found = reasons._heaviest(weights)
    for kinds, own in zip(found, weights.T, strict=True):
        ranked = [kind for kind in np.argsort(-np.abs(own), kind="stable") if own[kind]][: reasons.MOST]
        assert kinds.tolist() == ranked + [-1] * (reasons.MOST - len(ranked))


def test_rows_do_not_mix():
    found = Contributions(("last_order_age_days", "spend_total"), 0.0, np.array([[0.1, 0.5], [0.9, -0.2], [-0.3, 0.1]]))
    inputs = pd.DataFrame({"last_order_age_days": [1.0, 2.0, 3.0], "spend_total": [10.0, 20.0, 30.0]})
    heads = [[each.split(" (")[0] for each in row] for row in reasons.tell(found, inputs, CHURN).to_pylist()]
    assert heads == [
        ["spent 10 in all", "last order 1 day ago"],
        ["last order 2 days ago", "spent 20 in all"],
        ["last order 3 days ago", "spent 30 in all"],
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_feature_has_words_and_none_is_spelt_wrong(language):
    features = {column.name for family in families.every() for column in family.columns}
    kinds = yaml.safe_load(reasons.CONFIG[language].read_text())
    named = [name for kind in kinds.values() for name in kind]
    assert len(named) == len(set(named))
    assert set(named) == features - set(reasons.WITHHELD)


def test_a_reason_is_of_the_same_kind_and_unit_in_each_language():
    english, chinese = (reasons.phrasebook(language) for language in LANGUAGES)
    for name, phrase in english.items():
        other = chinese[name]
        assert (other.kind, other.source, other.unit) == (phrase.kind, phrase.source, phrase.unit), name
        assert (other.none is None, bool(other.directions)) == (phrase.none is None, bool(phrase.directions)), name
        assert [("{}" in text) for text in (other.text, *other.directions)] == [
            ("{}" in text) for text in (phrase.text, *phrase.directions)
        ], name


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "name", [c.name for f in families.every() for c in f.columns if c.name not in reasons.WITHHELD]
)
def test_a_phrase_reads_for_any_value(name, language):
    phrase = reasons.phrasebook(language)[name]
    values = ["search_ad", "unknown"] if phrase.unit == "name" else [0.0, 1.0, 2.5, 400.0, np.nan]
    for value in values:
        text = phrase.of(value)
        assert text
        if language == "zh":
            assert not re.search("[a-z]", text.replace("search ad", "").replace("App", "")), text
        assert "{}" not in text
        assert "nan" not in text
        assert not text.endswith(".")
    if phrase.unit != "name" and not phrase.directions:
        assert phrase.of(1.0) != phrase.of(3.0)


def test_a_feature_that_nobody_found_words_for_is_told_as_the_dictionary_has_it():
    column = families.Column("new", "Parcels sent, all of them.", "parcels", "30 days", "none was sent")
    phrase = reasons._phrase(column, "parcels", "parcels", None)
    assert phrase.of(1.0) == "parcels sent in the last 30 days: 1 parcel"
    assert phrase.of(np.nan) == "parcels sent in the last 30 days: none was sent"
