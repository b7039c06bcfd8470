"""Quantiles of numbers in pieces are numpy's of all of them, to the last bit, and none is kept."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from segmentation import streamed_quantiles

SHARES = (0.0, 0.5, 0.8, 0.999, 1.0)
NUMBERS = some.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(some.lists(some.lists(NUMBERS, max_size=7), max_size=5), some.lists(some.floats(0, 1), min_size=1, max_size=4))
def test_they_are_those_of_all_pieces_together(pieces, shares):
    pieces = [np.array(piece, np.float64) for piece in pieces]
    found = streamed_quantiles.quantiles(lambda: pieces, shares)
    together = np.concatenate([np.empty(0), *pieces])
    assert found == (list(np.quantile(together, shares)) if len(together) else None)


@pytest.mark.parametrize("numbers", [[5.0], [0.0, -0.0, 0.0], [1.0] * 9, [-3.0, -3.5, 2.0, 1e-310]])
def test_one_number_equal_ones_negative_ones_and_the_least(numbers):
    found = streamed_quantiles.quantiles(lambda: [np.array(numbers)], SHARES)
    assert found == list(np.quantile(numbers, SHARES))


def test_of_a_million_in_cents_in_the_memory_of_a_piece():
    def pieces():
        rng = np.random.default_rng(3)
        for _ in range(100):
            yield rng.gamma(0.5, 300, 10_000).round(2)

    tracemalloc.start()
    found = streamed_quantiles.quantiles(pieces, [0.8, 0.5])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == list(np.quantile(np.concatenate(list(pieces())), [0.8, 0.5]))
    assert peak < 5_000_000  # a million of them are 8,000,000 bytes
