"""
The door to MLflow: training runs, model versions, and which version scores which day. (What files runs have left, one
by one, is beside it in `registry_files`; nobody else imports MLflow.)

A version carries two tags of ours: `training_day`, and `promoted` once the gate let it pass. Alias `champion` is on
the promoted version with the latest training day, `previous` on the one before. A day in the past is scored by what had
been trained by then; what was rolled back scores no day.
"""

import contextlib
import datetime as dt
import hashlib
import json
import math
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID251 - the one importer
import pandas as pd
import skops.io
from mlflow.exceptions import MlflowException  # noqa: TID251 - the one importer
from mlflow.models import infer_signature  # noqa: TID251 - the one importer
from skops.io.exceptions import UntrustedTypesFoundException

from segmentation import settings
from segmentation.errors import FinalError

CHAMPION, PREVIOUS = "champion", "previous"
# skops, MLflow's safe format, reads only types that are named. Reviewed: containers of numbers and text, and estimators
# whose state is such; none of them runs what an artifact brings along.
TRUSTED_TYPES = [
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "segmentation.baselines.Columns",
    "segmentation.baselines.KnownAmount",
    "segmentation.baselines.LimitedAmount",
    "segmentation.baselines.Quintiles",
    "segmentation.clusterings.SampledClusters",
    "segmentation.effect_shapes.EffectShape",
    "segmentation.ensembles.AmountEnsemble",
    "segmentation.ensembles.ProbabilityEnsemble",
    "segmentation.foresight.Foresight",
    "segmentation.preparation.Encoder",
    "segmentation.preparation.FeatureSelector",
    "segmentation.preparation.SampledPowerTransformer",
    "segmentation.strategy_uplift.StrategyUplift",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
]
# The versions that a model is read with again; naming them spares MLflow a slow inference of its own.
PIP_REQUIREMENTS = ["mlflow", "scikit-learn", "pandas", "numpy", "scipy", "skops", "xgboost-cpu", "lightgbm"]


class NoModelError(FinalError):
    """No promoted version may score the day that was asked for."""


class UnreachableError(Exception):
    """MLflow does not answer, or answers that it is broken. Trying again may mend it."""


class UntrustedModelError(FinalError):
    """An artifact holds types that have not been reviewed, or is in a format that may run code. It was not read."""


@dataclass(frozen=True)
class Version:
    """A registered model version and the day whose knowledge it was trained on."""

    model: str
    version: str
    training_day: dt.date
    run_id: str
    tags: Mapping[str, str]


class TrainingRun:
    """An open MLflow run: what was tried, with which numbers and pictures."""

    def __init__(self, run_id: str, day: dt.date) -> None:
        self.run_id = run_id
        self._day = day

    def params(self, values: Mapping[str, Any]) -> None:
        mlflow.log_params(dict(values))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        mlflow.log_metrics({name: float(value) for name, value in values.items()}, step=step)

    def picture(self, figure, name: str) -> None:
        """A matplotlib figure as `pictures/<name>.png`."""
        mlflow.log_figure(figure, f"pictures/{name}.png")

    def text(self, content: str, name: str) -> None:
        mlflow.log_text(content, name)

    def dataset(self, frame: pd.DataFrame, name: str, target: str | None = None) -> None:
        """The rows learnt from: their day, schema, size and digest, not the rows themselves."""
        data = mlflow.data.from_pandas(frame, name=name, targets=target)
        mlflow.log_input(data, context="training", tags={"as_of": f"{self._day}"})
        self.params({"as_of": f"{self._day}", "dataset_rows": len(frame), "dataset_digest": data.digest})

    @contextlib.contextmanager
    def nested(self, name: str) -> Iterator["TrainingRun"]:
        """A run below this one, for one of the candidates that were tried."""
        with mlflow.start_run(run_name=name, nested=True, tags={"training_day": f"{self._day}"}) as run:
            yield TrainingRun(run.info.run_id, self._day)

    def register(self, model: str, estimator, inputs: pd.DataFrame, outputs, metadata: Mapping[str, Any]) -> str:
        """Logs a fitted scikit-learn pipeline and registers it under the model's name, not yet promoted.

        :param inputs: rows as the pipeline takes them; floats, so that the signature allows missing values.
        :param outputs: what it answers for those rows.
        :returns: the new version.
        """
        info = mlflow.sklearn.log_model(
            estimator,
            name=model,
            signature=infer_signature(inputs, outputs),
            registered_model_name=model,
            serialization_format="skops",
            skops_trusted_types=TRUSTED_TYPES,
            pip_requirements=PIP_REQUIREMENTS,
            metadata={"fenqun": json.dumps(metadata)},
        )
        version = str(info.registered_model_version)
        mlflow.MlflowClient().set_model_version_tag(model, version, "training_day", f"{self._day}")
        return version


class Registry:
    """The MLflow server at one address.

    :param uri: e.g. `http://127.0.0.1:5000`, or `sqlite:///mlflow.db` in tests and notebooks.
    """

    def __init__(self, uri: str) -> None:
        # MLflow's own 7 retries wait for four minutes; whoever calls has retries of its own
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = mlflow.MlflowClient(uri)

    @contextlib.contextmanager
    def training(self, model: str, day: dt.date) -> Iterator[TrainingRun]:
        """A run in the model's experiment, with code version and settings. An error inside marks it failed, goes on."""
        mlflow.set_experiment(model)
        tags = {"training_day": f"{day}", "model": model, "code_digest": code_digest()}
        tags["code_commit"] = code_commit() or "not from a clone"
        with mlflow.start_run(run_name=f"{model} {day}", tags=tags) as run:
            # Spark's may hold keys
            mlflow.log_dict(settings.load().model_dump(mode="json", exclude={"spark"}), "settings.json")
            yield TrainingRun(run.info.run_id, day)

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(model, version, key, value)

    def version(self, model: str, version: str) -> Version:
        with _reachable():
            return _version(self._client.get_model_version(model, version))

    def promote(self, model: str, version: str, reason: str) -> bool:
        """Marks a version as fit for use; moves the alias if no promoted version was trained on a later day.

        The champion until now becomes `previous`, first, so that whoever is killed in between can begin again.

        :returns: whether it is now the champion.
        """
        candidate = self.version(model, version)
        self.tag(model, version, {"promoted": "true", "promotion": reason})
        champion = self.champion(model)
        if champion is not None and champion.training_day > candidate.training_day:
            return False
        if champion is not None and champion.version != version:
            self._client.set_registered_model_alias(model, PREVIOUS, champion.version)
        self._client.set_registered_model_alias(model, CHAMPION, version)
        return True

    def roll_back(self, model: str, version: str | None, request: str) -> tuple[Version, list[Version]]:
        """Makes a version the champion again, and takes all that are newer out of use: they score no day any more.

        Each step leaves something that serves, and the same request again goes on where the last try broke off.

        :param version: one that is promoted, or was until it was taken out of use; None: the one with alias `previous`.
        :param request: who or what asks; goes into tag `rolled_back` of what it takes out of use.
        :returns: (the champion from now on, what this request took out of use).
        :raises NoModelError: there is nothing to go back to; nothing was changed.
        """
        known = sorted(self._versions(model), key=_age)
        fit = [each for each in known if each.tags.get("promoted") == "true"]
        out = [each for each in known if each.tags.get("rolled_back") == request]
        target = self._target(model, version, known, fit, out)
        if target not in fit:
            self.tag(model, target.version, {"promoted": "true", "promotion": f"back in use: {request}"})
            self._client.delete_model_version_tag(model, target.version, "rolled_back")
        newer = [each for each in fit if _age(each) > _age(target)]
        for each in reversed(newer):  # the champion first: it tells the next try how far this one came
            reason = f"rolled back: {request}"
            self.tag(model, each.version, {"rolled_back": request, "promotion": reason, "promoted": "false"})
        self._client.set_registered_model_alias(model, CHAMPION, target.version)
        older = [each for each in fit if _age(each) < _age(target)]
        if older:
            self._client.set_registered_model_alias(model, PREVIOUS, older[-1].version)
        elif self.previous(model) is not None:
            self._client.delete_registered_model_alias(model, PREVIOUS)
        return target, [*(each for each in out if each not in newer), *newer]

    def _target(
        self,
        model: str,
        version: str | None,
        known: Sequence[Version],
        fit: Sequence[Version],
        out: Sequence[Version],
    ) -> Version:
        """The version that `roll_back` goes to.

        :param known: all versions; `fit`: those that are promoted; `out`: those that the request took out of use.
        """
        back = [each for each in known if each in fit or "rolled_back" in each.tags]
        if version is not None:
            found = next((each for each in back if each.version == version), None)
        else:
            champion, before = self.champion(model), self.previous(model)
            wanted = champion if out and champion not in out else before  # an earlier try had moved the alias
            found = next((each for each in fit if wanted and each.version == wanted.version), None)
        if found is None:
            missing = f"no version {version} that was ever promoted" if version else "no previous version"
            there_are = ", ".join(f"{each.version} of {each.training_day}" for each in back) or "none"
            raise NoModelError(f"{model} has {missing}; promoted, now or before: {there_are}")
        return found

    def resolve(self, model: str, day: dt.date) -> Version:
        """The version that scores a day: the champion, unless it knows more than that day does.

        Then it is the promoted version with the latest training day not after `day` (of several, the newest).

        :raises NoModelError: says what there is and which command trains one.
        :raises UnreachableError: MLflow does not answer.
        """
        with _reachable():
            champion = self.champion(model)
            if champion is not None and champion.training_day <= day:
                return champion
            promoted = self._promoted(model)
        fit = [version for version in promoted if version.training_day <= day]
        if fit:
            return max(fit, key=_age)
        earliest = min((version.training_day for version in promoted), default=None)
        there_is = f"the earliest was trained for {earliest}" if earliest else "none has been promoted yet"
        raise NoModelError(
            f"no promoted {model} model was trained on or before {day} ({there_is}); "
            f"run train_models_weekly for {day} first: make run DAG=train_models_weekly DAY={day}"
        )

    def load(self, version: Version) -> tuple[Any, dict[str, Any]]:
        """The fitted pipeline of a version and the metadata it was registered with; see `read`."""
        with tempfile.TemporaryDirectory() as folder:
            self.download(version, folder)
            return read(folder)

    def download(self, version: Version, folder: str) -> None:
        """Copies the artifact of a version, as it is, into a local folder."""
        with _reachable():
            mlflow.artifacts.download_artifacts(f"models:/{version.model}/{version.version}", dst_path=folder)

    def pictures(self, version: Version) -> list[str]:
        """The file names of the pictures that the training of a version left."""
        return sorted(each.path.split("/")[-1] for each in self._client.list_artifacts(version.run_id, "pictures"))

    def metrics(self, version: Version) -> dict[str, float]:
        """The numbers in the run that trained a version."""
        with _reachable():
            return dict(self._client.get_run(version.run_id).data.metrics)

    def report(self, version: Version, values: Mapping[str, float], day: dt.date, step: int) -> None:
        """Adds what a day has found out to the run that trained a version; said again, it changes nothing.

        :param values: those that are not finite are left out.
        :param step: where it belongs on the curve.
        """
        moment = int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp() * 1000)
        metrics = [
            mlflow.entities.Metric(name, float(value), moment, step)
            for name, value in values.items()
            if math.isfinite(value)
        ]
        with _reachable():
            self._client.log_batch(version.run_id, metrics=metrics)

    def attach(self, version: Version, name: str, content) -> None:
        """Adds a file to the run that trained a version, or replaces it: a text, or a matplotlib figure."""
        log = self._client.log_text if isinstance(content, str) else self._client.log_figure
        with _reachable():
            log(version.run_id, content, name)

    def artifact_roots(self) -> list[str]:
        """Where the files of each experiment are, also of those that were deleted and can be restored."""
        with _reachable():
            found = self._client.search_experiments(view_type=mlflow.entities.ViewType.ALL)
        return [experiment.artifact_location for experiment in found]

    def last_training(self, model: str) -> dt.date | None:
        """The newest training day of all versions of a model, promoted or not; None: there is no version."""
        with _reachable():
            return max((version.training_day for version in self._versions(model)), default=None)

    def champion(self, model: str) -> Version | None:
        """The version with alias `champion`; None if there is none."""
        return self._of_alias(model, CHAMPION)

    def previous(self, model: str) -> Version | None:
        """The version with alias `previous`, the champion before this one; None if there is none."""
        return self._of_alias(model, PREVIOUS)

    def _of_alias(self, model: str, alias: str) -> Version | None:
        try:
            return _version(self._client.get_model_version_by_alias(model, alias))
        except MlflowException as error:
            # A missing alias is INVALID_PARAMETER_VALUE, a missing model RESOURCE_DOES_NOT_EXIST.
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                return None
            raise

    def _promoted(self, model: str) -> Sequence[Version]:
        return [version for version in self._versions(model) if version.tags.get("promoted") == "true"]

    def _versions(self, model: str) -> Sequence[Version]:
        found, token = [], None
        while True:
            page = self._client.search_model_versions(f"name = '{model}'", max_results=1000, page_token=token)
            # One whose registration broke off has no training day.
            found += [_version(each) for each in page if "training_day" in each.tags]
            token = page.token
            if not token:
                return found


@cache
def code_digest() -> str:
    """The first 12 digits of the SHA-256 of the product's code and SQL: equal digests, equal code."""
    home = Path(__file__).resolve().parents[1]
    found = hashlib.sha256()
    for path in sorted(path for path in home.rglob("*") if path.suffix in (".py", ".sql", ".yaml")):
        found.update(f"{path.relative_to(home)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:12]


@cache
def code_commit() -> str:
    """The last commit that changed the product's code; empty where it does not run from a clone."""
    home = Path(__file__).resolve().parents[1]
    try:
        found = subprocess.run(["git", "log", "-1", "--format=%H", "."], cwd=home, capture_output=True, text=True)
    except OSError:  # there is no git
        return ""
    return found.stdout.strip()


def read(folder: str) -> tuple[Any, dict[str, Any]]:
    """The estimator and metadata of an artifact in a local folder.

    MLflow itself would trust the types that the artifact names; here only `TRUSTED_TYPES` and skops' own are read.

    :raises UntrustedModelError: says what is in it.
    """
    logged = mlflow.models.Model.load(folder)
    form = logged.flavors.get("sklearn", {}).get("serialization_format")
    if form != "skops":
        raise UntrustedModelError(f"a model is stored as {form}, which may run code when it is read; skops is wanted")
    try:
        estimator = skops.io.load(os.path.join(folder, "model.skops"), trusted=TRUSTED_TYPES)
    except (UntrustedTypesFoundException, zipfile.BadZipFile) as error:
        raise UntrustedModelError(f"a model was not read: {error}") from error
    return estimator, json.loads(logged.metadata["fenqun"])


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    """Tells that MLflow is down from whatever else it has to say."""
    try:
        yield
    except MlflowException as error:
        if error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"):
            raise UnreachableError(f"MLflow does not answer: {error}") from error
        raise


def _age(version: Version) -> tuple[dt.date, int]:
    """Orders the versions of a model: by training day, then as they were made."""
    return version.training_day, int(version.version)


def _version(raw) -> Version:
    return Version(
        model=raw.name,
        version=str(raw.version),
        training_day=dt.date.fromisoformat(raw.tags["training_day"]),
        run_id=raw.run_id,
        tags=dict(raw.tags),
    )
