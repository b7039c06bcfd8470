"""Each way of searching tries the defaults first, then the champion's parameters, and keeps to its time."""

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from segmentation import search, settings
from segmentation.candidates import Candidate, Range
from segmentation.search import Fold

SPACE = {"C": Range(0.01, 100, by_factors=True, grid=5), "max_iter": Range(50, 250, is_whole=True, grid=3)}
WAYS = ("grid", "random", "bayesian")


def linear(**params):
    return Pipeline([("model", LogisticRegression(**params))])


LINEAR = Candidate("linear", linear, {"C": 0.5, "max_iter": 100, "tol": 1e-3}, SPACE)
RULE = Candidate("rule", linear, {"C": 0.5})


class Scores:
    """Remembers what was tried; the nearer C comes to 10, the better."""

    def __init__(self, seconds=0.0):
        self.tried, self.seconds = [], seconds

    def __call__(self, pipeline):
        time.sleep(self.seconds)
        params = pipeline[-1].get_params()
        self.tried.append((params["C"], params["max_iter"]))
        return -abs(np.log10(params["C"]) - 1)


def found(candidate=LINEAR, known=None, seconds=30.0, takes=0.0, **config):
    scores = Scores(takes)
    result = search.search(candidate, scores, seconds, settings.Training(**config), known)
    return result, scores.tried


@pytest.mark.parametrize("way", WAYS)
def test_each_way_finds_better_than_the_defaults_within_its_trials(way):
    result, tried = found(search=way, search_trials=10)
    assert len(tried) == len(result.trials) == 10
    assert len(set(tried)) == 10
    assert result.score == result.trials["score"].max() > result.trials["score"].iloc[0]
    best = result.trials.loc[result.trials["score"].idxmax()]
    assert result.params == {"C": best["C"], "max_iter": best["max_iter"], "tol": 1e-3}
    assert list(result.trials.columns) == ["C", "max_iter", "score", "seconds"]
    for cost, rounds in tried:
        assert 0.01 <= cost <= 100
        assert rounds in range(50, 251)


@pytest.mark.parametrize("way", [*WAYS, "none"])
def test_the_defaults_come_first(way):
    _, tried = found(search=way, search_trials=4)
    assert tried[0] == (0.5, 100)
    assert len(tried) == (1 if way == "none" else 4)


@pytest.mark.parametrize("way", WAYS)
def test_what_the_champion_has_comes_second(way):
    result, tried = found(known={"C": 9.0, "max_iter": 77, "tol": 1}, search=way, search_trials=3)
    assert tried[:2] == [(0.5, 100), (9.0, 77)]
    assert result.params["tol"] == 1e-3  # what is not tuned stays as it is


def test_a_champion_with_the_defaults_is_tried_once():
    _, tried = found(known={"C": 0.5, "max_iter": 100}, search="bayesian", search_trials=5)
    assert tried.count((0.5, 100)) == 1
    assert len(tried) == 5


@pytest.mark.parametrize("known", [{"C": 9.0}, {"alpha": 1.0}, {}])
def test_a_champion_that_lacks_a_parameter_is_not_tried(known):
    _, tried = found(known=known, search="random", search_trials=3)
    assert 9.0 not in [cost for cost, _ in tried]
    assert len(tried) == 3


def test_a_champion_from_outside_of_what_may_be_is_tried_all_the_same():
    with pytest.warns(UserWarning, match="out of range"):
        _, tried = found(known={"C": 1_000.0, "max_iter": 100}, search="bayesian", search_trials=3)
    assert tried[1] == (1_000.0, 100)


def test_a_grid_is_tried_to_its_end_and_no_further():
    result, tried = found(search="grid", search_trials=100)
    grid = {(cost, rounds) for cost in (0.01, 0.1, 1, 10, 100) for rounds in (50, 150, 250)}
    rounded = {(round(cost, 9), rounds) for cost, rounds in tried}
    assert rounded == grid | {(0.5, 100)}
    assert len(tried) == 16
    assert result.params["C"] == pytest.approx(10)


def test_a_grid_comes_in_random_order():
    assert found(search="grid", search_trials=16)[1] != sorted(found(search="grid", search_trials=16)[1])


@pytest.mark.parametrize("way", WAYS)
def test_no_trial_begins_when_time_is_up(way):
    result, tried = found(seconds=0.8, takes=0.2, search=way, search_trials=1_000)
    assert 1 < len(tried) <= 5
    assert result.trials["seconds"].iloc[:-1].sum() < 0.8


@pytest.mark.parametrize("way", WAYS)
def test_without_time_only_the_defaults_and_what_the_champion_has_are_tried(way):
    result, tried = found(seconds=0, search=way)
    assert tried == [(0.5, 100)]
    assert result.params == dict(LINEAR.defaults)
    result, tried = found(known={"C": 9.0, "max_iter": 77}, seconds=0, search=way)
    assert tried == [(0.5, 100), (9.0, 77)]
    assert result.params["C"] == 9.0


def test_no_search_tries_nothing_of_the_champions_either():
    assert found(known={"C": 9.0, "max_iter": 77}, search="none")[1] == [(0.5, 100)]


@pytest.mark.parametrize("way", [*WAYS, "none"])
def test_what_has_nothing_to_tune_is_tried_once(way):
    result, tried = found(RULE, known={"C": 3.0}, search=way)
    assert tried == [(0.5, 100)]
    assert result.params == {"C": 0.5}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_tries_the_same(way):
    assert found(search=way, search_trials=7)[1] == found(search=way, search_trials=7)[1]
    assert found(search=way, search_trials=7)[1] != found(search=way, search_trials=7, seed=1)[1]


class Counted(TransformerMixin, BaseEstimator):
    """Remembers what it was fitted on and what it transformed."""

    fits, later = [], []

    def __init__(self, name="a"):
        self.name = name

    def fit(self, X, y):
        Counted.fits.append((self.name, list(X.index), y.dtype))
        return self

    def transform(self, X):
        Counted.later.append(list(X.index))
        return X.to_numpy()


class Constant(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_, self.share_ = np.array([False, True]), y.mean()
        return self

    def predict_proba(self, X):
        return np.tile([1 - self.share_, self.share_], (len(X), 1))

    def predict(self, X):
        return np.full(len(X), self.share_)


def fold(outcomes):
    learn, later = pd.DataFrame({"x": [1.0, 2, 3, 4]}), pd.DataFrame({"x": [5.0, 6]}, index=[8, 9])
    return Fold(learn, np.array(outcomes), later)


def steps(name="a"):
    return Pipeline([("select", Counted(name)), ("encode", "passthrough"), ("model", Constant())])


def test_steps_that_pipelines_share_are_fitted_once_and_never_on_later_rows(monkeypatch):
    monkeypatch.setattr(Counted, "fits", [])
    shared = fold([True, False, False, False])
    for name in ("a", "a", "b"):
        pipeline, predicted = shared.fitted(steps(name))
        assert predicted.tolist() == [0.25, 0.25]
        assert pipeline.predict_proba(shared.later).shape == (2, 2)
    assert Counted.fits == [("a", [0, 1, 2, 3], np.dtype(bool)), ("b", [0, 1, 2, 3], np.dtype(bool))]


def test_of_amounts_the_selection_learns_who_spends_and_the_model_how_much(monkeypatch):
    monkeypatch.setattr(Counted, "fits", [])
    _, predicted = fold([0.0, 0.0, 10.0, 30.0]).fitted(steps())
    assert predicted.tolist() == [10, 10]
    assert [kind for *_, kind in Counted.fits] == [np.dtype(bool)]


def test_without_later_rows_the_pipeline_is_fitted_all_the_same():
    empty = Fold(pd.DataFrame({"x": [1.0, 2, 3]}), np.array([True, False, True]), pd.DataFrame({"x": []}))
    pipeline, predicted = empty.fitted(linear(C=1.0))
    assert len(predicted) == 0
    assert pipeline.predict_proba(pd.DataFrame({"x": [1.0]})).shape == (1, 2)
