"""Copies of models in the lake: read instead of MLflow, whole or not at all, and never what may run code."""

import datetime as dt
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from segmentation import model_cache
from segmentation.model_artifact import UntrustedModelError
from segmentation.registry import Registry, UnreachableError

MODEL = "churn_90d"
INCLUDE = str(Path(model_cache.__file__).parents[1])
INPUTS = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
JUNE = dt.date(2026, 6, 1)
NOW = dt.datetime(2026, 6, 1, 5, tzinfo=dt.UTC)


class Hostile:
    """What a pickle can be made of: reading it does something."""

    def __reduce__(self):
        return (Path("harm").touch, ())


class NotReviewed(LogisticRegression):
    """A class that is none of the reviewed types."""


@pytest.fixture
def registry(stores):
    return Registry(stores.registry, stores.marketing)


@pytest.fixture
def version(registry):
    model = LogisticRegression().fit(INPUTS, np.array([0, 0, 1, 1]))
    with registry.training(MODEL, JUNE) as run:
        number = run.register(MODEL, model, INPUTS, model.predict(INPUTS), {"columns": ["x"]})
    registry.promote(MODEL, number, "fine")
    return registry.resolve(MODEL, JUNE)


@pytest.fixture
def copy(registry, version, stores):
    """The folder of the version's copy in the lake."""
    model_cache.load(registry, version, stores.lake)
    return Path(stores.lake, "models", MODEL, version.version)


def down(monkeypatch):
    def refuse(*_):
        raise UnreachableError("MLflow does not answer")

    monkeypatch.setattr(Registry, "download", refuse)
    monkeypatch.setattr(Registry, "resolve", refuse)


def test_a_version_is_fetched_once(registry, version, stores, copy, monkeypatch):
    assert {"MLmodel", "model.skops", "version.json"} <= {path.name for path in copy.iterdir()}
    down(monkeypatch)
    model, metadata = model_cache.load(registry, version, stores.lake)
    assert metadata == {"columns": ["x"]}
    assert model.predict(INPUTS).tolist() == [0, 0, 1, 1]


def test_without_a_copy_mlflow_is_needed(registry, version, stores, monkeypatch):
    down(monkeypatch)
    with pytest.raises(UnreachableError):
        model_cache.load(registry, version, stores.lake)


@pytest.mark.parametrize("harm", ["cut", "gone", "half written", "of another run"])
def test_a_copy_that_is_not_whole_or_not_it_is_made_anew(registry, version, stores, copy, harm):
    told = copy / "version.json"
    if harm == "cut":
        (copy / "model.skops").write_bytes((copy / "model.skops").read_bytes()[:100])
    elif harm == "gone":
        (copy / "MLmodel").unlink()
    elif harm == "half written":
        told.unlink()
    else:
        told.write_text(json.dumps({**json.loads(told.read_text()), "run_id": "other"}))
    model, _ = model_cache.load(registry, version, stores.lake)
    assert model.predict(INPUTS).tolist() == [0, 0, 1, 1]
    assert json.loads(told.read_text())["run_id"] == version.run_id
    assert not list(copy.glob("*.tmp"))


def poison(copy, content: bytes, name="model.skops"):
    """Puts content into a copy, digests and all: as who may write to the lake could."""
    (copy / name).write_bytes(content)
    told = json.loads((copy / "version.json").read_text())
    told["files"][name] = model_cache._digest(copy / name)
    (copy / "version.json").write_text(json.dumps(told))


def test_a_pickle_in_a_copy_is_refused(registry, version, stores, copy):
    poison(copy, pickle.dumps(Hostile()))
    with pytest.raises(UntrustedModelError):
        model_cache.load(registry, version, stores.lake)
    assert not Path("harm").exists()


def test_a_copy_that_says_it_is_a_pickle_is_refused(registry, version, stores, copy):
    poison(copy, pickle.dumps(Hostile()), "model.pkl")
    told = (copy / "MLmodel").read_text().replace("model.skops", "model.pkl")
    poison(copy, told.replace("serialization_format: skops", "serialization_format: cloudpickle").encode(), "MLmodel")
    with pytest.raises(UntrustedModelError, match="cloudpickle"):
        model_cache.load(registry, version, stores.lake)
    assert not Path("harm").exists()


def test_types_that_were_not_reviewed_are_refused_even_if_the_artifact_trusts_them(registry, version, stores, copy):
    model = NotReviewed().fit(INPUTS, np.array([0, 0, 1, 1]))
    poison(copy, skops.io.dumps(model))
    name = skops.io.get_untrusted_types(data=skops.io.dumps(model))[0]
    told = (copy / "MLmodel").read_text()
    poison(copy, told.replace("skops_trusted_types:", f"skops_trusted_types:\n    - {name}").encode(), "MLmodel")
    with pytest.raises(UntrustedModelError, match="NotReviewed"):
        model_cache.load(registry, version, stores.lake)


def test_nothing_is_kept_of_an_artifact_that_is_refused(registry, version, stores, monkeypatch):
    download = Registry.download

    def hostile(self, version, folder):
        download(self, version, folder)
        Path(folder, "model.skops").write_bytes(pickle.dumps(Hostile()))

    monkeypatch.setattr(Registry, "download", hostile)
    with pytest.raises(UntrustedModelError):
        model_cache.load(registry, version, stores.lake)
    assert not Path(stores.lake, "models").exists()


def test_the_last_answer_serves_while_mlflow_is_down_and_is_told(registry, version, stores, monkeypatch, caplog):
    def ask(day):
        return model_cache.resolved(lambda: {MODEL: registry.resolve(MODEL, day)}, stores.lake, day, NOW)

    assert ask(JUNE) == {MODEL: version}
    assert not caplog.records
    down(monkeypatch)
    for day in (JUNE, JUNE + dt.timedelta(days=3)):
        caplog.clear()
        assert ask(day) == {MODEL: version}
        assert f"{day} is scored by the versions it named for 2026-06-01 at 2026-06-01T05:00:00+00:00" in caplog.text
        assert "churn_90d 1" in caplog.text
    with pytest.raises(UnreachableError, match=r"no answer of it is remembered .* for 2026-05-31 or a day before"):
        ask(JUNE - dt.timedelta(days=1))


def test_that_there_is_no_model_is_no_reason_to_remember(registry, version, stores):
    model_cache.resolved(lambda: {MODEL: version}, stores.lake, JUNE, NOW)

    def none():
        raise KeyError("another trouble")

    with pytest.raises(KeyError):
        model_cache.resolved(none, stores.lake, JUNE, NOW)


def test_a_dead_address_is_told_from_a_missing_model(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UnreachableError, match="MLflow does not answer"):
        Registry("http://127.0.0.1:9").resolve(MODEL, JUNE)


def trained_and_scored(registry, stores, week):
    """A week's training is promoted, and its version scores the day; returns that version."""
    model, day = LogisticRegression().fit(INPUTS, np.array([0, 0, 1, 1])), JUNE + dt.timedelta(weeks=week)
    with registry.training(MODEL, day) as run:
        number = run.register(MODEL, model, INPUTS, model.predict(INPUTS), {"columns": ["x"]})
    registry.promote(MODEL, number, "fine")
    return scored(registry, stores, day)


def scored(registry, stores, day):
    [version] = model_cache.resolved(lambda: {MODEL: registry.resolve(MODEL, day)}, stores.lake, day, NOW).values()
    model_cache.load(registry, version, stores.lake)
    return version


def test_of_old_versions_no_copies_stay(registry, stores, monkeypatch):
    monkeypatch.setattr(model_cache, "COPIES_KEPT", 3)
    versions = [trained_and_scored(registry, stores, week).version for week in range(5)]
    folder = Path(stores.lake, "models", MODEL)
    assert sorted(path.name for path in folder.iterdir() if any(path.iterdir())) == versions[-3:]
    scored(registry, stores, JUNE)  # a day long past
    assert Path(folder, versions[0], "version.json").exists()


def test_the_copy_of_a_champion_stays_however_many_came_after_it(registry, stores, monkeypatch):
    """Trainings whose versions were rolled back, or served past days alone, push out no copy that serves today."""
    monkeypatch.setattr(model_cache, "COPIES_KEPT", 2)
    champion = trained_and_scored(registry, stores, 0)
    for _ in range(4):
        model = LogisticRegression().fit(INPUTS, np.array([0, 1, 1, 1]))
        with registry.training(MODEL, JUNE) as run:
            number = run.register(MODEL, model, INPUTS, model.predict(INPUTS), {"columns": ["x"]})
        other = next(each for each in registry.versions(MODEL) if each.version == f"{number}")
        model_cache.load(registry, other, stores.lake)
    down(monkeypatch)
    model, _ = model_cache.load(registry, champion, stores.lake)
    assert model.predict(INPUTS).tolist() == [0, 0, 1, 1]


def test_of_answers_the_latest_days_stay(registry, version, stores, monkeypatch):
    monkeypatch.setattr(model_cache, "ANSWERS_KEPT", 2)
    days = [JUNE + dt.timedelta(days=number) for number in range(4)]
    for day in days:
        scored(registry, stores, day)
    folder = Path(stores.lake, "models", model_cache.SCORING)
    assert sorted(path.stem for path in folder.iterdir()) == [f"{day}" for day in days[-2:]]
    scored(registry, stores, JUNE)  # its own answer stays until the next is given
    assert Path(folder, f"{JUNE}.json").exists()


def test_a_task_that_reads_no_model_does_not_wait_for_the_import_of_what_reads_them():
    said = "import sys, segmentation.retrain; print(sorted({'skops', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, env={"PYTHONPATH": INCLUDE})
    assert done.stdout.strip() == "[]", done.stderr
