"""
What a registered model is as files, and how it is read again: skops, MLflow's safe format, of types that were reviewed.
"""

import json
import os
import zipfile
from typing import Any

import mlflow  # noqa: TID251 - beside `registry`, which has the runs and the versions
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

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


class UntrustedModelError(FinalError):
    """An artifact holds types that have not been reviewed, or is in a format that may run code. It was not read."""


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
