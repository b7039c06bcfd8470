"""What signs are worth is learnt from what customers did: one who buys again and one who never does differ."""

import numpy as np
import pyarrow as pa
import pytest

from segmentation import rank_weights


def lessons(bought_if_own, bought_if_not, weight=None, rows=4_000):
    rng = np.random.default_rng(3)
    signs = {name: rng.random(rows) for name in rank_weights.SIGNS}
    signs["is_own"] = (rng.random(rows) < 0.3) * 1.0
    chance = np.where(signs["is_own"] > 0, bought_if_own, bought_if_not)
    is_bought = rng.random(rows) < chance
    return pa.table({**signs, "is_bought": is_bought, "weight": np.ones(rows) if weight is None else weight(signs)})


def test_where_people_buy_again_what_they_bought_comes_first():
    assert rank_weights.learn(lessons(0.4, 0.05), 100)["is_own"] > 1.5


def test_where_nobody_buys_again_it_comes_last():
    assert rank_weights.learn(lessons(0.01, 0.1), 100)["is_own"] < -1.5


def test_what_tells_nothing_weighs_nearly_nothing():
    weights = rank_weights.learn(lessons(0.4, 0.05), 100)
    assert all(abs(weights[name]) < 0.4 for name in rank_weights.SIGNS if name != "is_own")


def test_the_same_lessons_give_the_same_weights():
    assert rank_weights.learn(lessons(0.4, 0.05), 100) == rank_weights.learn(lessons(0.4, 0.05), 100)


def test_who_weighs_nothing_teaches_nothing():
    """Customers of whom nothing counts but what is not their own, which they never buy."""
    both = pa.concat_tables([lessons(0.4, 0.05), lessons(0.0, 0.9, weight=lambda signs: np.full(4_000, 1e-9))])
    told = rank_weights.learn(both, 100)["is_own"]
    assert told == pytest.approx(rank_weights.learn(lessons(0.4, 0.05), 100)["is_own"], abs=0.3)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_without_enough_to_learn_from_the_usual_weights_count(chance):
    assert rank_weights.learn(lessons(chance, chance), 10) == rank_weights.USUAL
