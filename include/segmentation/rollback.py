"""rollback: alias `champion` of a model back on an earlier promoted version; the next daily run scores with it."""

import datetime as dt

from segmentation import tables
from segmentation.registry import Registry
from segmentation.settings import Stores

ALL = "all"


def roll_back(model: str, version: str | None, now: dt.datetime, stores: Stores) -> dict[str, str]:
    """Takes the champion of a model out of use, for every day, and makes an earlier version the champion again.

    :param model: a registered model, or `all`: each of those that have a previous version.
    :param version: a promoted one; None: the one before.
    :param now: goes into the tags.
    :returns: model -> what was done, in words.
    :raises ValueError: no such model, or a version for all of them.
    :raises registry.NoModelError: there is nothing to go back from, or to; nothing was changed.
    """
    known = [tables.SEGMENTS_MODEL, *tables.TARGETS]
    if model != ALL and model not in known:
        raise ValueError(f"there is no model {model!r}; there are {', '.join(known)}, and {ALL}")
    if model == ALL and version:
        raise ValueError("versions of different models have nothing to do with each other: name the model")
    registry = Registry(stores.registry)
    chosen = [each for each in known if registry.has_previous(each)] if model == ALL else [model]
    done = {}
    for each in chosen:
        old, new = registry.roll_back(each, version, f"rolled back at {now:%Y-%m-%d %H:%M} UTC")
        done[each] = (
            f"version {old.version} of {old.training_day} out of use, version {new.version} of {new.training_day}"
        )
        done[each] += " is champion again"
    return done
