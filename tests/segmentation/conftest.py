"""Stores for one test: a lake in a folder, a registry in SQLite, a database of a real Postgres."""

import pytest

from segmentation.settings import Stores


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """MLflow on SQLite keeps its artifacts in the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stores(tmp_path, warehouse_dsn):
    """A lake and a registry of this test's own, and shop and marketing in a fresh Postgres database."""
    return Stores(
        warehouse=warehouse_dsn,
        marketing=warehouse_dsn,
        lake=str(tmp_path / "lake"),
        registry=f"sqlite:///{tmp_path / 'mlflow.db'}",
    )
