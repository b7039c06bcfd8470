"""What strategies change, learnt from made-up results whose truth is known, and what a policy is worth."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from segmentation import strategy_uplift
from segmentation.strategy_uplift import NOBODY, Results, TooFewResultsError

NAMES = ("coupon", "news", "care")


def results(seed: int, rows: int, slope: float, noise: float = 0.3) -> tuple[Results, np.ndarray]:
    """(results, the true effects less cost): the first strategy helps some, the second others, the third nobody."""
    rng = np.random.default_rng(seed)
    known = pd.DataFrame(rng.normal(size=(rows, 5)), columns=[f"x{number}" for number in range(5)])
    brings = np.exp(0.5 * known["x0"].to_numpy())
    share = np.column_stack([0.2 + slope * known["x1"], 0.2 - slope * known["x1"], np.zeros(rows)])
    effects = share * brings[:, None]
    # who seems to like the first is drawn for it more often
    chances = np.column_stack([0.4 + 0.25 * np.tanh(known["x2"]), 0.3 - 0.15 * np.tanh(known["x2"])])
    chances = np.column_stack([chances, 1 - chances.sum(axis=1)])
    strategy = (rng.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    is_treated = rng.random(rows) < 0.75
    outcome = brings * (1 + noise * rng.normal(size=rows)) + is_treated * effects[np.arange(rows), strategy]
    return Results(
        known, np.arange(rows).astype(str), NAMES, strategy, is_treated, np.full(rows, 0.75),
        np.zeros(rows), chances[np.arange(rows), strategy], np.ones((rows, 3), bool), outcome,
        np.array([0.05, 0.05, 0.5]),
    ), effects - [0.05, 0.05, 0.5]  # fmt: skip


def test_each_gets_what_helps_and_it_is_worth_what_is_said():
    made, truth = results(5, 4000, slope=0.4)  # each interval misses one sample in twenty: here none does
    learnt = strategy_uplift.learn(made)
    best = np.maximum(truth.max(axis=1), 0).mean()
    singles = truth.mean(axis=0)
    assert learnt.best in NAMES[:2]
    assert learnt.chosen["care"] < 0.05
    fresh, effects = results(2, 4000, slope=0.4)
    chosen = strategy_uplift.greatest(learnt.model.predict(fresh.known) - fresh.costs, fresh.open_to)
    got = np.where(chosen == NOBODY, 0, effects[np.arange(4000), chosen]).mean()
    assert singles.max() + 0.1 < got
    assert got > 0.9 * best
    assert learnt.policy.low < got < learnt.policy.high
    assert learnt.advantage.low < got - singles.max() < learnt.advantage.high
    assert learnt.single.low < singles.max() < learnt.single.high
    assert learnt.advantage.low > 0
    assert learnt.nobody.low < np.exp(0.125) < learnt.nobody.high
    assert learnt.drawn_known == 1


def test_chances_that_were_not_kept_are_estimated():
    made, _ = results(1, 4000, slope=0.4)
    without = Results(**{**vars(made), "drawn": np.full(4000, np.nan)})
    known, estimated = strategy_uplift.learn(made), strategy_uplift.learn(without)
    assert estimated.drawn_known == 0
    assert estimated.advantage.mean == pytest.approx(known.advantage.mean, abs=2 * known.advantage.error)


def test_whoever_may_not_get_a_strategy_gets_none_of_it():
    effects = np.array([[3.0, 1.0], [3.0, 1.0], [-1.0, -2.0], [3.0, 1.0]])
    open_to = np.array([[True, True], [False, True], [True, True], [False, False]])
    assert strategy_uplift.greatest(effects, open_to).tolist() == [0, 1, NOBODY, NOBODY]


def test_what_nobody_was_drawn_for_is_counted():
    chosen = np.array([0, 1, 1, 1, NOBODY])
    strategy, drawn = np.array([0, 0, 0, 0, 0]), np.array([1.0, 1.0, 0.9, np.nan, 1.0])
    told = SimpleNamespace(strategy=strategy, drawn=drawn)
    assert strategy_uplift.untried(told, chosen) == 0.2  # the second: sure of 0, would get 1


def test_pseudo_outcomes_are_the_effect_on_average_however_bad_the_foresight():
    rng = np.random.default_rng(1)
    is_treated, chance = rng.random(50_000) < 0.3, np.full(50_000, 0.3)
    outcome = 5 + 2 * is_treated + rng.normal(size=50_000)
    for foreseen, wide in ((0.0, 30), (5.6, 6)):
        pseudo = strategy_uplift.pseudo_outcomes(outcome, np.full(50_000, foreseen), is_treated, chance)
        assert pseudo.mean() == pytest.approx(2, abs=0.15)
        assert pseudo.std() < wide
    assert pseudo.std() < 4  # foresight makes them sharper


def test_contacts_of_one_customer_go_together():
    values = np.random.default_rng(3).normal(size=500)
    once = strategy_uplift.clustered(values, np.arange(500))
    thrice = strategy_uplift.clustered(np.repeat(values, 3), np.repeat(np.arange(500), 3))
    assert once.error == pytest.approx(values.std() / np.sqrt(500))
    assert (thrice.mean, thrice.error) == (pytest.approx(once.mean), pytest.approx(once.error))


def test_too_few_results_are_said():
    made, _ = results(4, 300, slope=0.0)
    few = made.part((made.strategy != 2) | (np.cumsum(made.strategy == 2) <= 40))
    told = few.too_few()
    assert "news" not in told or "50 of each are needed" in told["news"]
    assert told["care"].endswith("held out; 50 of each are needed")
    with pytest.raises(TooFewResultsError, match="care: "):
        strategy_uplift.learn(few)
    kept = made.of([0, 1])
    assert kept.strategies == NAMES[:2]
    assert set(kept.strategy) == {0, 1}
    assert kept.open_to.shape == (len(kept), 2)


def test_what_customers_bring_anyway_is_foreseen_without_what_contacts_add():
    """Two campaigns of different weeks, of customers who can be told apart: one trebles what they bring."""
    made, _ = results(7, 3000, slope=0.0, noise=0.5)
    rng = np.random.default_rng(8)
    strategy = np.arange(3000) % 2
    brings = 10 * rng.gamma(2, 0.5, 3000)
    outcome = np.where((strategy == 0) & made.is_treated, 3 * brings, brings)
    known = made.known.assign(day=strategy.astype(float))
    own = {"known": known, "strategy": strategy, "outcome": outcome, "period": strategy, "drawn": np.full(3000, np.nan)}
    apart = Results(**{**vars(made), **own}).of([0, 1])
    model = strategy_uplift.StrategyUplift().fit(apart)
    foreseen = model.foresight_.predict(known)
    held_out = outcome[(strategy == 0) & ~made.is_treated].mean()
    assert foreseen[strategy == 0].mean() < 1.5 * held_out  # of all who were drawn the mean is 2.5 times that
    told = model.predict(known)
    assert told[:, 0].mean() == pytest.approx(20, rel=0.15)
    assert abs(told[:, 1].mean()) < 2


def test_the_same_results_give_the_same_model():
    made, _ = results(5, 1200, slope=0.2)
    one, two = strategy_uplift.StrategyUplift().fit(made), strategy_uplift.StrategyUplift().fit(made)
    assert (one.predict(made.known) == two.predict(made.known)).all()
    assert (one.tell(made.known).spread > 0).all()


def test_beyond_what_was_learnt_from_nothing_is_made_up():
    """A column that did not vary then, such as contacts before the first campaign, tells nothing when it does."""
    made, _ = results(6, 1500, slope=0.2)
    known = made.known.assign(contacts=0.0)
    model = strategy_uplift.StrategyUplift().fit(Results(**{**vars(made), "known": known}))
    then, later = (model.tell(known.assign(contacts=number)) for number in (0.0, 5.0))
    assert later.mean == pytest.approx(then.mean)
    assert later.spread == pytest.approx(then.spread)
    far = model.tell(known.assign(x1=1e6))
    assert np.abs(far.mean).max() < 5 * np.abs(then.mean).max()
    assert far.spread.max() < 5 * then.spread.max()
