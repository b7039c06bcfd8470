"""Names are unique and say what sets a segment apart."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation import naming

COLUMNS = ["last_order_age_days", "orders_count", "spend_total"]
rank = st.floats(0, 1, allow_nan=False)


def names(rows, median_orders):
    return list(naming.name_segments(pd.DataFrame(rows, columns=COLUMNS), pd.Series(median_orders)))


def test_a_name_says_recency_frequency_and_spend():
    assert names([[0.2, 0.9, 0.9], [0.5, 0.5, 0.5], [0.9, 0.1, 0.1]], [9, 3, 1]) == [
        "recent_loyal_big_spenders",
        "cooling_repeat_medium_spenders",
        "lapsed_one_time_small_spenders",
    ]


def test_namesakes_are_told_apart_by_what_differs_most():
    assert names([[0.1, 0.9, 0.7], [0.1, 0.9, 0.99]], [9, 9]) == [
        "recent_loyal_big_spenders_lower_spend",
        "recent_loyal_big_spenders_higher_spend",
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(rank, rank, rank), min_size=1, max_size=12), st.integers(1, 5))
def test_names_are_unique_whatever_the_segments(rows, median_orders):
    found = names(rows, np.full(len(rows), median_orders))
    assert len(set(found)) == len(rows)
