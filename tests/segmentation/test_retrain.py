"""When the models are trained before their time: on what performance and drift have written, by hand here."""

import dataclasses
import datetime as dt

import pytest

from segmentation import history, retrain, tables, warehouse
from tests import frames
from tests.versions import register

DAY = frames.DAY
TRAINED = DAY - dt.timedelta(days=5)
CHURN, SPEND = tables.CHURN.model, tables.SPEND.model


@pytest.fixture(scope="module")
def registry(module_stores, tmp_path_factory):
    """Models that were trained five days ago, and before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("mlflow"))
        register(module_stores, tables.SEGMENTS_MODEL, TRAINED - dt.timedelta(days=7))
        register(module_stores, tables.SEGMENTS_MODEL, TRAINED)
    return module_stores.registry


@pytest.fixture
def shop(stores, registry):
    history.ensure_schema(stores.marketing)
    return dataclasses.replace(stores, registry=registry)


def measured(stores, model: str, metric: str, *, day: dt.date = DAY, **numbers: float | None) -> None:
    """A row of `ops.performance`: promised and realised, each `_low` and `_high`."""
    row = {"model": model, "metric": metric, "day": day, "scored": day - dt.timedelta(days=90)}
    columns = "".join(f", {name}" for name in numbers)
    values = "".join(f", :{name}" for name in numbers)
    statement = f"""
        insert into ops.performance (as_of_date, model, version, metric, computed_on{columns})
        values (:scored, :model, '7', :metric, :day{values})
    """
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, statement, {**row, **numbers})


def drifted(stores, features: int, scores: int = 0, *, of: int = 100, day: dt.date = DAY) -> None:
    """Rows of `ops.drift`: so many features and scores that have drifted."""
    rows = [("feature", f"f{n}", n < features) for n in range(of)] + [("score", f"s{n}", n < scores) for n in range(3)]
    with warehouse.connect(stores.marketing) as connection:
        for kind, name, is_drifted in rows:
            warehouse.execute(
                connection,
                "insert into ops.drift values (:day, :kind, :name, :day, :psi, 0.25, :drifted)",
                {"day": day, "kind": kind, "name": name, "psi": 0.5 if is_drifted else 0.05, "drifted": is_drifted},
            )


def noted(stores, day: dt.date = DAY) -> tuple:
    with warehouse.connect(stores.marketing) as connection:
        query = "select is_asked, reasons, held_back from ops.retrains where as_of_date = :day"
        [row] = warehouse.fetch(connection, query, {"day": day})
    return row


PROMISED = {"promised": 0.80, "promised_low": 0.78, "promised_high": 0.82}


@pytest.mark.parametrize(
    ("low", "realised", "high", "is_asked"),
    [
        (0.70, 0.72, 0.74, True),
        (0.70, 0.75, 0.79, False),  # chance may explain it
        (0.770, 0.772, 0.774, False),  # surely less, but not by enough to matter
        (0.88, 0.90, 0.92, False),
    ],
)
def test_a_broken_promise_asks_for_a_training(shop, low, realised, high, is_asked):
    measured(shop, CHURN, "auc", **PROMISED, realised=realised, realised_low=low, realised_high=high)
    reasons = retrain.retrain_reasons(DAY, shop)
    wanted = [f"churn_90d version 7: auc of 2025-11-02 is {realised:.3g}, 0.8 was promised"] if is_asked else []
    assert reasons == wanted
    assert noted(shop) == (is_asked, wanted, None)


@pytest.mark.parametrize(
    ("model", "metric", "low", "high", "is_asked"),
    [
        (CHURN, "calibration_error", 0.06, 0.09, True),
        (CHURN, "calibration_error", 0.04, 0.09, False),
        (SPEND, "calibration_error", 0.30, 0.40, False),  # a share of the total, which has a limit of its own
        (SPEND, "total_ratio", 1.3, 1.6, True),
        (SPEND, "total_ratio", 1.1, 1.6, False),
        (SPEND, "total_ratio", 0.5, 0.7, True),
        (CHURN, "brier", 0.5, 0.7, False),
    ],
)
def test_what_is_off_for_certain_asks_for_a_training(shop, model, metric, low, high, is_asked):
    measured(shop, model, metric, realised=(low + high) / 2, realised_low=low, realised_high=high)
    assert bool(retrain.retrain_reasons(DAY, shop)) == is_asked


def test_a_calibration_that_was_promised_no_better_is_no_surprise(shop):
    measured(shop, CHURN, "calibration_error", promised=0.07, realised=0.065, realised_low=0.06, realised_high=0.07)
    assert retrain.retrain_reasons(DAY, shop) == []


def test_many_features_or_one_score_ask_for_a_training(shop):
    drifted(shop, features=5)
    assert retrain.retrain_reasons(DAY, shop) == []
    after = DAY + dt.timedelta(days=1)
    drifted(shop, features=6, day=after)
    [reason] = retrain.retrain_reasons(after, shop)
    assert reason == "6 of 100 features have drifted, most of all " + ", ".join(f"f{n} 0.50" for n in range(5))
    later = DAY + dt.timedelta(days=9)
    drifted(shop, features=0, scores=1, day=later)
    assert retrain.retrain_reasons(later, shop) == ["the scores have drifted: s0 0.50"]


def test_nothing_found_asks_for_nothing(shop):
    assert retrain.retrain_reasons(DAY, shop) == []
    assert noted(shop) == (False, [], None)


def test_a_training_is_not_asked_for_right_after_another(shop):
    drifted(shop, features=50, day=TRAINED + dt.timedelta(days=2))
    day = TRAINED + dt.timedelta(days=2)
    assert retrain.retrain_reasons(day, shop) == []
    is_asked, reasons, held_back = noted(shop, day)
    assert (is_asked, len(reasons)) == (False, 1)
    assert held_back == f"the last training is of {TRAINED}, less than 3 days before"


def test_a_training_that_was_asked_for_is_not_asked_for_again_next_day(shop):
    asked = []
    for number in range(5):
        day = DAY + dt.timedelta(days=number)
        drifted(shop, features=50, day=day)
        asked.append(bool(retrain.retrain_reasons(day, shop)))
    assert asked == [True, False, False, True, False]
    assert noted(shop, DAY + dt.timedelta(days=1))[2] == f"a training was asked for on {DAY}, less than 3 days before"


def test_what_had_drifted_when_it_was_trained_last_asks_for_no_other_training(shop):
    """A training whose models were all refused leaves the drift as it was: without an end it would be asked for."""
    drifted(shop, features=50, scores=1, day=TRAINED)
    drifted(shop, features=52, scores=1)
    assert retrain.retrain_reasons(DAY, shop) == []
    later = DAY + dt.timedelta(days=1)
    drifted(shop, features=80, scores=2, day=later)
    assert retrain.retrain_reasons(later, shop) == [
        "the scores have drifted: s1 0.50",
        "30 of 100 features have drifted, most of all f50 0.50, f51 0.50, f52 0.50, f53 0.50, f54 0.50",
    ]


def test_the_same_day_again_says_the_same_although_it_has_been_trained_for_since(shop, stores):
    drifted(shop, features=50)
    before = retrain.retrain_reasons(DAY, shop)
    register(stores, tables.SEGMENTS_MODEL, DAY)
    assert retrain.retrain_reasons(DAY, stores) == before != []


def test_a_past_day_asks_for_nothing_where_later_models_are_there(shop):
    past = TRAINED - dt.timedelta(days=1)
    drifted(shop, features=50, day=past)
    assert retrain.retrain_reasons(past, shop) == []
    assert noted(shop, past)[2] == f"there are models that were trained for a later day, {TRAINED}"


def test_what_the_last_training_knew_is_not_held_against_its_models(shop):
    bad = {**PROMISED, "realised": 0.7, "realised_low": 0.69, "realised_high": 0.71}
    measured(shop, CHURN, "auc", day=TRAINED, **bad)
    measured(shop, CHURN, "auc", day=DAY, **bad)
    assert retrain.retrain_reasons(DAY, shop) == []
    measured(shop, tables.HIGH_VALUE.model, "auc", day=DAY, **bad)
    assert len(retrain.retrain_reasons(DAY, shop)) == 1
