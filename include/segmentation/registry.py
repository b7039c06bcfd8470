"""
The door to MLflow: training runs, model versions, and which version scores which day.

Beside it are `training_run`, what an open run takes, `model_artifact`, how a model is read, `model_ledger`, what has to
be in it, and `registry_files`, what files runs have left; nobody else imports MLflow.

A version carries two tags of ours: `training_day`, and `promoted` once the gate let it pass. Alias `champion` is on
the promoted version with the latest training day, `previous` on the one before. A day in the past is scored by what had
been trained by then; what was rolled back scores no day.
"""

import contextlib
import datetime as dt
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow  # noqa: TID251 - the one importer
from mlflow.exceptions import MlflowException  # noqa: TID251 - the one importer

from segmentation import model_artifact, model_ledger, settings
from segmentation.errors import FinalError
from segmentation.training_run import TrainingRun, code_commit, code_digest

CHAMPION, PREVIOUS = "champion", "previous"


class NoModelError(FinalError):
    """No promoted version may score the day that was asked for."""


class UnreachableError(Exception):
    """MLflow does not answer, or answers that it is broken. Trying again may mend it."""


@dataclass(frozen=True)
class Version:
    """A registered model version and the day whose knowledge it was trained on."""

    model: str
    version: str
    training_day: dt.date
    run_id: str
    tags: Mapping[str, str]


class Registry:
    """The MLflow server at one address.

    :param uri: e.g. `http://127.0.0.1:5000`, or `sqlite:///mlflow.db` in tests and notebooks.
    :param ledger: DSN of the marketing database, which keeps what training registers, and against which every model is
        held before it is read (see `model_ledger`). Without it types alone are checked: for notebooks and benches.
    """

    def __init__(self, uri: str, ledger: str | None = None) -> None:
        # MLflow's own 7 retries wait for four minutes; whoever calls has retries of its own
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = mlflow.MlflowClient(uri)
        self._ledger = ledger

    @contextlib.contextmanager
    def training(self, model: str, day: dt.date) -> Iterator[TrainingRun]:
        """A run in the model's experiment, with code version and settings. An error inside marks it failed, goes on."""
        mlflow.set_experiment(model)
        tags = {"training_day": f"{day}", "model": model, "code_digest": code_digest()}
        tags["code_commit"] = code_commit() or "not from a clone"
        with mlflow.start_run(run_name=f"{model} {day}", tags=tags) as run:
            # Spark's may hold keys
            mlflow.log_dict(settings.load().model_dump(mode="json", exclude={"spark"}), "settings.json")
            yield TrainingRun(run.info.run_id, day, self._ledger)

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(model, version, key, value)

    def version(self, model: str, version: str) -> Version:
        with _reachable():
            return _version(self._client.get_model_version(model, version))

    def promote(self, model: str, version: str, reason: str) -> bool:
        """Marks a version as fit for use; moves the alias if no promoted version was trained on a later day.

        The champion until now becomes `previous`, first, so that whoever is killed in between can begin again. If it is
        of the same training day, which was trained again, `previous` stays where it is: whoever goes back wants what
        there was before that training.

        :returns: whether it is now the champion.
        """
        candidate = self.version(model, version)
        self.tag(model, version, {"promoted": "true", "promotion": reason})
        champion = self.champion(model)
        if champion is not None and champion.training_day > candidate.training_day:
            return False
        if champion is not None and champion.training_day < candidate.training_day:
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
            return self.read(version, folder)

    def read(self, version: Version, folder: str) -> tuple[Any, dict[str, Any]]:
        """The same, from a copy of the artifact in a local folder.

        :raises model_artifact.UntrustedModelError: it is not what was registered, or holds types that nobody has
            reviewed; names model, version and types. Nothing of it was run.
        """
        if self._ledger:
            if model_ledger.is_empty(self._ledger):
                self._adopt(self._ledger)
            model_ledger.check(self._ledger, _name(version), folder)
        return model_artifact.read(folder, f"{version.model} version {version.version}")

    def _adopt(self, ledger: str) -> None:
        """Notes the promoted versions as they lie, once: those that are there from before there was a ledger."""
        with _reachable():
            models = [each.name for each in self._client.search_registered_models()]
            promoted = [version for model in models for version in self._promoted(model)]
        for version in promoted:
            with tempfile.TemporaryDirectory() as folder:
                self.download(version, folder)
                with contextlib.suppress(model_artifact.UntrustedModelError):
                    model_artifact.read(folder)
                    model_ledger.keep(ledger, _name(version), model_ledger.digest(folder), is_adopted=True)

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

    def versions(self, model: str) -> Sequence[Version]:
        """Every version of a model that counts, promoted or not; none where there is no such model."""
        with _reachable():
            return self._versions(model)

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
            # A server with logins says the same of a missing model as of one that may not be read.
            if error.error_code == "PERMISSION_DENIED" and self._is_missing(model):
                return None
            raise

    def _is_missing(self, model: str) -> bool:
        """Whether there is no such model; MLflow tells that apart from a lack of rights only here."""
        try:
            self._client.get_registered_model(model)
        except MlflowException as error:
            return error.error_code == "RESOURCE_DOES_NOT_EXIST"
        return False

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


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    """Tells that MLflow is down from whatever else it has to say."""
    try:
        yield
    except MlflowException as error:
        if error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"):
            raise UnreachableError(f"MLflow does not answer: {error}") from error
        raise


def _name(version: Version) -> model_ledger.Name:
    return model_ledger.Name(version.run_id, version.model, version.version)


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
