"""A recipe is what was chosen, fit for JSON; calibration brings its predictions to the level of what happened."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from segmentation import recipes, settings
from segmentation.recipes import Recipe
from tests import stacked

CONFIG = settings.Training(search_seconds=0, min_examples=30)


def rows_of(cutoffs=4, each=1_000, slope=1.0, seasons=0.0, seed=0):
    """(logits of shape (n, 1), outcomes, cutoffs): true to `slope` times the logit, and a lift per cutoff."""
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(cutoffs), each)
    logits = rng.normal(0, 1.5, cutoffs * each)
    lifts = np.broadcast_to(seasons, cutoffs)[place]
    outcomes = rng.random(len(logits)) < expit(slope * logits + lifts)
    return logits[:, None], outcomes, np.array([stacked.cutoff(90 * n) for n in range(cutoffs)], dtype=object)[place]


ONE = Recipe("one", (("one", {}),), (1.0,))


@pytest.mark.parametrize("slope", [0.4, 2.5])
def test_calibration_mends_probabilities_that_were_too_sure_or_not_sure_enough(slope):
    calibrated = recipes.calibrated(ONE, *rows_of(slope=slope), CONFIG)
    logits, outcomes, _ = rows_of(slope=slope, seed=1)
    before, after = expit(logits[:, 0]), calibrated.predicted(logits, is_amount=False)
    assert abs(calibrated.slope - slope) < abs(1 - slope) / 2
    assert log_loss(outcomes, after) < log_loss(outcomes, before) - 0.02
    assert roc_auc_score(outcomes, after) == roc_auc_score(outcomes, before)


def test_calibration_lifts_what_is_too_low_at_every_cutoff():
    few, many = (recipes.calibrated(ONE, *rows_of(cutoffs=n, seasons=1.0), CONFIG) for n in (2, 12))
    assert many.intercept == pytest.approx(12 / 16, abs=0.1)  # as if there were four cutoffs more without any
    assert few.intercept == pytest.approx(2 / 6, abs=0.1)


def test_the_sum_of_amounts_is_set_right_by_the_mean_over_the_cutoffs():
    """One cutoff brought twice what was expected, one eight times; four more count as right: (2 * 8) ** (1 / 6)."""
    predicted, cutoffs = np.array([[1.0], [3.0], [2.0], [2.0]]), np.array([1, 1, 2, 2])
    outcomes = np.array([8.0, 0.0, 0.0, 32.0])
    assert recipes.calibrated(ONE, predicted, outcomes, cutoffs, CONFIG).slope == pytest.approx(16 ** (1 / 6))
    unsure = settings.Training(stacking_cutoffs=0)
    assert recipes.calibrated(ONE, predicted, outcomes, cutoffs, unsure).slope == pytest.approx(4)


def test_where_nobody_spends_amounts_stay_as_they_are():
    nothing = recipes.calibrated(ONE, np.ones((4, 1)), np.zeros(4), np.array([1, 1, 2, 2]), CONFIG)
    nobody = recipes.calibrated(ONE, np.zeros((4, 1)), np.ones(4), np.array([1, 1, 2, 2]), CONFIG)
    assert nothing.slope == nobody.slope == 1


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9])), min_size=1, max_size=30))
def test_no_threshold_has_a_better_f1(rows):
    outcomes, probability = (np.array(column) for column in zip(*rows, strict=True))
    found = recipes._best_threshold(outcomes, probability)
    best = max(f1_score(outcomes, probability >= cut, zero_division=0) for cut in set(probability))
    assert f1_score(outcomes, probability >= found, zero_division=0) == pytest.approx(best)


def test_outcomes_of_a_known_share_are_brought_to_it():
    logits = np.random.default_rng(0).normal(0, 2, (500, 1))
    levelled = recipes.levelled(replace(ONE, slope=0.7, intercept=3.0), logits, 0.2)
    assert levelled.predicted(logits, is_amount=False).mean() == pytest.approx(0.2)
    assert levelled.slope == 0.7
    assert recipes.levelled(ONE, logits[:0], 0.2) == recipes.levelled(ONE, logits, 0.0) == ONE


def test_a_recipe_survives_json():
    recipe = Recipe("blend", (("one", {"C": 0.1 + 0.2}), ("two", {"depth": 3})), (0.25, 0.75), 1.1, -0.2, 0.3)
    assert Recipe.of(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_a_recipe_predicts_the_calibrated_mean():
    recipe = Recipe("blend", (("one", {}), ("two", {})), (0.25, 0.75), slope=2.0, intercept=-1.0)
    members = np.array([[0.0, 4.0]])
    assert recipe.predicted(members, is_amount=False) == pytest.approx(expit(2 * 3 - 1))
    assert recipe.predicted(members, is_amount=True) == pytest.approx(6)
