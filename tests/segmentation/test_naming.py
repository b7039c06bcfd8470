"""Names are unique and say what sets a segment apart; a marketer's file is checked line by line."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation import naming
from segmentation.naming import Name

COLUMNS = ["last_order_age_days", "orders_count", "spend_total"]
rank = st.floats(0, 1, allow_nan=False)


def names(rows, median_orders):
    return list(naming.name_segments(pd.DataFrame(rows, columns=COLUMNS), pd.Series(median_orders)).values())


def test_a_name_says_recency_frequency_and_spend():
    assert names([[0.2, 0.9, 0.9], [0.5, 0.5, 0.5], [0.9, 0.1, 0.1]], [9, 3, 1]) == [
        Name("recent_loyal_big_spenders", "近期·高频·高消费客户"),
        Name("cooling_repeat_medium_spenders", "渐冷·中频·中等消费客户"),
        Name("lapsed_one_time_small_spenders", "沉睡·单次·低消费客户"),
    ]


def test_namesakes_are_told_apart_by_what_differs_most():
    assert names([[0.1, 0.9, 0.7], [0.1, 0.9, 0.99]], [9, 9]) == [
        Name("recent_loyal_big_spenders_lower_spend", "近期·高频·高消费客户·消费较低"),
        Name("recent_loyal_big_spenders_higher_spend", "近期·高频·高消费客户·消费较高"),
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(rank, rank, rank), min_size=1, max_size=12), st.integers(1, 5))
def test_names_are_unique_in_both_languages_whatever_the_segments(rows, median_orders):
    found = names(rows, np.full(len(rows), median_orders))
    assert len({name.en for name in found}) == len({name.zh for name in found}) == len(rows)


def test_a_new_segment_takes_no_name_that_another_has():
    taken = {"Loyal", "loyal_2", "老客"}
    assert naming.apart_from(Name("loyal", "常客"), taken) == Name("loyal_3", "常客3")


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "segment_names.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_an_edit_shows_and_the_rest_keeps_its_names(file):
    path = file("# ours\n2: {en: big regulars, zh: 高价值老客}\n3: {zh: 新客}\n")
    assert naming.edited({1: "one", 2: "two", 3: "three"}, path=path) == {1: "one", 2: "big regulars", 3: "three"}
    assert naming.edited({1: "一", 2: "二", 3: "三"}, "zh", path) == {1: "一", 2: "高价值老客", 3: "新客"}


def test_two_segments_may_exchange_their_names(file):
    path = file("1: {en: two}\n2: {en: one}\n")
    assert naming.edited({1: "one", 2: "two"}, path=path) == {1: "two", 2: "one"}


def test_names_of_segments_that_are_not_there_are_warned_of(file, caplog):
    with caplog.at_level(logging.WARNING):
        assert naming.edited({1: "one"}, path=file("\n9: {en: gone}\n")) == {1: "one"}
    assert "segment_names.yaml line 2: there is no segment 9 now" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: {en: a}\n2: {en: A }\n", r"line 2: segment 2: segment 1 is called 'A' already"),
        ("1:\n  zh: 客\n2:\n  en: b\n  zh: 客\n", r"line 5: segment 2: segment 1 is called '客' already"),
        ("1: {en: ''}\n", r"line 1: segment 1: en is empty"),
        ("1:\n  en: a\n  zh:\n", r"line 3: segment 1: zh is empty"),
        ("1:\n  en: a\n  fr: b\n", r"line 3: segment 1: 'fr' is not known; there are en and zh"),
        ("1: {en: a, en: b}\n", r"line 1: segment 1: en stands there twice"),
        ("1: {en: a}\n1: {en: b}\n", r"line 2: segment 1 stands in line 1 already"),
        ("vip: {en: a}\n", r"line 1: 'vip' is no segment id"),
        ("1: big\n", r"line 1: expected en and zh of segment 1"),
        ("- a\n", r"line 1: expected segment ids"),
        ("1: {en: a\n", r"line 2: this is no YAML"),
        ('1: {en: "a\\nb"}\n', r"line 1: segment 1: en must be one line"),
        ("2: {en: one}\n", r"line 1: segment 1 is called 'one' already"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_with_line_and_reason(file, text, message):
    with pytest.raises(naming.NamesError, match=message):
        naming.edited({1: "one", 2: "two"}, path=file(text))


def test_the_file_that_is_shipped_is_right_and_changes_nothing():
    assert naming.read() == {}
