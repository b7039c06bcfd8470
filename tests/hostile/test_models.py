"""A model that is not the one that training registered is refused by name, wherever it lies, and nothing of it runs."""

import datetime as dt
import json
import os
import pickle
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.linear_model import LogisticRegression

from segmentation import model_cache, scoring, warehouse
from segmentation.model_artifact import UntrustedModelError
from segmentation.registry import Registry
from segmentation.tables import SEGMENTS_MODEL, TARGETS

MODEL, JUNE = "churn_90d", dt.date(2026, 6, 1)
INPUTS, OUTCOMES = pd.DataFrame({"x": np.arange(40.0)}), np.arange(40) % 2


class Hostile:
    """What a pickle can be made of: reading it does something."""

    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


class NotReviewed(LogisticRegression):
    """A class that is none of the reviewed types."""


@pytest.fixture
def stores(module_stores, tmp_path):
    """One MLflow for the file, which takes longest to make; a lake for each test."""
    return replace(module_stores, lake=str(tmp_path / "lake"))


def refused(version):
    return f"{version.model} version {version.version} was not read"


def trees(kind, **changes):
    """A fitted classifier of a library whose own format lies inside of the artifact."""
    made = {
        "xgboost": lambda: xgboost.XGBClassifier(n_estimators=3, **changes),
        "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=1, verbose=-1, **changes),
    }[kind]()
    return made.fit(INPUTS, OUTCOMES)


def register(stores, model=None, name=MODEL):
    registry = Registry(stores.registry, stores.marketing)
    fitted = model or LogisticRegression().fit(INPUTS, OUTCOMES)
    with registry.training(name, JUNE) as run:
        number = run.register(name, fitted, INPUTS, fitted.predict(INPUTS), {"columns": ["x"]})
    registry.promote(name, number, "fine")
    return registry.resolve(name, JUNE)


def stored(version):
    """The folder in which MLflow keeps the artifact: whoever may write to the store may write here."""
    uri = mlflow.MlflowClient().get_model_version_download_uri(version.model, version.version)
    return Path(urlparse(uri).path)


def skops_of(what):
    return skops.io.dumps(what)


def pickled(folder):
    (folder / "model.skops").write_bytes(pickle.dumps(Hostile()))


def said_to_be_a_pickle(folder):
    (folder / "model.pkl").write_bytes(pickle.dumps(Hostile()))
    told = (folder / "MLmodel").read_text()
    told = told.replace("model.skops", "model.pkl").replace("format: skops", "format: cloudpickle")
    (folder / "MLmodel").write_text(told)


def pickled_under_another_flavour(folder):
    (folder / "model.pkl").write_bytes(pickle.dumps(Hostile()))
    told = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(re.sub("loader_module: .*", "loader_module: harmful", told))
    (folder / "harmful.py").write_text("import pathlib\npathlib.Path('harm').touch()\n")
    (folder / "model.skops").unlink()


def foreign(folder):
    (folder / "model.skops").write_bytes(skops_of(NotReviewed().fit(INPUTS, OUTCOMES)))
    told = (folder / "MLmodel").read_text()
    [name] = skops.io.get_untrusted_types(file=folder / "model.skops")
    (folder / "MLmodel").write_text(told.replace("skops_trusted_types:", f"skops_trusted_types:\n    - {name}"))


def calling(folder):
    (folder / "model.skops").write_bytes(skops_of({"steps": os.system}))


def pickle_in_the_zip(folder):
    """A member of skops' archive that is a pickle: numpy reads such object arrays if it is let."""
    member = "harm.npy"
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        schema = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy",
                  "file": member, "protocol": 2, "_skops_version": "0.14", "__id__": 1}  # fmt: skip
        archive.writestr("schema.json", json.dumps(schema))
        array = np.array([Hostile()], dtype=object)
        with archive.open(member, "w") as file:
            np.save(file, array, allow_pickle=True)


def yaml_call(folder):
    (folder / "MLmodel").write_text("flavors: !!python/object/apply:pathlib.Path.touch [harm]\n")


def cut(folder):
    (folder / "model.skops").write_bytes((folder / "model.skops").read_bytes()[:200])


HARMS = {
    "a pickle": (pickled, "damaged or forged"),
    "it says it is a pickle": (said_to_be_a_pickle, "cloudpickle"),
    "a flavour of its own": (pickled_under_another_flavour, r"model\.skops"),
    "a type that only MLmodel trusts": (foreign, "NotReviewed"),
    "a function": (calling, r"posix\.system|os\.system"),
    "a pickle inside of the archive": (pickle_in_the_zip, "damaged or forged|is not the one"),
    "a call in MLmodel": (yaml_call, "MLmodel is none of ours"),
    "cut": (cut, "damaged or forged"),
}


@pytest.mark.parametrize("has_ledger", [True, False], ids=["with the ledger", "by its types alone"])
@pytest.mark.parametrize("harm", HARMS)
def test_what_could_run_is_refused_and_does_not_run(stores, harm, has_ledger):
    version = register(stores)
    spoil, why = HARMS[harm]
    spoil(stored(version))
    registry = Registry(stores.registry, stores.marketing if has_ledger else None)
    for load in (registry.load, lambda version: model_cache.load(registry, version, stores.lake)):
        with pytest.raises(UntrustedModelError, match=why) as told:
            load(version)
        assert f"{told.value}".startswith(refused(version))
    assert not Path("harm").exists()
    assert not Path(stores.lake, "models", MODEL).exists(), "nothing is kept of it"


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_another_model_of_reviewed_types_is_refused(stores, kind):
    version = register(stores, trees(kind))
    registry = Registry(stores.registry, stores.marketing)
    before = registry.load(version)[0].predict(INPUTS)
    other = trees(kind, learning_rate=0.9)
    (stored(version) / "model.skops").write_bytes(skops_of(other))
    with pytest.raises(UntrustedModelError, match=f"{refused(version)}: its artifact is not the one .* reviewed ones"):
        registry.load(version)
    (stored(version) / "model.skops").write_bytes(skops_of(trees(kind)))
    assert len(before) == len(INPUTS)


def test_other_metadata_is_refused(stores):
    """It says which columns the model takes, and how its segments are called."""
    version = register(stores)
    file = stored(version) / "MLmodel"
    file.write_text(file.read_text().replace('"x"', '"gender"').replace('\\"x\\"', '\\"gender\\"'))
    with pytest.raises(UntrustedModelError, match=refused(version)):
        Registry(stores.registry, stores.marketing).load(version)


@pytest.mark.parametrize("is_down", [False, True], ids=["MLflow answers", "MLflow is down"])
def test_a_copy_in_the_lake_that_was_changed_with_its_digests_is_refused(stores, is_down, monkeypatch):
    version, registry = register(stores), Registry(stores.registry, stores.marketing)
    model_cache.load(registry, version, stores.lake)
    copy = Path(stores.lake, "models", MODEL, version.version)
    content = skops_of(LogisticRegression(C=9).fit(INPUTS, 1 - OUTCOMES))
    (copy / "model.skops").write_bytes(content)
    told = json.loads((copy / "version.json").read_text())
    told["files"]["model.skops"] = model_cache._digest(copy / "model.skops")
    (copy / "version.json").write_text(json.dumps(told))
    if is_down:
        monkeypatch.setattr(Registry, "download", None)
    with pytest.raises(UntrustedModelError, match=f"{refused(version)}: its artifact is not the one"):
        model_cache.load(registry, version, stores.lake)


@pytest.mark.parametrize("name", ["../../../harm", "/tmp/fenqun-harm", "a/../../../harm", "..", ""])
def test_a_copy_writes_nothing_outside_of_its_folder(stores, name, tmp_path, monkeypatch, caplog):
    """Who may write to the lake chooses the names in `version.json`."""
    version, registry = register(stores), Registry(stores.registry, stores.marketing)
    model_cache.load(registry, version, stores.lake)
    copy = Path(stores.lake, "models", MODEL, version.version)
    Path(stores.lake, "harm").write_text("x")
    told = json.loads((copy / "version.json").read_text())
    told["files"] = {name: model_cache._digest(Path(stores.lake, "harm"))}
    (copy / "version.json").write_text(json.dumps(told))
    written = []
    get_file = model_cache.lakes.get_file
    monkeypatch.setattr(model_cache.lakes, "get_file", lambda at, to: written.append(to) or get_file(at, to))
    model_cache.load(registry, version, stores.lake)
    assert not written
    assert "damaged" in caplog.text or "names a file elsewhere" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"run_id": 1, "files": [1]}', '{"files": {}}', '"' + "[" * 9])
def test_a_copy_that_says_nonsense_is_made_anew(stores, text):
    version, registry = register(stores), Registry(stores.registry, stores.marketing)
    model_cache.load(registry, version, stores.lake)
    (Path(stores.lake, "models", MODEL, version.version) / "version.json").write_text(text)
    assert model_cache.load(registry, version, stores.lake)[1] == {"columns": ["x"]}


def test_a_version_that_no_training_has_registered_scores_nothing(stores):
    """Put into MLflow by hand, promoted and made champion: whoever reaches MLflow can do that."""
    version = register(stores)
    client = mlflow.MlflowClient(stores.registry)
    made = client.create_model_version(MODEL, f"file://{stored(version)}", run_id=version.run_id)
    for key, value in {"training_day": f"{JUNE}", "promoted": "true"}.items():
        client.set_model_version_tag(MODEL, made.version, key, value)
    client.set_registered_model_alias(MODEL, "champion", made.version)
    registry = Registry(stores.registry, stores.marketing)
    chosen = registry.resolve(MODEL, JUNE)
    assert chosen.version == f"{made.version}" != version.version
    with pytest.raises(UntrustedModelError, match=f"{refused(chosen)}: no training of this pipeline"):
        registry.load(chosen)
    registry.roll_back(MODEL, version.version, "by hand")
    assert registry.load(registry.resolve(MODEL, JUNE))[1] == {"columns": ["x"]}


def test_the_days_scores_are_not_made_by_a_model_of_somebody_else(stores):
    for name in (SEGMENTS_MODEL, *TARGETS):
        version = register(stores, name=name)
    (stored(version) / "model.skops").write_bytes(skops_of(LogisticRegression(C=9).fit(INPUTS, OUTCOMES)))
    registry = Registry(stores.registry, stores.marketing)
    with pytest.raises(UntrustedModelError, match=refused(version)):
        scoring.load_champions(registry, JUNE, stores.lake, dt.datetime(2026, 6, 1, 5, tzinfo=dt.UTC))


def test_a_remembered_answer_that_names_another_model_is_refused(stores, monkeypatch):
    version, registry = register(stores), Registry(stores.registry, stores.marketing)
    now = dt.datetime(2026, 6, 1, 5, tzinfo=dt.UTC)
    model_cache.resolved(lambda: {MODEL: version}, stores.lake, JUNE, now)
    answer = Path(stores.lake, "models", "resolved", f"{JUNE}.json")

    def down():
        raise model_cache.UnreachableError("down")

    assert model_cache.resolved(down, stores.lake, JUNE, now) == {MODEL: version}
    for change in ({"model": "spend_90d"}, {"version": "../../../etc"}):
        told = json.loads(answer.read_text())
        told["versions"][MODEL] |= change
        answer.write_text(json.dumps(told))
        with pytest.raises(UntrustedModelError, match="names no version of churn_90d"):
            model_cache.resolved(down, stores.lake, JUNE, now)
    assert registry.load(version)


def test_versions_from_before_the_ledger_are_taken_as_they_lie_once(stores):
    version = register(stores)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "delete from ops.model_digests")
    registry = Registry(stores.registry, stores.marketing)
    assert registry.load(version)[1] == {"columns": ["x"]}
    with warehouse.connect(stores.marketing) as connection:
        assert warehouse.fetch(connection, "select distinct is_adopted from ops.model_digests") == [(True,)]
    foreign(stored(version))
    with pytest.raises(UntrustedModelError, match=f"{refused(version)}.*NotReviewed"):
        registry.load(version)


def test_what_lies_poisoned_before_the_ledger_begins_is_not_taken(stores):
    version = register(stores)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "delete from ops.model_digests")
    foreign(stored(version))
    with pytest.raises(UntrustedModelError, match=f"{refused(version)}: no training"):
        Registry(stores.registry, stores.marketing).load(version)


def test_every_stage_holds_models_against_the_ledger():
    home = Path(model_cache.__file__).parent
    calls = [call for path in home.glob("*.py") for call in re.findall(r"\bRegistry\(([^)]*)\)", path.read_text())]
    calls = [call for call in calls if call]
    assert len(calls) >= 8
    assert set(calls) == {"stores.registry, stores.marketing"}
