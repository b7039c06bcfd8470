"""rollback: alias `champion` of a model back on an earlier promoted version; the next daily run scores with it."""

from segmentation import tables
from segmentation.registry import NoModelError, Registry
from segmentation.settings import Stores

ALL = "all"


def roll_back(model: str, version: str | None, request: str, stores: Stores) -> dict[str, str]:
    """Makes an earlier version of a model the champion; what is newer is out of use, for every day.

    :param model: a registered model, or `all`: each that has a version to go back to.
    :param version: one that has been promoted, in use or not; None: the one before the champion.
    :param request: who or what asks, for the tags. The same request again changes nothing more.
    :returns: model -> what was done, in words.
    :raises ValueError: no such model, or a version for all of them.
    :raises registry.NoModelError: there is nothing to go back to; nothing was changed.
    """
    known = [tables.SEGMENTS_MODEL, *tables.TARGETS, tables.UPLIFT_MODEL]
    if model != ALL and model not in known:
        raise ValueError(f"there is no model {model!r}; there are {', '.join(known)}, and {ALL}")
    if model == ALL and version:
        raise ValueError("versions of different models have nothing to do with each other: name the model")
    registry = Registry(stores.registry, stores.marketing)
    if model != ALL:
        return {model: _done(registry, model, version, request)}
    done = {}
    for each in known:
        try:
            done[each] = _done(registry, each, None, request)
        except NoModelError as error:
            done[each] = f"nothing changed: {error}"
    if all(words.startswith("nothing") for words in done.values()):
        raise NoModelError("no model has a version to go back to")
    return done


def _done(registry: Registry, model: str, version: str | None, request: str) -> str:
    champion, out = registry.roll_back(model, version, request)
    gone = ", ".join(f"{each.version} of {each.training_day}" for each in out) or "none"
    return f"champion is version {champion.version} of {champion.training_day}; out of use: {gone}"
