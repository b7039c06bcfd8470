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
    return _stores(tmp_path, warehouse_dsn)


@pytest.fixture(scope="module")
def module_stores(tmp_path_factory, new_warehouse):
    """The same for all tests of a file."""
    with new_warehouse() as dsn:
        yield _stores(tmp_path_factory.mktemp("stores"), dsn)


def _stores(folder, dsn):
    return Stores(warehouse=dsn, marketing=dsn, lake=str(folder / "lake"), registry=f"sqlite:///{folder / 'mlflow.db'}")
