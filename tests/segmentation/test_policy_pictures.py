"""The pictures of a policy show the numbers that they are given."""

import numpy as np
import pytest

from segmentation import policy_pictures
from segmentation.policy_value import Curve, Value


def test_curves_are_drawn_beside_their_lots():
    curve = Curve(np.array([0, 0.5, 1]), np.array([0, 3.0, 2.0]), area=1.0, low=0.4, high=1.6)
    figure = policy_pictures.ranking("Qini", {"mail": curve, "sms": curve}, "visits per customer")
    [axes] = figure.axes
    drawn = [line.get_xydata().tolist() for line in axes.lines[:4]]
    assert drawn == 2 * [[[0, 0], [0.5, 3], [1, 2]], [[0, 0], [1, 2]]]
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == ["mail: area +1 (+0.4 to +1.6)", "sms: area +1 (+0.4 to +1.6)"]
    assert axes.get_ylabel() == "visits per customer"
    with pytest.raises(ValueError, match="no curve"):
        policy_pictures.ranking("Qini", {}, "visits")


def test_values_are_drawn_with_their_intervals():
    found = {"the offer": Value(2.0, 0.5), "the policy": Value(-1.0, 0.0)}
    figure = policy_pictures.values("Worth", found, "margin")
    [axes] = figure.axes
    interval, point, *_ = (line.get_xydata() for line in axes.lines)
    assert interval == pytest.approx(np.array([[2 - 1.959964 * 0.5, 0], [2 + 1.959964 * 0.5, 0]]))
    assert point.tolist() == [[2, 0]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["the offer", "the policy"]
    assert [text.get_text() for text in axes.texts] == ["+2", "-1"]
    with pytest.raises(ValueError, match="no value"):
        policy_pictures.values("Worth", {}, "margin")
