"""
The files that runs and models have left in MLflow, one by one: for looking through them, whoever wrote them.
"""

import posixpath
from collections.abc import Iterator

import mlflow  # noqa: TID251 - beside `registry`, which has the runs and the versions
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: TID251

from segmentation.registry import Registry


def files(registry: Registry) -> Iterator[str]:
    """The URIs of all files of all experiments, archived ones and their models included.

    :raises registry.UnreachableError: MLflow does not answer.
    """
    for root in registry.artifact_roots():
        yield from (posixpath.join(root, path) for path in _below(get_artifact_repository(root), None))


def fetch(uri: str, folder: str) -> str:
    """Copies a file into a local folder; returns where it is."""
    return mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)


def replace(uri: str, local: str) -> None:
    """Puts a local file, of the same name, in the place of one."""
    get_artifact_repository(posixpath.dirname(uri)).log_artifact(local)


def _below(repository, folder: str | None) -> Iterator[str]:
    for each in repository.list_artifacts(folder):
        if each.is_dir:
            yield from _below(repository, each.path)
        else:
            yield each.path
