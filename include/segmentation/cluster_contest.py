"""
Which clustering is chosen: all recipes are tried on few customers, the best of each algorithm are measured in full.

What they are compared by is in `cluster_score`. A little more of the score is not worth moving customers about, so of
those that are nearly as good as the best the first counts: the champion's recipe, which goes on from the champion's
clusters, then the algorithms in order of preference, K-Means first. For the same reason chance has little say: what is
tried begins from a seed that never changes, and the training's own counts where it leads to clusters that fit better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from segmentation import cluster_score, clusterings, settings
from segmentation.buyers import Past
from segmentation.cluster_score import Measures
from segmentation.clusterings import Recipe
from segmentation.errors import FinalError

CHAMPION = "champion"
_SEED = 0
_INITS = 10


class NoSegmentationError(FinalError):
    """No number of segments keeps every segment within its limits."""


@dataclass(frozen=True)
class Trial:
    """A recipe that was tried on few customers."""

    recipe: Recipe
    measures: Measures
    score: float
    is_admissible: bool


@dataclass(frozen=True)
class Candidate:
    """A clustering that was measured in full.

    :param name: its algorithm, or `champion`: the recipe that is in use, beginning from the clusters that are.
    """

    name: str
    recipe: Recipe
    pipeline: Pipeline
    measures: Measures
    score: float
    is_admissible: bool


@dataclass(frozen=True)
class Incumbent:
    """What is in use.

    :param recipe: None: not known, and it cannot stand.
    """

    pipeline: Pipeline
    recipe: Recipe | None


@dataclass(frozen=True)
class Contest:
    """What clusterings are fitted on and measured by.

    :param buyers: of the training day, in an order that says nothing.
    :param past: buyers whose outcome is known; None: separation is not measured.
    :param attainable: see `cluster_score.attainable_separation`.
    """

    buyers: pd.DataFrame
    past: Past | None
    attainable: float
    config: settings.Cluster
    seed: int

    @classmethod
    def of(cls, buyers: pd.DataFrame, past: Past | None, config: settings.Cluster, seed: int) -> "Contest":
        attainable = np.nan
        if past is not None:
            few = config.sample_rows
            attainable = cluster_score.attainable_separation(past.features.iloc[:few], past.log_spend[:few])
        return cls(buyers, past, attainable, config, seed)

    def trials(self) -> list[Trial]:
        """Every recipe on few customers, at the past cutoff where there is one, without stability.

        With `k_min` to `k_max` clusters; only if none of these is within the limits, with fewer. None for fewer than
        three distinct customers.
        """
        rows = (self.buyers if self.past is None else self.past.features).iloc[: self.config.search_rows]
        most = min(self.config.k_max, len(rows.drop_duplicates()) - 1)
        if most < 2:
            return []
        found = [self._trial(recipe, rows) for recipe in clusterings.grid(range(self.config.k_min, most + 1))]
        if not any(trial.is_admissible for trial in found if trial):
            fewer = range(2, min(self.config.k_min - 1, most) + 1)
            by_number = (each for each in clusterings.grid(fewer) if each.algorithm in clusterings.BY_NUMBER)
            found += [self._trial(recipe, rows) for recipe in by_number]
        return [trial for trial in found if trial]

    def candidates(self, trials: Sequence[Trial], incumbent: Incumbent | None) -> Iterator[Candidate]:
        """The best of each algorithm, of the few best trials measured in full, and the champion's recipe."""
        for algorithm in clusterings.ALGORITHMS:
            own = [trial for trial in trials if trial.recipe.algorithm == algorithm]
            own = sorted(own, key=lambda trial: (trial.is_admissible, trial.score), reverse=True)
            few = [self._candidate(algorithm, trial.recipe) for trial in own[: self.config.finalists]]
            if few:
                yield max(few, key=lambda candidate: (candidate.is_admissible, candidate.score))
        if incumbent is not None and incumbent.recipe is not None:
            yield self._candidate(CHAMPION, incumbent.recipe, incumbent.pipeline)

    def choose(self, candidates: Sequence[Candidate]) -> Candidate:
        """The first of those within the limits that are nearly as good as the best: the champion's recipe, K-Means, ...

        With `k_min` segments or more if any such is; else fewer.

        :raises NoSegmentationError: none is within the limits; names the shares that each would have had.
        """
        fit = [candidate for candidate in candidates if candidate.is_admissible]
        fit = [candidate for candidate in fit if candidate.measures.clusters >= self.config.k_min] or fit
        if not fit:
            tried = "; ".join(
                f"{c.name}, {c.measures.clusters} segments: "
                f"{100 * c.measures.smallest_share:.1f}% to {100 * c.measures.largest_share:.1f}%"
                for c in candidates
            )
            raise NoSegmentationError(
                f"no clustering keeps every segment between {self.config.min_share:.0%} and "
                f"{self.config.max_share:.0%} of buyers ({tried or 'too few distinct buyers'})"
            )
        least = max(candidate.score for candidate in fit) - self.config.keep_margin
        order = (CHAMPION, *clusterings.ALGORITHMS)
        return min((c for c in fit if c.score >= least), key=lambda candidate: order.index(candidate.name))

    def settled(self, candidate: Candidate) -> Candidate:
        """The candidate, or the same recipe fitted with many beginnings by the training's own seed if that fits better.

        Only K-Means says what fits better; by less than `refit_gain` of its inertia nobody is moved.
        """
        if candidate.name != "kmeans":
            return candidate
        fitted = self._candidate(candidate.name, candidate.recipe, None, self.seed, self.config.inits)
        best = candidate.pipeline[-1].inertia_ * (1 - self.config.refit_gain)
        return fitted if fitted.is_admissible and fitted.pipeline[-1].inertia_ < best else candidate

    def _trial(self, recipe: Recipe, rows: pd.DataFrame) -> Trial | None:
        """None where the recipe cannot be fitted to such rows."""
        try:
            pipeline = clusterings.fit(recipe, rows, _SEED, inits=_INITS, sampled_rows=len(rows))
            measures = cluster_score.measure(pipeline, rows, len(rows) // 2, self.config.score_depth)
        except ValueError:
            return None
        if self.past is not None:
            log_spend = self.past.log_spend[: len(rows)]
            measures = replace(measures, separation=cluster_score.eta_squared(log_spend, pipeline.predict(rows)))
        score = measures.score(self.config.weights, self.attainable)
        return Trial(recipe, measures, score, self._is_admissible(measures))

    def _candidate(
        self, name: str, recipe: Recipe, incumbent: Pipeline | None = None, seed: int = _SEED, inits: int = _INITS
    ) -> Candidate:
        config = self.config
        sample = self.buyers.iloc[: config.sample_rows]
        measured = self.buyers.iloc[: config.measured_rows]
        if incumbent is not None and recipe.algorithm not in clusterings.CONTINUED:
            pipeline = incumbent  # as it is: anew, it would come out otherwise
        else:
            pipeline = self._fit(recipe, sample, seed, incumbent, inits)
        separation = np.nan
        if self.past is not None:
            rows = self.past.features
            at_cutoff = self._fit(recipe, rows.iloc[: config.sample_rows], _SEED, incumbent)
            separation = cluster_score.eta_squared(self.past.log_spend, at_cutoff.predict(rows))
        resamples = cluster_score.stability(
            pipeline,
            measured,
            lambda half, seed: self._fit(recipe, measured.iloc[half], seed, incumbent),
            config.resamples,
        )
        measures = cluster_score.measure(
            pipeline, self.buyers, config.measured_rows, config.score_depth, separation, resamples
        )
        score = measures.score(config.weights, self.attainable)
        return Candidate(name, recipe, pipeline, measures, score, self._is_admissible(measures))

    def _fit(
        self, recipe: Recipe, sample: pd.DataFrame, seed: int, incumbent: Pipeline | None, inits: int = _INITS
    ) -> Pipeline:
        """Begins from the incumbent's clusters, if all of them have customers there."""
        start = None
        if incumbent is not None:
            labels = incumbent.predict(sample)
            if np.bincount(labels, minlength=int(recipe.parameter)).min() > sample.shape[1]:
                start = labels
        return clusterings.fit(recipe, sample, seed, inits=inits, sampled_rows=self.config.sampled_rows, start=start)

    def _is_admissible(self, measures: Measures) -> bool:
        return (
            2 <= measures.clusters <= self.config.k_max
            and measures.smallest_share >= self.config.min_share
            and measures.smallest_share > 0
            and measures.largest_share <= self.config.max_share
        )
