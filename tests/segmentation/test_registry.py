"""Which version scores which day: by what had been trained by then, never by what came later."""

import datetime as dt
import json
import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from segmentation.registry import NoModelError, Registry
from segmentation.training_run import code_commit, frame_digest

MODEL = "churn_90d"
INPUTS = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
MAY, JUNE, JULY = (dt.date(2026, month, 1) for month in (5, 6, 7))


@pytest.fixture
def registry(stores):
    return Registry(stores.registry, stores.marketing)


def train(registry, day, slope=1.0):
    model = LogisticRegression(C=slope).fit(INPUTS, np.array([0, 0, 1, 1]))
    with registry.training(MODEL, day) as run:
        run.metrics({"auc": 1.0})
        return run.register(MODEL, model, INPUTS, model.predict_proba(INPUTS)[:, 1], {"columns": ["x"], "slope": slope})


def test_the_first_model_of_all_becomes_champion(registry):
    with pytest.raises(
        NoModelError, match=r"none has been promoted yet.*make run DAG=train_models_weekly DAY=2026-06-01"
    ):
        registry.resolve(MODEL, JUNE)
    assert registry.promote(MODEL, train(registry, JUNE), "fine")
    champion = registry.resolve(MODEL, JUNE)
    assert (champion.version, champion.training_day, champion.tags["promotion"]) == ("1", JUNE, "fine")


def test_a_version_that_was_not_promoted_scores_nothing(registry):
    train(registry, MAY)
    with pytest.raises(NoModelError, match=r"none has been promoted"):
        registry.resolve(MODEL, JUNE)


def test_a_day_before_the_first_training_has_no_model(registry):
    registry.promote(MODEL, train(registry, JUNE), "fine")
    with pytest.raises(NoModelError, match=r"on or before 2026-05-31 .the earliest was trained for 2026-06-01"):
        registry.resolve(MODEL, dt.date(2026, 5, 31))


def test_training_a_past_day_does_not_replace_the_champion_but_serves_past_days(registry):
    registry.promote(MODEL, train(registry, JULY), "fine")
    assert not registry.promote(MODEL, train(registry, MAY), "fine")
    assert registry.resolve(MODEL, JULY).version == "1"
    assert registry.resolve(MODEL, JUNE).version == "2"
    assert registry.resolve(MODEL, MAY).version == "2"
    registry.promote(MODEL, train(registry, JUNE), "fine")
    assert [registry.resolve(MODEL, day).version for day in (MAY, JUNE, JULY)] == ["2", "3", "1"]


def test_training_a_day_again_replaces_its_own_model(registry):
    for _ in range(2):
        registry.promote(MODEL, train(registry, JUNE), "fine")
    registry.promote(MODEL, train(registry, MAY), "fine")
    registry.promote(MODEL, train(registry, MAY), "fine")
    assert registry.resolve(MODEL, JULY).version == "2"
    assert registry.resolve(MODEL, MAY).version == "4"


def test_what_was_registered_comes_back(registry):
    registry.promote(MODEL, train(registry, JUNE, slope=3.0), "fine")
    model, metadata = registry.load(registry.resolve(MODEL, JUNE))
    assert metadata == {"columns": ["x"], "slope": 3.0}
    assert model.predict(INPUTS).tolist() == [0, 0, 1, 1]


def test_a_type_that_was_not_reviewed_is_refused(registry):
    class Sly(LogisticRegression):
        pass

    model = Sly().fit(INPUTS, np.array([0, 0, 1, 1]))
    with pytest.raises(Exception, match="Sly"), registry.training(MODEL, JUNE) as run:
        run.register(MODEL, model, INPUTS, model.predict(INPUTS), {})


def test_a_training_says_by_which_code_settings_and_rows(registry):
    with registry.training(MODEL, JUNE) as run:
        run.dataset(INPUTS, "feat.training_examples")
    logged = registry._client.get_run(run.run_id)
    assert re.fullmatch("[0-9a-f]{12}", logged.data.tags["code_digest"])
    assert re.fullmatch("[0-9a-f]{40}|not from a clone", logged.data.tags["code_commit"])
    assert (logged.data.params["as_of"], logged.data.params["dataset_rows"]) == ("2026-06-01", "4")
    assert (
        logged.data.params["dataset_digest"] == logged.inputs.dataset_inputs[0].dataset.digest == frame_digest(INPUTS)
    )
    settings = json.loads(mlflow.artifacts.load_text(f"{logged.info.artifact_uri}/settings.json"))
    assert settings["training"]["seed"] == 20_260
    assert "spark" not in settings


@pytest.mark.parametrize("change", ["outcome", "late row", "customer", "order", "name"])
def test_whatever_is_other_in_the_rows_has_another_digest(change):
    size = 12_000
    ids = pd.Index([f"c{n}" for n in range(size)], name="customer_id")
    frame = pd.DataFrame({"visits": np.arange(size, dtype=float), "is_churn": np.arange(size) % 3 == 0}, ids)
    other = frame.copy()
    match change:
        case "outcome":
            other.iloc[5, 1] = not other.iloc[5, 1]
        case "late row":
            other.iloc[11_000, 0] += 1
        case "customer":
            other.index = [*ids[:-1], "d"]
        case "order":
            other = other.iloc[::-1]
        case "name":
            other = other.rename(columns={"visits": "looks"})
    assert frame_digest(frame) == frame_digest(frame.copy())
    assert frame_digest(frame) != frame_digest(other)


def test_code_outside_a_clone_has_a_digest_and_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    code_commit.cache_clear()
    assert code_commit() == ""
    code_commit.cache_clear()
