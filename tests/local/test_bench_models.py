"""Methods are compared on the same shops."""

import pytest

from local.bench import models


def test_a_shop_that_a_method_could_not_be_measured_in_counts_for_none():
    shops = [
        {"rule": (0.7, 0.5), "champion": (0.8, 0.5)},
        {"rule": (0.1, 0.9)},
        {"rule": (0.5, 0.3), "champion": (0.6, 0.4)},
    ]
    found = models.means_of(shops)
    assert list(found["rule"]) == pytest.approx([0.6, 0.4])
    assert list(found["champion"]) == pytest.approx([0.7, 0.45])


def test_where_no_shop_has_a_champion_the_others_are_compared():
    assert list(models.means_of([{"rule": (0.6, 0.4)}, {"rule": (0.8, 0.2)}])["rule"]) == pytest.approx([0.7, 0.3])
    assert models.means_of([{"rule": (0.6, 0.4)}, {"champion": (0.6, 0.4)}]) == {}
