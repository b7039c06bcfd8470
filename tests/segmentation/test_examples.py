"""What validates is later in time than what was learnt, by a whole horizon; whom a target is predicted for."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation import examples, settings, tables
from tests import stacked

CONFIG = settings.Training(min_examples=2, validations=3)


def few(ages, rows=8, positives=4):
    """Some customers at cutoffs so many days before the training day, half of whom have churned."""
    index = pd.MultiIndex.from_product([[f"c{n}" for n in range(rows)], [stacked.cutoff(age) for age in ages]])
    index = index.set_names(examples.KEY)
    outcomes = np.array([int(name[1:]) < positives for name in index.get_level_values("customer_id")], bool)
    return examples.Examples(pd.DataFrame({"x": 1.0}, index=index), outcomes, np.zeros(len(index)))


def ages_of(part):
    return [(stacked.DAY - day).days for day in part.days]


def test_the_test_is_the_newest_cutoff_and_training_ends_a_horizon_before_it():
    train, test = examples.split(few((90, 120, 150, 180, 210)), 90)
    assert (ages_of(train), ages_of(test)) == ([210, 180], [90])


def test_a_shorter_horizon_leaves_more_to_learn_from():
    train, test = examples.split(few((30, 60, 90, 120)), 30)
    assert (ages_of(train), ages_of(test)) == ([120, 90, 60], [30])


def test_nothing_is_split_into_nothing():
    train, test = examples.split(few(()), 90)
    assert len(train) == len(test) == 0
    assert list(examples.folds(train, 90, CONFIG)) == []


def test_each_later_cutoff_is_predicted_from_those_a_horizon_before_it():
    found = [(ages_of(learn), ages_of(later)) for learn, later in examples.folds(few(range(180, 400, 30)), 90, CONFIG)]
    assert found == [
        ([390, 360, 330, 300, 270], [180]),
        ([390, 360, 330, 300], [210]),
        ([390, 360, 330], [240]),
    ]


@given(
    ages=st.sets(st.integers(1, 400), min_size=1, max_size=14),
    horizon=st.integers(1, 120),
    validations=st.integers(1, 4),
)
def test_no_outcome_that_was_learnt_reaches_into_what_it_is_validated_on(ages, horizon, validations):
    train, test = examples.split(few(sorted(ages)), horizon)
    config = settings.Training(min_examples=2, validations=validations)
    rounds = list(examples.folds(train, horizon, config))
    assert len(rounds) <= validations
    for learn, later in [*rounds, (train, test)]:
        assert len(later.days) == 1
        for day in learn.days:
            assert day + dt.timedelta(days=horizon) <= later.days[0]


@given(ages=st.sets(st.integers(1, 400), min_size=2, max_size=14))
def test_the_folds_are_the_newest_that_there_are(ages):
    train, _ = examples.split(few(sorted(ages)), 30)
    found = [later.days[0] for _, later in examples.folds(train, 30, settings.Training(min_examples=2, validations=2))]
    able = [day for day in train.days if train.days[0] <= day - dt.timedelta(days=30)]
    assert found == able[::-1][:2]


def test_a_cutoff_of_one_outcome_only_validates_nothing():
    data = few((90, 180, 270, 360))
    is_lost = data.cutoffs == stacked.cutoff(270)
    data = examples.Examples(data.features, data.outcomes & ~is_lost, data.spend)
    train, _ = examples.split(data, 90)
    assert [ages_of(later) for _, later in examples.folds(train, 90, CONFIG)] == [[180]]
    assert list(examples.folds(train, 90, settings.Training(min_examples=5))) == []


@pytest.mark.parametrize(("positives", "enough"), [(3, True), (2, False), (5, True), (6, False)])
def test_enough_of_each_are_needed(positives, enough):
    assert examples.is_enough(few((90,), 8, positives), 3) == enough


def test_of_an_amount_enough_above_nothing_and_enough_of_nothing_are_needed():
    data = few((90,), 4)
    amounts = examples.Examples(data.features, np.array([0.0, 5.0, 0.0, 7.5]), data.spend)
    assert examples.is_enough(amounts, 2)
    assert not examples.is_enough(amounts, 3)


def test_a_sample_is_drawn_evenly_and_the_same_way_each_time():
    data = few((90, 180), 500)
    drawn = data.sampled(100, 7)
    assert len(drawn) == 100
    assert drawn.features.index.is_unique
    assert drawn.features.equals(data.sampled(100, 7).features)
    assert not drawn.features.index.equals(data.sampled(100, 8).features.index)
    assert 30 < (drawn.cutoffs == stacked.cutoff(90)).sum() < 70
    assert data.sampled(1_000, 7) is data
    assert len(data.sampled(0, 7)) == len(few(()).sampled(0, 7)) == 0


def test_rows_are_taken_by_mask_or_by_place():
    data = few((90, 180), 3)
    assert len(data.at(stacked.cutoff(90))) == 3
    assert data.where(np.array([5, 0])).features.index.tolist() == [data.features.index[5], data.features.index[0]]
    assert data.until(stacked.cutoff(180)).days == [stacked.cutoff(180)]


@pytest.fixture(scope="module")
def rows():
    return stacked.frame((0, 20, 60, 90, 180), 100)


def read(stores, rows, target, **config):
    stacked.write(stores, rows)
    return examples.read(target, stacked.DAY, stores, settings.Training(**config))


def test_only_cutoffs_whose_horizon_has_passed_are_learnt_from(stores, rows):
    assert ages_of(read(stores, rows, tables.SERVICE)) == [180, 90]
    assert ages_of(examples.read(tables.PURCHASE, stacked.DAY, stores, settings.Training())) == [180, 90, 60]


def test_each_target_has_its_own_customers(stores, rows):
    known = rows[rows["as_of_date"].isin([stacked.cutoff(90), stacked.cutoff(180)])]
    is_new = (known["orders_count"] == 0) | (known["first_order_age_days"] <= 30)
    expected = {
        tables.CHURN: (known["orders_count"] > 0).sum(),
        tables.NEWCOMER: is_new.sum(),
        tables.SPEND: len(known),
    }
    stacked.write(stores, rows)
    found = {target: examples.read(target, stacked.DAY, stores, settings.Training()) for target in expected}
    assert {target: len(data) for target, data in found.items()} == expected
    assert found[tables.CHURN].outcomes.dtype == bool
    assert found[tables.SPEND].outcomes.tolist() == known["spend_far"].tolist()
    assert found[tables.CHURN].spend.tolist() == known.loc[known["orders_count"] > 0, "spend_far"].tolist()


def test_newcomers_are_so_many_days_new_as_the_settings_say(stores, rows, monkeypatch):
    config = settings.Settings(targets=settings.Targets(new_days=365))
    monkeypatch.setattr(settings, "load", lambda: config)
    known = rows[(rows["as_of_date"] == stacked.DAY)]
    is_new = (known["orders_count"] == 0) | (known["first_order_age_days"] <= 365)
    stacked.write(stores, rows)
    assert len(examples.newest(tables.NEWCOMER, stacked.DAY, stores, 1_000, 0)) == is_new.sum()


def test_no_outcome_is_among_the_features(stores, rows):
    features = read(stores, rows, tables.SERVICE).features
    assert not set(features.columns) & set(tables.NOT_FEATURES)
    assert list(features.index.names) == ["customer_id", "as_of_date"]
    assert features["email_consent"].dtype == features["orders_count"].dtype == "float64"
    assert set(features["channel"]) == {"app", "web", "store"}


def test_more_examples_than_allowed_are_sampled(stores):
    data = read(stores, stacked.frame((90, 180), 800), tables.SERVICE, max_rows=1_000)
    assert len(data) == len(data.outcomes) == len(data.spend) == 1_000
    assert ages_of(data) == [180, 90]


def test_the_newest_rows_are_those_of_the_training_day(stores, rows):
    stacked.write(stores, rows)
    newest = examples.newest(tables.SERVICE, stacked.DAY, stores, 1_000, 0)
    assert set(newest.index.get_level_values("as_of_date")) == {stacked.DAY}
    assert len(newest) == 100
    assert len(examples.newest(tables.SERVICE, stacked.DAY, stores, 10, 0)) == 10
    buyers = rows[(rows["as_of_date"] == stacked.DAY) & (rows["orders_count"] > 0)]
    assert len(examples.newest(tables.CHURN, stacked.DAY, stores, 1_000, 0)) == len(buyers)


def test_without_rows_there_are_no_examples(stores, rows):
    data = read(stores, rows.iloc[:0], tables.CHURN)
    assert len(data) == 0
    assert data.days == []


def test_groups_are_what_is_known_of_gender_income_and_age(stores, rows):
    assert list(read(stores, rows, tables.SERVICE).groups) == ["gender", "income_band", "age_years"]
    assert list(read(stores, rows.drop(columns=["gender", "age_years"]), tables.SERVICE).groups) == ["income_band"]
