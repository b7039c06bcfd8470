"""Candidates are compared later in time than they learnt; the blend stands unless one beats it beyond chance."""

import datetime as dt
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from segmentation import candidates, contest, recipes, settings, tables
from segmentation.candidates import Candidate
from segmentation.examples import KEY, Examples
from segmentation.recipes import Recipe
from tests import stacked

CONFIG = settings.Training(search_seconds=0, min_examples=30)


class Watched(TransformerMixin, BaseEstimator):
    """Keeps a column; remembers the cutoffs it was fitted on and those it was asked about."""

    seen: ClassVar = []

    def __init__(self, column="known"):
        self.column = column

    def fit(self, X, y):
        Watched.seen.append(("fit", set(X.index.get_level_values("as_of_date"))))
        return self

    def transform(self, X):
        Watched.seen.append(("transform", set(X.index.get_level_values("as_of_date"))))
        return X[[self.column]].to_numpy()


class Told(ClassifierMixin, BaseEstimator):
    """Believes one column, to the power of `trust`."""

    def __init__(self, trust=1.0):
        self.trust = trust

    def fit(self, X, y):
        self.classes_ = np.array([False, True])
        return self

    def predict_proba(self, X):
        yes = expit(self.trust * X[:, 0])
        return np.column_stack([1 - yes, yes])


def candidate(column, **others):
    return Candidate(
        column,
        lambda **p: Pipeline([("select", Watched(column)), ("encode", "passthrough"), ("model", Told(**p))]),
        {"trust": 1.0},
        **others,
    )


def shop(ages=(90, 180, 270, 360), rows=400, seed=0, **noise):
    """Rows whose columns are the logit of the outcome's probability, and noise of so many standard deviations."""
    rng = np.random.default_rng(seed)
    days = [stacked.cutoff(age) for age in ages]
    index = pd.MultiIndex.from_product([days, [f"c{n}" for n in range(rows)]], names=KEY[::-1]).reorder_levels(KEY)
    truth = rng.normal(0, 1.5, len(index))
    outcomes = rng.random(len(index)) < expit(truth)
    columns = {name: truth + rng.normal(0, std, len(index)) for name, std in noise.items()}
    return Examples(pd.DataFrame(columns, index=index), outcomes, np.zeros(len(index)))


def held(train, *offered, **config):
    return contest.hold(train, 90, list(offered), settings.Training(**{**CONFIG.model_dump(), **config}))


def test_nothing_that_validates_lies_within_a_horizon_of_what_was_learnt(monkeypatch):
    monkeypatch.setattr(Watched, "seen", [])
    train = shop(range(180, 400, 30), 150, known=1.0)
    held(train, candidate("known", is_member=True))
    learnt, asked = None, []
    for what, days in Watched.seen:
        if what == "fit":
            learnt = days
        elif days != learnt:
            asked.append(days)
            (day,) = days
            assert max(learnt) + dt.timedelta(days=90) <= day
    assert asked == [{stacked.cutoff(age)} for age in (180, 210, 240)]


def test_a_feature_that_tells_for_one_cutoff_only_does_not_help_at_others():
    """A random split would take it for the best there is."""
    data = stacked.examples_of(stacked.frame((180, 270, 360), 300), tables.SERVICE)
    told = np.where(data.outcomes, 1.0, -1.0) * np.select(
        [data.cutoffs == stacked.cutoff(age) for age in (180, 270, 360)], [-1, 1, 1]
    )
    train = replace(data, features=data.features[["noise"]].assign(of_its_day=told))
    offered = candidates.for_probabilities(train.features.columns, {}, len(train), CONFIG)
    found = contest.hold(train, 90, offered, CONFIG)
    newest, before = found.scores["logistic_regression"]
    assert newest < 0.1  # where it is the other way round
    assert before > 0.9


def test_the_scores_are_auc_at_each_later_cutoff_the_newest_first():
    train = shop(known=1.0)
    found = held(train, candidate("known", is_member=True))
    expected = []
    for age in (90, 180, 270):
        later = train.at(stacked.cutoff(age))
        expected.append(roc_auc_score(later.outcomes, later.features["known"]))
    assert found.scores["known"] == pytest.approx(expected)
    row = found.table.set_index("candidate").loc["known"]
    assert (row["score"], row["score_std"]) == pytest.approx((np.mean(expected), np.std(expected)))
    assert found.outcomes.tolist() == [
        outcome for age in (90, 180, 270) for outcome in train.at(stacked.cutoff(age)).outcomes
    ]
    assert found.logits.shape == (1_200, 1)


def test_the_number_of_later_cutoffs_is_a_setting():
    found = held(shop(known=1.0), candidate("known", is_member=True), validations=2)
    assert len(found.scores["known"]) == 2


def test_the_blend_stands_where_nothing_beats_it_beyond_chance():
    found = held(
        shop(one=1.0, two=1.0, three=1.0),
        candidate("one", is_rule=True, is_member=True),
        candidate("two", is_member=True),
        candidate("three"),
    )
    assert (found.recipe.chosen, found.reason) == ("blend", "no candidate beats the blend beyond chance")
    assert [name for name, _ in found.recipe.members] == ["one", "two"]
    assert found.logits.shape == (1_200, 2)


def test_what_beats_the_blend_beyond_chance_is_chosen_and_it_says_so():
    found = held(
        shop(good=0.0, one=4.0, two=4.0),
        candidate("one", is_rule=True, is_member=True),
        candidate("two", is_member=True),
        candidate("good"),
    )
    assert found.recipe.chosen == "good"
    assert found.recipe.members == (("good", {"trust": 1.0}),)
    assert found.recipe.weights == (1.0,)
    row = found.table.set_index("candidate").loc["good"]
    assert row["gain_low"] > 0
    assert found.reason == (
        f"good beats the blend by {row['gain']:.4f} at the newest validation cutoff "
        f"(95% interval {row['gain_low']:.4f} to {row['gain_high']:.4f}) and on average"
    )


def test_what_has_no_reasons_does_not_win_alone_and_it_says_so():
    best = candidate("best", has_reasons=False)
    members = [candidate("one", is_rule=True, is_member=True), candidate("two", is_member=True)]
    found = held(shop(best=0.0, one=4.0, two=4.0), *members, best)
    told = (
        f"best beats the blend by {found.table.set_index('candidate').loc['best', 'gain']:.4f}, but reasons for its "
        "scores cannot be told faithfully, so it does not win alone"
    )
    assert found.recipe.chosen == "blend"
    assert found.reason == f"no candidate with reasons beats the blend beyond chance; {told}"
    found = held(shop(best=0.0, good=0.2, one=4.0, two=4.0), *members, best, candidate("good"))
    assert found.recipe.chosen == "good"
    assert found.reason.startswith("good beats the blend by")
    assert "; best beats the blend by" in found.reason


def test_a_small_shop_falls_back_to_the_rule_where_the_rest_is_noise():
    found = held(
        shop(rows=200, rule=0.5, noise=40.0, other=40.0),
        candidate("rule", is_rule=True, is_member=True),
        candidate("noise", is_member=True),
        candidate("other", is_member=True),
        stacking_rows=1e9,
    )
    assert found.recipe.chosen == "rule"
    assert found.reason.startswith("the rule rule beats the blend by")


@pytest.mark.parametrize("seed", range(3))
def test_a_small_shop_does_not_lose_to_its_rule(seed):
    """Where recency and frequency are all that there is to know."""
    frame = stacked.frame((90, 180, 270, 360), 200, seed)[[*KEY, *candidates.RFM, "noise", "is_churn", "spend_far"]]
    data = stacked.examples_of(frame[frame["last_order_age_days"].notna()], tables.CHURN)
    train, test = data.until(stacked.cutoff(180)), data.at(stacked.cutoff(90))
    offered = candidates.for_probabilities(data.features.columns, {}, len(train), CONFIG)
    found = contest.hold(train, 90, offered, CONFIG)
    _, predicted = contest.fitted(found.recipe, offered, train, test.features)
    rule = replace(found.recipe, members=(("rfm_rule", {}),), weights=(1.0,))
    _, simple = contest.fitted(rule, offered, train, test.features)
    auc = roc_auc_score(test.outcomes, found.recipe.predicted(predicted, is_amount=False))
    assert auc > roc_auc_score(test.outcomes, simple[:, 0]) - 0.02


def table(**gains):
    """The blend at 0.8, and candidates by (score, gain, its lower end)."""
    rows = [{"candidate": "blend", "score": 0.8}]
    for name, (score, gain, low) in gains.items():
        rows.append({"candidate": name, "score": score, "gain": gain, "gain_low": low, "gain_high": 2 * gain - low})
        rows[-1] |= {"is_rule": name == "rule", "has_reasons": True}
    return pd.DataFrame(rows).sort_values("score", ascending=False, ignore_index=True)


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ({"one": (0.85, 0.05, 0.01)}, "one"),
        ({"one": (0.85, 0.05, -0.01)}, "blend"),
        ({"one": (0.79, 0.05, 0.01)}, "blend"),  # better at the newest cutoff, not on average
        ({"one": (0.85, 0.05, 0.01), "two": (0.86, 0.06, 0.04)}, "two"),
        ({"one": (0.85, 0.05, 0.04), "two": (0.86, 0.01, -0.04)}, "one"),
        ({"one": (0.85, np.nan, np.nan)}, "blend"),
    ],
)
def test_the_choice(gains, chosen):
    assert contest._choice(table(**gains))[0] == chosen


def test_the_more_candidates_the_surer_it_has_to_be():
    """One of eight beats the blend by luck more often than one of one."""
    assert contest._choice(table(one=(0.85, 0.05, 0.01)))[0] == "one"
    others = {f"other{n}": (0.7, -0.1, -0.2) for n in range(7)}
    assert contest._choice(table(one=(0.85, 0.05, 0.01), **others))[0] == "blend"
    assert contest._choice(table(one=(0.85, 0.05, 0.02), **others))[0] == "one"


def test_without_a_later_cutoff_the_blend_is_made_of_defaults():
    found = held(
        shop((180, 200), known=1.0, other=1.0), *(candidate(name, is_member=True) for name in ("known", "other"))
    )
    assert found.recipe == Recipe("blend", (("known", {"trust": 1.0}), ("other", {"trust": 1.0})), (0.5, 0.5))
    assert found.reason.startswith("the history is too short to compare candidates later in time")
    assert (found.found, found.scores, len(found.outcomes)) == ({}, {}, 0)
    assert recipes.calibrated(found.recipe, found.logits, found.outcomes, found.cutoffs, CONFIG) == found.recipe


def test_what_the_chosen_predicted_is_of_the_best_trial():
    """The defaults turn the order round, so what is tried first is the worst."""
    spaced = replace(
        candidate("known", is_member=True), defaults={"trust": -1.0}, space={"trust": candidates.Range(-1, 1)}
    )
    config = {"search": "random", "search_trials": 6, "search_seconds": 30}
    train = shop(known=1.0)
    found = held(train, spaced, **config)
    trust = found.found["known"].params["trust"]
    assert trust > 0
    assert found.recipe.members == (("known", {"trust": trust}),)
    newest = train.at(stacked.cutoff(90)).features["known"]
    assert found.logits[: len(newest), 0] == pytest.approx(trust * newest.to_numpy())
    assert found.table.set_index("candidate").at["known", "trials"] == 6


def test_what_the_champion_has_is_tried_where_time_allows():
    spaced = replace(candidate("known", is_member=True), space={"trust": candidates.Range(0.1, 3)})
    config = settings.Training(min_examples=30, search="random", search_trials=2, search_seconds=30)
    found = contest.hold(shop(known=1.0), 90, [spaced], config, {"known": {"trust": 2.5}, "gone": {"x": 1}})
    assert found.found["known"].trials["trust"].tolist() == [1.0, 2.5]


def test_progress_is_told_candidate_by_candidate():
    lines = []
    contest.hold(shop(known=1.0), 90, [candidate("known", is_member=True)], CONFIG, told=lines.append)
    assert len(lines) == 1
    assert lines[0].endswith(" after 1 trials")


def test_the_search_learns_from_no_more_rows_than_allowed(monkeypatch):
    monkeypatch.setattr(Watched, "seen", [])
    sizes = []
    fit = Watched.fit
    monkeypatch.setattr(Watched, "fit", lambda self, X, y: (sizes.append(len(X)), fit(self, X, y))[1])
    held(shop(rows=1_000, known=1.0), candidate("known", is_member=True), search_rows=1_000)
    assert sizes == [1_000, 1_000, 1_000]


@pytest.mark.parametrize("target", [tables.CHURN, tables.SPEND], ids=["probability", "amount"])
def test_what_is_fitted_predicts_what_the_recipe_says(target):
    data = stacked.examples_of(stacked.frame((90, 180), 300), target)
    learn, later = data.at(stacked.cutoff(180)), data.at(stacked.cutoff(90))
    make = candidates.for_amounts if target.is_amount else candidates.for_probabilities
    offered = make(data.features.columns, {}, len(learn), CONFIG)
    members = tuple((each.name, dict(each.defaults)) for each in offered if each.is_member)
    weights = tuple(np.arange(1, len(members) + 1) / sum(range(1, len(members) + 1)))
    recipe = Recipe("blend", members, weights, slope=0.8, intercept=0.0 if target.is_amount else 0.3)
    ensemble, predicted = contest.fitted(recipe, offered, learn, later.features)
    told = ensemble.predict(later.features) if target.is_amount else ensemble.predict_proba(later.features)[:, 1]
    assert told == pytest.approx(recipe.predicted(predicted, target.is_amount))
    assert predicted.shape == (len(later), len(members))


def test_later_rows_join_those_that_calibrate():
    train = shop((180, 270, 360), known=1.0)
    found = held(train, candidate("known", is_member=True))
    test = shop((90,), known=1.0, seed=1)
    joined = found.joined(np.ones((len(test), 1)), test)
    assert len(joined.logits) == len(joined.outcomes) == len(joined.cutoffs) == 3 * 400
    assert set(joined.cutoffs) == {stacked.cutoff(age) for age in (90, 180, 270)}
    assert joined.recipe == found.recipe
    first = held(shop((180,), known=1.0), candidate("known", is_member=True)).joined(np.ones((len(test), 1)), test)
    assert first.outcomes.tolist() == test.outcomes.tolist()


def test_amounts_are_compared_by_deviance_whatever_the_currency():
    data = stacked.examples_of(stacked.frame((90, 180, 270), 300), tables.SPEND)
    offered = [
        each
        for each in candidates.for_amounts(data.features.columns, {}, len(data), CONFIG)
        if each.name in ("usual_spend", "purchase_model", "tweedie_regression")
    ]
    found, dear = (
        contest.hold(replace(data, outcomes=factor * data.outcomes), 90, offered, CONFIG) for factor in (1.0, 1_000.0)
    )
    assert found.recipe.chosen == dear.recipe.chosen
    for name, scores in found.scores.items():
        assert (np.array(scores) < 0).all()
        assert dear.scores[name] == pytest.approx(scores, rel=0.02)
    assert found.recipe.weights in ((0.5, 0.5), (1.0,))


def test_a_fold_in_which_a_rule_has_nothing_to_go_by_is_no_obstacle():
    frame = stacked.frame((90, 180, 270, 360), 300)
    early = frame["as_of_date"] < stacked.cutoff(200)
    frame.loc[early, ["expected_order_days_90d", "expected_spend_90d", "last_order_age_days"]] = np.nan
    for target, make in ((tables.CHURN, candidates.for_probabilities), (tables.SPEND, candidates.for_amounts)):
        data = stacked.examples_of(frame, target)
        found = contest.hold(data, 90, make(data.features.columns, {}, len(data), CONFIG), CONFIG)
        assert np.isfinite(found.table["score"]).all()


def test_the_learning_curve_learns_before_the_newest_cutoff_and_grows_with_rows(monkeypatch):
    monkeypatch.setattr(Watched, "seen", [])
    train = shop(rows=1_000, known=1.0)
    curve = contest.learning_curve(Recipe("known", (("known", {}),), (1.0,)), [candidate("known")], train, 90, CONFIG)
    assert curve["rows"].tolist() == [300, 300, 750, 750, 1500, 1500, 3000]  # below 200 it tells nothing
    assert max(max(days) for what, days in Watched.seen if what == "fit") == stacked.cutoff(180)
    newest = train.at(stacked.cutoff(90))
    assert curve["score"].tolist() == pytest.approx([roc_auc_score(newest.outcomes, newest.features["known"])] * 7)


def test_a_history_without_a_later_cutoff_has_no_learning_curve():
    recipe = Recipe("known", (("known", {}),), (1.0,))
    curve = contest.learning_curve(recipe, [candidate("known")], shop((90,), known=1.0), 90, CONFIG)
    assert list(curve.columns) == ["rows", "score", "seed"]
    assert curve.empty


def test_the_blends_weights_follow_who_knows():
    found = held(
        shop((90, 180, 270), rows=3_000, good=1.0, bad=3.0),
        *(candidate(name, is_member=True) for name in ("good", "bad")),
    )
    assert found.recipe.chosen == "blend"
    assert found.recipe.weights == pytest.approx((0.9, 0.1), abs=0.05)  # as 1 / 1**2 to 1 / 3**2
    scores = found.table.set_index("candidate")["score"]
    assert scores["blend"] > scores["good"] > scores["bad"]
