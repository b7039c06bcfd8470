"""
An open MLflow run of a training: what was tried, with which numbers, pictures and data, by which code.
"""

import contextlib
import datetime as dt
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID251 - beside `registry`, which has the runs and the versions
import pandas as pd
from mlflow.models import infer_signature  # noqa: TID251 - the same

from segmentation import model_ledger
from segmentation.model_artifact import PIP_REQUIREMENTS, TRUSTED_TYPES


class TrainingRun:
    """An open MLflow run: what was tried, with which numbers and pictures.

    :param ledger: DSN of the database that keeps what is registered; see `model_ledger`.
    """

    def __init__(self, run_id: str, day: dt.date, ledger: str | None = None) -> None:
        self.run_id = run_id
        self._day = day
        self._ledger = ledger

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
        data = mlflow.data.from_pandas(frame, name=name, targets=target, digest=frame_digest(frame))
        mlflow.log_input(data, context="training", tags={"as_of": f"{self._day}"})
        self.params({"as_of": f"{self._day}", "dataset_rows": len(frame), "dataset_digest": data.digest})

    @contextlib.contextmanager
    def nested(self, name: str) -> Iterator["TrainingRun"]:
        """A run below this one, for one of the candidates that were tried."""
        with mlflow.start_run(run_name=name, nested=True, tags={"training_day": f"{self._day}"}) as run:
            yield TrainingRun(run.info.run_id, self._day, self._ledger)

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
        if self._ledger:
            with tempfile.TemporaryDirectory() as folder:
                mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=folder)
                digest = model_ledger.digest(folder)
            model_ledger.keep(self._ledger, model_ledger.Name(self.run_id, model, version), digest)
        # Last of all: a version without a training day counts for nothing
        mlflow.MlflowClient().set_model_version_tag(model, version, "training_day", f"{self._day}")
        return version


def frame_digest(frame: pd.DataFrame) -> str:
    """The first 32 digits of a SHA-256 over all rows in their order, their index and the names of the columns.

    MLflow's own digest looks at the first 10,000 rows, and at no column of booleans: at no outcome.

    >>> one, other = pd.DataFrame({"is_churn": [True, False]}), pd.DataFrame({"is_churn": [True, True]})
    >>> frame_digest(one) == frame_digest(one.copy()), frame_digest(one) == frame_digest(other)
    (True, False)
    """
    found = hashlib.sha256(json.dumps([[f"{name}", f"{kind}"] for name, kind in frame.dtypes.items()]).encode())
    found.update(pd.util.hash_pandas_object(frame, categorize=False).to_numpy().tobytes())
    return found.hexdigest()[:32]


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
