"""
What a training of segments leaves in MLflow: a nested run per candidate, a table of all that was tried, and pictures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from segmentation import clusterings, segment_pages, segment_pictures
from segmentation.cluster_contest import Candidate, Contest, Trial
from segmentation.cluster_score import Measures
from segmentation.training_run import TrainingRun

_MAP_ROWS = 1_500
_PARAMETERS = {"dbscan": "quantile of the distances that is the radius", "hdbscan": "least share that is a cluster"}


def tried(run: TrainingRun, contest: Contest, trials: Sequence[Trial], candidates: Sequence[Candidate]) -> None:
    """Each candidate as a nested run, with its numbers and pictures; all trials as a table."""
    for candidate in candidates:
        with run.nested(candidate.name) as child:
            child.params({**candidate.recipe.as_dict(), "is_admissible": candidate.is_admissible})
            child.metrics(numbers(candidate.measures, candidate.score))
            for step, trial in enumerate(_of(trials, candidate)):
                child.metrics({"score_in_search": trial.score}, step=step)
            labels = candidate.pipeline.predict(contest.buyers)
            clusters = range(clusterings.count(candidate.pipeline))
            names = {cluster: f"cluster {cluster}" for cluster in clusters}
            profile = contest.buyers.rank(pct=True).groupby(labels).mean().reindex(clusters)
            for name, figure in _pictures(contest, trials, candidate, labels, names, profile).items():
                child.picture(figure, name)
    rows = [{**_row(each), "measured": "search"} for each in trials]
    rows += [{**_row(each), "measured": f"in full, {each.name}"} for each in candidates]
    run.text(pd.DataFrame(rows).to_csv(index=False, float_format="%.4f"), "candidates.csv")


def chosen(
    run: TrainingRun,
    contest: Contest,
    trials: Sequence[Trial],
    candidates: Sequence[Candidate],
    winner: Candidate,
    segments: Sequence[Mapping[str, Any]],
    profile: pd.DataFrame,
) -> None:
    """The pictures of what was chosen, by the segments' names, and of how it was chosen.

    :param segments: as in the model's metadata.
    :param profile: mean percentile ranks, one row per segment id.
    """
    told = segment_pages.shown(segments)
    names = {segment["cluster"]: f"{segment['segment_id']} {_latin(segment)}" for segment in told}
    by_cluster = profile.set_axis([segment["cluster"] for segment in told])
    labels = winner.pipeline.predict(contest.buyers)
    for name, figure in _pictures(contest, trials, winner, labels, names, by_cluster).items():
        run.picture(figure, name)
    weights = contest.config.weights
    parts = {}
    for each in candidates:
        own = each.measures.parts(contest.attainable)
        total = sum(weights.get(name, 0) for name in own)
        label = f"{each.name}: {each.recipe}" + ("" if each.is_admissible else " (outside the limits)")
        parts[label] = {name: weights.get(name, 0) * value / total for name, value in own.items()}
    place = [candidate.name for candidate in candidates].index(winner.name)
    run.picture(segment_pictures.score_parts(parts, list(parts)[place]), "candidates")
    run.text(segment_pages.captions(told), "pictures.md")


def _pictures(
    contest: Contest,
    trials: Sequence[Trial],
    candidate: Candidate,
    labels: np.ndarray,
    names: Mapping[int, str],
    profile: pd.DataFrame,
) -> dict[str, Figure]:
    """:param names: cluster -> its label; :param profile: index cluster."""
    shares = np.bincount(labels, minlength=len(names)) / len(labels)
    points = candidate.pipeline[:-1].transform(contest.buyers.iloc[:_MAP_ROWS])
    own = _of(trials, candidate)
    curves = {
        scaler: [(t.recipe.parameter, t.score, t.is_admissible) for t in own if t.recipe.scaler == scaler]
        for scaler in dict.fromkeys(trial.recipe.scaler for trial in own)
    }
    recipe = candidate.recipe
    label = _PARAMETERS.get(recipe.algorithm, "segments")
    return {
        "sizes": segment_pictures.segment_sizes(list(names.values()), [shares[cluster] for cluster in names]),
        "profiles": segment_pictures.segment_profiles(profile.loc[list(names)].set_axis(list(names.values()))),
        "map": segment_pictures.segment_map(points, labels[:_MAP_ROWS], names),
        "number_of_segments": segment_pictures.k_curve(curves, label, (recipe.scaler, recipe.parameter)),
        "stability": segment_pictures.stability(candidate.measures.resamples),
    }


def _of(trials: Sequence[Trial], candidate: Candidate) -> list[Trial]:
    own = [trial for trial in trials if trial.recipe.algorithm == candidate.recipe.algorithm]
    return sorted(own, key=lambda trial: (trial.recipe.scaler, trial.recipe.parameter))


def numbers(measures: Measures, score: float) -> dict[str, float]:
    """Those that were measured."""
    found = {
        "score": score,
        "segments": measures.clusters,
        "smallest_share": measures.smallest_share,
        "largest_share": measures.largest_share,
        "separation": measures.separation,
        "stability": measures.stability,
        "silhouette": measures.silhouette,
        "evenness": measures.evenness,
        "simplicity": measures.simplicity,
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _row(tried: Trial | Candidate) -> dict[str, Any]:
    return {**tried.recipe.as_dict(), "is_admissible": tried.is_admissible, **numbers(tried.measures, tried.score)}


def _latin(segment: Mapping[str, Any]) -> str:
    """The name as pictures can show it: their font knows no Chinese."""
    return segment["shown_en"] if segment["shown_en"].isascii() else segment["segment_name"]
