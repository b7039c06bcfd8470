"""
What a registered model is as files, and how it is read again: skops, MLflow's safe format, of types that were reviewed.
"""

import json
import os
import warnings
from functools import cache
from typing import Any

import mlflow  # noqa: TID251 - beside `registry`, which has the runs and the versions
import yaml
from mlflow.exceptions import MlflowException  # noqa: TID251 - the same

from segmentation.errors import FinalError

# skops reads only types that are named. Reviewed: containers of numbers and text, and estimators
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
    "segmentation.effect_regression.EffectRegression",
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
READ_FILES = ("MLmodel", "model.skops")  # of an artifact; whatever else lies beside them is never opened
# The versions that a model is read with again; naming them spares MLflow a slow inference of its own.
PIP_REQUIREMENTS = ["mlflow", "scikit-learn", "pandas", "numpy", "scipy", "skops", "xgboost-cpu", "lightgbm"]


class UntrustedModelError(FinalError):
    """An artifact holds types that have not been reviewed, or is in a format that may run code. It was not read."""


def read(folder: str, name: str = "a model") -> tuple[Any, dict[str, Any]]:
    """The estimator and metadata of an artifact in a local folder.

    MLflow itself would trust the types that the artifact names; here only `TRUSTED_TYPES` and skops' own are read.

    :param name: what it is called in errors, such as `churn_90d version 7`.
    :raises UntrustedModelError: says what is in it.
    """
    form, metadata = _described(folder, name)
    if form != "skops":
        raise UntrustedModelError(
            f"{name} was not read: it is stored as {form}, which may run code when it is read; skops is wanted"
        )
    strange = _unreviewed(folder, name)
    if strange:
        raise UntrustedModelError(f"{name} was not read: it holds types that nobody has reviewed: {strange}")
    try:
        estimator = _skops().load(os.path.join(folder, "model.skops"), trusted=TRUSTED_TYPES)
    except Exception as error:  # whatever a forged file makes skops and the estimators stumble over
        raise UntrustedModelError(f"{name} was not read: model.skops is damaged or forged: {error!r:.300}") from error
    return estimator, metadata


def told(folder: str) -> str:
    """What an artifact that is not read is made of, in words: for who looks for where it came from."""
    try:
        form, _ = _described(folder, "it")
        strange = _unreviewed(folder, "it")
    except UntrustedModelError as error:
        return f"{error}"
    if form != "skops":
        return f"it is stored as {form}"
    return f"it holds types that nobody has reviewed: {strange}" if strange else "its types are reviewed ones"


@cache
def _skops() -> Any:
    """skops.io, imported where a model is read: most tasks read none, and it imports all of SciPy and scikit-learn."""
    with warnings.catch_warnings():
        # As it is imported, skops looks for SciPy's functions in every loaded module; Airflow's warn of each such name
        warnings.simplefilter("ignore", FutureWarning)
        import skops.io

    return skops.io


def _described(folder: str, name: str) -> tuple[Any, dict[str, Any]]:
    """The format of an artifact, and our metadata, as MLmodel says."""
    try:
        logged = mlflow.models.Model.load(os.path.join(folder, "MLmodel"))
        metadata = json.loads(logged.metadata["fenqun"])
        return logged.flavors.get("sklearn", {}).get("serialization_format"), metadata
    except (MlflowException, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UntrustedModelError(f"{name} was not read: its MLmodel is none of ours: {error!r:.300}") from error


def _unreviewed(folder: str, name: str) -> str:
    """The types in an artifact that are not in `TRUSTED_TYPES`. Looks at their names only."""
    try:
        found = _skops().get_untrusted_types(file=os.path.join(folder, "model.skops"))
    except Exception as error:
        raise UntrustedModelError(f"{name} was not read: model.skops is damaged or forged: {error!r:.300}") from error
    return ", ".join(sorted(set(found) - set(TRUSTED_TYPES)))[:300]
