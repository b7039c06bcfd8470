"""The purchase model has the largest share of a blend that is within one standard error of the best."""

import numpy as np
import pytest

from segmentation import amount_blend

NAMES = ["purchase_model", "tweedie_regression", "xgboost"]


def spent(customers: int, cutoffs: int, noise: tuple[float, ...], seed: int = 0):
    """(amounts by members, actual, cutoffs, customers): a member knows the log of what is spent, but for its noise."""
    rng = np.random.default_rng(seed)
    rows = customers * cutoffs
    mean = rng.normal(0, 1, rows)
    actual = np.exp(mean + rng.normal(0, 1, rows)) * (rng.random(rows) < 0.5)
    amounts = np.exp(np.column_stack([mean + rng.normal(0, each, rows) for each in noise]))
    return amounts, actual, np.repeat(np.arange(cutoffs), customers), np.tile(np.arange(customers), cutoffs)


def test_it_stands_alone_where_nothing_tells_the_members_apart():
    assert amount_blend.weights(NAMES, *spent(300, 1, (0.5, 0.5, 0.5)), seed=1) == (1, 0, 0)


def test_the_others_weigh_what_many_rows_show_them_to_be_worth():
    weights = amount_blend.weights(NAMES, *spent(8_000, 3, (2.0, 0.2, 0.2)), seed=1)
    assert weights[0] < 0.5
    assert weights[1] == weights[2] == (1 - weights[0]) / 2


def test_a_worse_purchase_model_keeps_more_among_few_rows_than_among_many():
    kept = [
        np.mean([amount_blend.weights(NAMES, *spent(n, 1, (0.8, 0.6, 0.6), seed), seed=1)[0] for seed in range(8)])
        for n in (150, 6_000)
    ]
    assert kept[0] > kept[1]


def test_rows_of_one_customer_are_one_customer():
    """Ten copies of the same customers tell no more than one: each row of its own would look ten times as sure."""
    for seed in range(40):
        amounts, actual, _, customers = spent(200, 1, (0.9, 0.6, 0.6), seed)
        once = amount_blend.weights(NAMES, amounts, actual, np.zeros(200), customers, seed=1)
        again = [np.tile(amounts, (10, 1)), np.tile(actual, 10), np.repeat(np.arange(10), 200)]
        assert amount_blend.weights(NAMES, *again, np.tile(customers, 10), seed=1) == once
        if amount_blend.weights(NAMES, *again, None, seed=1) != once:
            return
    pytest.fail("resampling customers never made a difference")


@pytest.mark.parametrize("actual", [np.empty(0), np.zeros(3)], ids=["no rows", "nothing spent"])
def test_with_nothing_to_go_by_it_stands_alone(actual):
    amounts = np.ones((len(actual), 3))
    assert amount_blend.weights(NAMES, amounts, actual, actual, None, seed=1) == (1, 0, 0)
    assert amount_blend.at_first(NAMES) == (1, 0, 0)


def test_without_a_purchase_model_all_weigh_the_same():
    amounts, actual, cutoffs, customers = spent(100, 1, (0.5, 2.0))
    assert amount_blend.weights(NAMES[1:], amounts, actual, cutoffs, customers, seed=1) == (0.5, 0.5)
