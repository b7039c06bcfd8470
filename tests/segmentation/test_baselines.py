"""The rules to beat, on numbers one can check by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from segmentation.baselines import RFM, Columns, KnownAmount, LimitedAmount, Quintiles

NAN = np.nan


def test_the_rule_goes_by_recency_frequency_and_money():
    frame = pd.DataFrame({"noise": [1.0], **{name: [2.0] for name in RFM}})
    assert list(Columns().fit(frame).transform(frame)) == ["last_order_age_days", "orders_count", "spend_total"]


def test_quintiles_are_fifths_of_what_was_learnt_from():
    quintiles = Quintiles().fit(pd.DataFrame({"x": np.arange(1.0, 11), "y": np.arange(10, 0, -1.0)}))
    told = quintiles.transform(pd.DataFrame({"x": [1.0, 2, 3, 10, 99, -5], "y": [NAN] * 6}))
    assert told.tolist() == [[1, 0], [1, 0], [2, 0], [5, 0], [5, 0], [1, 0]]
    assert quintiles.means_.tolist() == [3, 3]
    assert list(quintiles.get_feature_names_out()) == ["x", "y"]


def test_equal_values_share_a_quintile():
    told = Quintiles().fit_transform(pd.DataFrame({"orders": [0.0] * 8 + [1.0, 9.0]}))
    assert told[:, 0].tolist() == [1] * 8 + [5, 5]


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_a_column_without_values_tells_nothing_but_stops_nobody():
    quintiles = Quintiles().fit(pd.DataFrame({"x": [NAN, NAN]}))
    assert quintiles.transform(pd.DataFrame({"x": [NAN, 5.0]}))[0, 0] == 0


def test_a_known_amount_is_brought_to_the_sum_that_was_spent():
    known = KnownAmount().fit(pd.DataFrame({"x": [1.0, 3.0, NAN, NAN]}), np.array([4.0, 4.0, 0.0, 6.0]))
    assert (known.factor_, known.unknown_) == (2, 3)
    assert known.predict(pd.DataFrame({"x": [10.0, NAN, 0.0]})).tolist() == [20, 3, 0]


def test_where_all_is_known_the_unknown_get_the_mean():
    known = KnownAmount().fit(pd.DataFrame({"x": [1.0, 3.0]}), np.array([4.0, 4.0]))
    assert known.predict(pd.DataFrame({"x": [NAN]})).tolist() == [4]


@pytest.mark.parametrize("values", [[0.0, 0.0], [NAN, NAN]])
def test_an_amount_of_which_nothing_is_known_is_no_obstacle(values):
    known = KnownAmount().fit(pd.DataFrame({"x": values}), np.array([4.0, 0.0]))
    assert np.isfinite(known.predict(pd.DataFrame({"x": [0.0, NAN, 5.0]}))).all()


def test_few_very_large_amounts_count_as_the_quantile():
    amounts = np.array([0.0, 0, 0, 10, 20, 1e6])
    mean = LimitedAmount(DummyRegressor(), most=0.5).fit(np.zeros((6, 1)), amounts)
    assert mean.predict(np.zeros((1, 1))).tolist() == pytest.approx([(10 + 20 + 20) / 6])


def test_the_regressor_sees_amounts_of_mean_one_whatever_the_currency():
    x = np.arange(20.0)[:, None]
    for currency in (1.0, 1e-6, 1e6):
        limited = LimitedAmount(LinearRegression(), most=1.0).fit(x, currency * (x[:, 0] + 1))
        assert limited.regressor_.predict(x).mean() == pytest.approx(1)
        assert limited.predict(x) == pytest.approx(currency * (x[:, 0] + 1))


def test_where_nobody_spends_nothing_is_expected():
    limited = LimitedAmount(DummyRegressor()).fit(np.zeros((3, 1)), np.zeros(3))
    assert limited.predict(np.zeros((2, 1))).tolist() == [0, 0]
