"""
Copies of the promoted models in the lake, so that a daily run that has seen them does not need MLflow.

    {lake}/models/<model>/<version>/     the artifact as MLflow stored it; `version.json`, written last, makes it whole
    {lake}/models/resolved/<day>.json    the versions that score a day, as MLflow last answered, and when it did
    {lake}/models/uplift/<day>.json      the same, for the version that strategies go by

A version never changes, so its copy is read first. The answer is only used while MLflow cannot be reached. Whatever
comes from a copy is read by the rules for what comes from MLflow: see `Registry.read`. The folder may be removed; of
each model the copies of the newest versions stay in it, and of what the newest answers name, and of the answers those
of the latest days. A run for a day long past gets its models from MLflow.
"""

import contextlib
import datetime as dt
import hashlib
import json
import logging
import posixpath
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segmentation import lake as lakes
from segmentation.model_artifact import UntrustedModelError
from segmentation.registry import Registry, UnreachableError, Version

log = logging.getLogger(__name__)

COPIES_KEPT, ANSWERS_KEPT = 8, 60  # two months, with a training a week and an answer a day
SCORING, POLICY = "resolved", "uplift"  # what MLflow is asked for, and the folders of its answers
_WHOLE = "version.json"


def load(registry: Registry, version: Version, lake: str) -> tuple[Any, dict[str, Any]]:
    """The fitted estimator of a version and its metadata: from its copy in the lake, which is made if there is none.

    :raises model_artifact.UntrustedModelError: it is not what training registered, or holds types that have not been
        reviewed; nothing is kept of it.
    :raises registry.UnreachableError: there is no whole copy, and MLflow cannot be reached.
    """
    with tempfile.TemporaryDirectory() as folder:
        if _copied(version, lake, folder):
            return registry.read(version, folder)
        with contextlib.suppress(OSError):
            lakes.remove(_folder(lake, version, _WHOLE))
        registry.download(version, folder)
        found = registry.read(version, folder)
        _keep(version, lake, folder)
        _drop_old_copies(version, lake)
        return found


def resolved(
    resolve: Callable[[], Mapping[str, Version]], lake: str, day: dt.date, now: dt.datetime, of: str = SCORING
) -> dict[str, Version]:
    """The versions that score a day, by model: what MLflow says, or what it said last if it cannot be reached.

    What it said of an earlier day serves a later one; its models know no more than that earlier day did.

    :param resolve: asks MLflow.
    :param now: goes into what is remembered.
    :param of: SCORING or POLICY.
    :raises registry.UnreachableError: MLflow cannot be reached, and nothing is remembered for the day or one before.
    """
    try:
        versions = dict(resolve())
    except UnreachableError as error:
        return _recalled(lake, day, error, of)
    told = {"resolved_at": now.isoformat(), "versions": {model: _told(each) for model, each in versions.items()}}
    lakes.write_text(_answer(lake, day, of), json.dumps(told, indent=1))
    for each in _answered(lake, of)[:-ANSWERS_KEPT]:
        if each != f"{day}":
            lakes.remove(_answer(lake, each, of))
    return versions


def _recalled(lake: str, day: dt.date, error: UnreachableError, of: str) -> dict[str, Version]:
    before = [each for each in _answered(lake, of) if each <= f"{day}"]
    text = lakes.read_text(_answer(lake, before[-1], of)) if before else None
    if text is None:
        raise UnreachableError(
            f"{error}; and no answer of it is remembered under {posixpath.dirname(_answer(lake, day, of))} for {day} "
            "or a day before: bring MLflow back and run this again"
        ) from error
    told = json.loads(text)
    versions = {
        model: Version(**{**each, "training_day": dt.date.fromisoformat(each["training_day"])})
        for model, each in told["versions"].items()
    }
    strange = [model for model, each in versions.items() if each.model != model or not each.version.isdecimal()]
    if strange:
        raise UntrustedModelError(f"{_answer(lake, before[-1], of)} names no version of {strange[0]}")
    log.warning(
        "MLflow cannot be reached (%s); %s is scored by the versions it named for %s at %s: %s",
        error,
        day,
        before[-1],
        told["resolved_at"],
        ", ".join(f"{model} {version.version}" for model, version in versions.items()),
    )
    return versions


def _copied(version: Version, lake: str, folder: str) -> bool:
    """Whether the lake has a whole copy of this very version, which then lies in the folder."""
    text = lakes.read_text(_folder(lake, version, _WHOLE))
    if text is None:
        return False
    try:
        whole = json.loads(text)
        run_id, files = whole["run_id"], {f"{name}": f"{digest}" for name, digest in whole["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        log.warning("the copy of %s %s in the lake is damaged: %s", version.model, version.version, _WHOLE)
        return False
    if run_id != version.run_id:
        log.warning(
            "%s %s is another one than its copy in the lake: MLflow counts anew", version.model, version.version
        )
        return False
    for name, digest in files.items():
        local = Path(folder, name).resolve()
        if Path(folder).resolve() not in local.parents:  # who writes to the lake may write nowhere else by it
            log.warning(
                "the copy of %s %s in the lake names a file elsewhere: %s", version.model, version.version, name
            )
            return False
        local.parent.mkdir(parents=True, exist_ok=True)
        if not lakes.get_file(_folder(lake, version, name), str(local)) or _digest(local) != digest:
            log.warning("the copy of %s %s in the lake is damaged: %s", version.model, version.version, name)
            return False
    return True


def _keep(version: Version, lake: str, folder: str) -> None:
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    digests = {path.relative_to(folder).as_posix(): _digest(path) for path in files}
    for name in digests:
        lakes.put_file(str(Path(folder, name)), _folder(lake, version, name))
    lakes.write_text(_folder(lake, version, _WHOLE), json.dumps({**_told(version), "files": digests}, indent=1))


def _drop_old_copies(version: Version, lake: str) -> None:
    """Of a model a version was copied: older ones go, but not this one and not those that the newest answers name."""
    folder = posixpath.join(lake, "models", version.model)
    copies: dict[str, list[str]] = {}
    for path in lakes.walk(folder):
        copies.setdefault(posixpath.relpath(path, folder).split("/")[0], []).append(path)
    newest = sorted((name for name in copies if name.isdecimal()), key=int)[-COPIES_KEPT:]
    kept = {version.version, *newest, *_named_last(version.model, lake)}
    for name, paths in copies.items():
        if name not in kept:
            for path in sorted(paths, key=lambda path: posixpath.basename(path) != _WHOLE):  # what makes it whole first
                lakes.remove(path)


def _named_last(model: str, lake: str) -> set[str]:
    named = set()
    for of in (SCORING, POLICY):
        for each in _answered(lake, of)[-1:]:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                told = json.loads(lakes.read_text(_answer(lake, each, of)) or "{}")
                named.add(f"{told['versions'][model]['version']}")
    return named


def _answered(lake: str, of: str) -> list[str]:
    """The days that there are answers for, in order."""
    folder = posixpath.join(lake, "models", of)
    return sorted(name.removesuffix(".json") for name in lakes.files_in(folder) if name.endswith(".json"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _told(version: Version) -> dict[str, Any]:
    return {**asdict(version), "training_day": f"{version.training_day}", "tags": dict(version.tags)}


def _folder(lake: str, version: Version, name: str) -> str:
    return posixpath.join(lake, "models", version.model, version.version, name)


def _answer(lake: str, day: dt.date | str, of: str) -> str:
    return posixpath.join(lake, "models", of, f"{day}.json")
