"""Registered versions with nothing but numbers behind them, for what only asks who promised what."""

import datetime as dt
from collections.abc import Mapping

import mlflow

from segmentation.registry import Registry
from segmentation.settings import Stores


def register(stores: Stores, model: str, day: dt.date, metrics: Mapping[str, float] | None = None) -> str:
    """A version of a model that was trained for a day and measured so; returns its number."""
    with Registry(stores.registry, stores.marketing).training(model, day) as run:
        run.metrics(metrics or {"auc": 1.0})
    client = mlflow.MlflowClient(stores.registry)
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    tags = {"training_day": f"{day}"}
    return str(client.create_model_version(model, f"runs:/{run.run_id}/model", run.run_id, tags=tags).version)
