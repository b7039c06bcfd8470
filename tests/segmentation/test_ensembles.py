"""Members meet as logits or amounts; the weights that are learnt are shares, and few rows change little."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from segmentation.ensembles import AmountEnsemble, ProbabilityEnsemble, member_logit, stacked

ROWS, CUTOFFS = 300, 4  # what the pull counts for, as by default


class Fixed(BaseEstimator):
    """Says the same of everyone."""

    def __init__(self, value=0.5):
        self.value = value

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.full(len(X), self.value)

    def predict_proba(self, X):
        return np.column_stack([1 - self.predict(X), self.predict(X)])


X = pd.DataFrame({"x": [1.0, 2.0]})


def members(*values):
    return [(f"m{n}", Fixed(value)) for n, value in enumerate(values)]


def test_probabilities_meet_as_logits():
    ensemble = ProbabilityEnsemble.of(members(0.9, 0.5), (1, 3), slope=2.0, intercept=0.1)
    assert ensemble.weights_ == [0.25, 0.75]
    assert ensemble.mean_logit(X) == pytest.approx([logit(0.9) / 4] * 2)
    assert ensemble.decision_function(X) == pytest.approx([0.1 + logit(0.9) / 2] * 2)
    assert ensemble.predict_proba(X)[0] == pytest.approx([1 - expit(0.1 + logit(0.9) / 2), expit(0.1 + logit(0.9) / 2)])
    assert ensemble.predict(X).tolist() == [1, 1]


def test_amounts_meet_as_they_are_and_none_is_below_nothing():
    ensemble = AmountEnsemble.of(members(10.0, -6.0), factor=1.5)
    assert ensemble.predict(X).tolist() == [7.5, 7.5]


def test_no_member_can_rule_anything_out():
    assert member_logit(np.array([0.0, 0.5, 1.0])) == pytest.approx([logit(1e-6), 0, -logit(1e-6)], rel=1e-6)
    assert 0.2 < ProbabilityEnsemble.of(members(0.0, 1 - 1e-6)).predict_proba(X)[0, 1] < 0.8


def test_a_member_without_weight_is_not_asked():
    class Silent(Fixed):
        def predict_proba(self, X):
            raise AssertionError

    ensemble = ProbabilityEnsemble.of([("one", Fixed(0.8)), ("other", Silent())], (1, 0))
    assert ensemble.predict_proba(X)[:, 1] == pytest.approx([0.8, 0.8])


def test_an_ensemble_fits_copies_of_its_members():
    frame, outcomes = pd.DataFrame({"x": [0.0, 1, 2, 3]}), np.array([0, 0, 1, 1])
    ensemble = ProbabilityEnsemble([("one", LogisticRegression())], slope=0.5)
    fitted = clone(ensemble).fit(frame, outcomes)
    assert not hasattr(ensemble.members[0][1], "coef_")
    single = LogisticRegression().fit(frame, outcomes).predict_proba(frame)[:, 1]
    assert fitted.decision_function(frame) == pytest.approx(logit(single) / 2)


def rows(each=1_000, cutoffs=3, stds=(0.3, 3.0), seasons=0.0, seed=0):
    """(logits, outcomes, cutoffs): each member knows the truth up to noise of so many standard deviations."""
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(cutoffs), each)
    truth = rng.normal(0, 1.5, len(place))
    logits = np.column_stack([truth + rng.normal(0, std, len(place)) for std in stds])
    outcomes = rng.random(len(place)) < expit(truth + np.broadcast_to(seasons, cutoffs)[place])
    return logits, outcomes, place


def test_with_many_rows_the_weights_follow_who_knows():
    weights, slope, _ = stacked(*rows(each=10_000), ROWS, CUTOFFS)
    assert weights[0] > 0.9
    assert slope == pytest.approx(1, abs=0.15)


def test_with_few_rows_the_weights_stay_near_each_other():
    near, far = (stacked(*rows(each=each), ROWS, CUTOFFS)[0][0] for each in (10, 3_000))
    assert 0.5 < near < 0.7 < far


def test_the_pull_is_a_setting():
    data = rows(each=300)
    firm, loose = (stacked(*data, prior, CUTOFFS)[0][0] for prior in (1e7, 1))
    assert firm == pytest.approx(0.5, abs=0.01)
    assert loose > 0.9


@given(
    each=st.integers(2, 60),
    cutoffs=st.integers(1, 4),
    stds=st.lists(st.sampled_from([0.0, 0.5, 5.0, 50.0]), min_size=1, max_size=5),
    sign=st.sampled_from([1, -1]),
    seed=st.integers(0, 9),
)
@effort(deadline=None, max_examples=50)
def test_weights_are_shares_and_the_order_is_never_turned_round(each, cutoffs, stds, sign, seed):
    logits, outcomes, place = rows(each, cutoffs, tuple(stds), seed=seed)
    weights, slope, intercept = stacked(sign * logits, outcomes, place, ROWS, CUTOFFS)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)
    assert slope > 0
    assert np.isfinite(intercept)


def test_no_weight_is_below_nothing_even_if_one_member_shows_what_another_has_wrong():
    rng = np.random.default_rng(0)
    truth, error = rng.normal(0, 1.5, (2, 5_000))
    outcomes = rng.random(5_000) < expit(truth)
    logits = np.column_stack([truth + error, error])
    weights, _, _ = stacked(logits, outcomes, np.zeros(5_000), 1, CUTOFFS)
    assert weights == pytest.approx([1, 0], abs=1e-6)
    free = LogisticRegression(C=np.inf).fit(logits, outcomes).coef_[0]
    assert free[1] < -0.8


def test_members_that_are_wrong_throughout_are_left_as_they_are():
    logits, outcomes, place = rows(each=2_000)
    assert stacked(-logits, outcomes, place, 1, CUTOFFS) == ([0.5, 0.5], 1.0, 0.0)


def test_for_one_member_it_is_platts_calibration():
    logits, outcomes, _ = rows(each=5_000, cutoffs=1, stds=(0.0,))
    weights, slope, intercept = stacked(3 * logits + 1, outcomes, np.zeros(len(outcomes)), 1e-9, 0)
    platt = LogisticRegression(C=np.inf).fit(3 * logits + 1, outcomes)
    assert weights == [1]
    assert slope == pytest.approx(platt.coef_[0, 0], abs=0.01)
    assert intercept == pytest.approx(platt.intercept_[0], abs=0.01)


def test_seasons_go_into_the_intercepts_of_their_cutoffs():
    """Christmas and summer cancel out; without intercepts of their own they would blur what the member knows."""
    _, slope, intercept = stacked(*rows(each=3_000, cutoffs=2, stds=(0.0,), seasons=(2.0, -2.0)), 1, CUTOFFS)
    assert slope == pytest.approx(1, abs=0.07)
    assert intercept == pytest.approx(0, abs=0.05)
    logits, outcomes, place = rows(each=3_000, cutoffs=2, stds=(0.0,), seasons=(2.0, -2.0))
    assert stacked(logits, outcomes, 0 * place, 1, CUTOFFS)[1] < 0.85


@pytest.mark.parametrize("cutoffs", [1, 4, 12])
def test_few_cutoffs_say_little_about_the_level(cutoffs):
    _, _, intercept = stacked(*rows(each=2_000, cutoffs=cutoffs, stds=(0.0,), seasons=1.0), 1, CUTOFFS)
    assert intercept == pytest.approx(cutoffs / (cutoffs + 4), abs=0.08)


def test_stacking_predicts_later_rows_better_than_any_member():
    data, later = rows(each=2_000, stds=(1.5, 1.5, 4.0)), rows(each=2_000, stds=(1.5, 1.5, 4.0), seed=1)
    weights, slope, intercept = stacked(*data, ROWS, CUTOFFS)
    together = log_loss(later[1], expit(intercept + slope * later[0] @ np.array(weights)))
    assert together < min(log_loss(later[1], expit(later[0][:, n])) for n in range(3))


def test_a_day_has_the_intercept_of_its_season():
    told = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    member = Pipeline([("model", LogisticRegression())]).fit(told, [False, True, True])
    ensemble = ProbabilityEnsemble.of([("one", member)], slope=0.9, intercept=0.1, season={"2026-06-01": 0.5})
    busy, usual = (ensemble.on(dt.date(2026, month, 1)) for month in (6, 7))
    assert busy.decision_function(told) == pytest.approx(ensemble.decision_function(told) + 0.5)
    assert busy.on(dt.date(2026, 6, 1)).intercept == busy.intercept  # once
    assert usual is ensemble
    assert ensemble.intercept == 0.1
    del ensemble.season  # one that was stored before there were any
    assert ensemble.on(dt.date(2026, 6, 1)) is ensemble


def test_a_season_that_is_known_leaves_the_intercept_what_is_not():
    logits, outcomes, place = rows(each=30_000, cutoffs=2, stds=(0.0,), seasons=(2.0, 2.5))
    shifts = np.array([2.0, 2.5])[place]
    assert stacked(logits, outcomes, place, 1, 0, shifts)[2] == pytest.approx(0, abs=0.06)
    assert stacked(logits, outcomes, place, 1, 0)[2] == pytest.approx(2.25, abs=0.1)
