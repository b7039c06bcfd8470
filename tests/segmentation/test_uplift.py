"""The effect of each customer, learnt from trials whose truth is known; and when a policy is made of it."""

import numpy as np
import pandas as pd
import pytest

from segmentation import policy_value, uplift
from segmentation.uplift import EffectModel, TooFewError, Trial

RNG = np.random.default_rng
CHANCES = np.array([0.4, 0.3, 0.3])
TOWNS = np.array(["north", "south", "west"])


def trial(seed: int, rows: int, slope: float, noise: float = 1.0, averages=(0.5, 0.3)) -> tuple[Trial, np.ndarray]:
    """(a trial of two offers, the true effects): the first helps where `visits` is large, the second in the south."""
    rng = RNG(seed)
    known = pd.DataFrame(
        {"visits": rng.normal(size=rows), "age": rng.normal(size=rows), "town": rng.choice(TOWNS, rows)}
    )
    known.loc[rng.random(rows) < 0.1, "age"] = np.nan
    south = (known["town"] == "south").to_numpy()
    effects = np.column_stack(
        [np.zeros(rows), averages[0] + slope * known["visits"], averages[1] + slope * (south - 1 / 3) * 2]
    )
    arm = rng.choice(3, rows, p=CHANCES)
    outcome = 2 * known["visits"].to_numpy() + south + effects[np.arange(rows), arm] + noise * rng.normal(size=rows)
    return Trial(known, arm, outcome, CHANCES), effects


def test_effects_are_found_where_they_are():
    made, effects = trial(1, 4000, slope=1.0)
    model = EffectModel().fit(made.known, uplift.scores(made))
    told = model.predict(made.known)
    assert told.shape == (4000, 3)
    assert not told[:, 0].any()
    assert model.average_ == pytest.approx(effects[:, 1:].mean(axis=0), abs=0.15)
    for arm in (1, 2):
        assert np.corrcoef(told[:, arm], effects[:, arm])[0, 1] > 0.97
        assert np.mean((told[:, arm] - effects[:, arm]) ** 2) < 0.1 * effects[:, arm].var()


def test_with_little_to_tell_everybody_gets_about_the_average():
    """Where customers are alike, told effects vary by far less than the average itself is unsure."""
    spreads = []
    for seed in range(5):
        made, _ = trial(20 + seed, 600, slope=0.0, noise=5.0)
        told = EffectModel().fit(made.known, uplift.scores(made)).predict(made.known)
        spreads += told[:, 1:].std(axis=0).tolist()
    # the standard error of the average: 5 * sqrt(1 / 240 + 1 / 180) = 0.49
    assert np.mean(spreads) < 0.2


def test_foresight_makes_scores_sharper_and_is_never_of_the_row_itself():
    made, effects = trial(3, 3000, slope=0.5)
    plain = policy_value.scores(made.outcome, made.arm, made.chances)
    scored = uplift.scores(made)
    for arm in (1, 2):
        sharp, rough = (policy_value.difference(each, arm, 0) for each in (scored, plain))
        assert sharp.error < 0.6 * rough.error
        assert sharp.low < effects[:, arm].mean() < sharp.high
    # pure noise, with as many columns as a fold could fit: were a row's own outcome foreseen, scores would shrink
    rng = RNG(4)
    noise = Trial(
        pd.DataFrame(rng.normal(size=(300, 60))), rng.choice(3, 300, p=CHANCES), rng.normal(size=300), CHANCES
    )
    foreseen = uplift.scores(noise)
    drawn = foreseen[np.arange(300), noise.arm] * CHANCES[noise.arm]
    assert drawn.std() > 0.9 * noise.outcome.std()


def test_a_policy_is_learnt_where_customers_differ():
    made, _ = trial(5, 4000, slope=1.0)
    policy = uplift.learn(made)
    assert policy.is_learnt
    fresh, effects = trial(6, 4000, slope=1.0)
    rows = np.arange(4000)
    worth = effects[rows, policy.choose(fresh.known)].mean()
    assert policy.best == 1
    assert effects[:, 1].mean() + 0.2 < worth
    assert worth > 0.97 * effects.max(axis=1).mean()
    # the promise was of the right size
    assert policy.advantage.low < worth - effects[:, 1].mean() < policy.advantage.high


def test_where_they_do_not_everybody_gets_the_best_single_arm():
    """Of 12 trials among customers who are alike, by the rule two or more are fooled in 4 of 100 cases."""
    fooled = 0
    for seed in range(12):
        made, _ = trial(100 + seed, 450, slope=0.0, noise=2.0)
        policy = uplift.learn(made, seed)
        fooled += policy.is_learnt
        if not policy.is_learnt:
            assert set(policy.choose(made.known)) == {policy.best}
    assert fooled <= 1


def test_nobody_is_contacted_only_where_it_is_sure_that_no_arm_pays():
    made, _ = trial(7, 2000, slope=0.0, averages=(-0.6, -0.4))
    policy = uplift.learn(made)
    assert policy.best == 2
    assert policy.saving.low < 0.4 < policy.saving.high
    assert not policy.choose(made.known).any()
    # the same with ten times the noise: it may well pay
    made, _ = trial(7, 2000, slope=0.0, noise=10, averages=(-0.6, -0.4))
    policy = uplift.learn(made)
    assert policy.saving.low < 0
    assert not policy.is_silent
    assert set(policy.choose(made.known)) == {policy.best}


def test_the_same_trial_gives_the_same_policy():
    made, _ = trial(8, 900, slope=0.5)
    first, again = uplift.learn(made, 3), uplift.learn(made, 3)
    assert first.advantage == again.advantage
    assert (first.model.predict(made.known) == again.model.predict(made.known)).all()


def test_chances_may_differ_by_customer():
    """The first offer went to those with many visits rather: unweighted, it would look better than it is."""
    made, effects = trial(9, 4000, slope=0.0)
    rng, is_keen = RNG(9), (made.known["visits"] > 0).to_numpy()
    chances = np.where(is_keen[:, None], [0.2, 0.6, 0.2], [0.6, 0.2, 0.2])
    arm = (rng.random((4000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    outcome = made.outcome + effects[np.arange(4000), arm] - effects[np.arange(4000), made.arm]
    drawn = Trial(made.known, arm, outcome, chances).part(np.arange(3999))
    assert outcome[arm == 1].mean() - outcome[arm == 0].mean() > 1.5
    found = policy_value.difference(uplift.scores(drawn), 1, 0)
    assert found.low < 0.5 < found.high
    assert found.error < 0.1


def test_what_cannot_be_learnt_from_is_said():
    made, _ = trial(10, 300, slope=0.0)
    few = made.part(np.flatnonzero((made.arm != 2) | (np.cumsum(made.arm == 2) <= 49)))
    with pytest.raises(TooFewError, match="arm 2 has 49 customers, 50 are needed; all: "):
        uplift.learn(few)
    with pytest.raises(ValueError, match="300 customers, 299 arms, 300 outcomes"):
        uplift.learn(Trial(made.known, made.arm[1:], made.outcome, CHANCES))
    with pytest.raises(ValueError, match="2 of 300 outcomes are no numbers, the first at 3"):
        outcome = made.outcome.copy()
        outcome[[3, 5]] = np.nan
        uplift.learn(Trial(made.known, made.arm, outcome, CHANCES))


def test_where_nothing_varies_there_is_still_an_offer():
    rng = RNG(11)
    known = pd.DataFrame({"visits": rng.normal(size=300), "gap": np.full(300, np.nan), "same": 1.0, "town": "west"})
    policy = uplift.learn(Trial(known, rng.integers(0, 2, 300), np.zeros(300), np.array([0.5, 0.5])))
    assert policy.advantage == policy.saving == policy_value.Value(0, 0)
    assert set(policy.choose(known)) == {1}
    assert not policy.model.predict(known).any()
