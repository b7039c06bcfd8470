"""
What a contest chooses, and how its predictions are brought to the right level.

A recipe says what is fitted and how the members' predictions become one: weights, and slope and intercept of the logit
(of amounts a factor). These are learnt from predictions of rows that the members have not seen.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from segmentation import amount_blend, settings
from segmentation.ensembles import stacked


@dataclass(frozen=True)
class Recipe:
    """What is fitted: members with their parameters, how they are weighted, and the calibration; fit for JSON.

    :param chosen: name of the candidate, or `blend`.
    :param members: (candidate, its parameters) each.
    :param threshold: the probability from which a customer counts as a positive: best F1 in validation.
    :param season: ISO date -> what that day adds to the intercept; see `on`.
    """

    chosen: str
    members: tuple[tuple[str, dict[str, Any]], ...]
    weights: tuple[float, ...]
    slope: float = 1.0
    intercept: float = 0.0
    threshold: float = 0.5
    season: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "chosen": self.chosen,
            "members": [[name, params] for name, params in self.members],
            "weights": list(self.weights),
            "slope": self.slope,
            "intercept": self.intercept,
            "threshold": self.threshold,
            "season": dict(self.season),
        }

    def on(self, day: dt.date) -> "Recipe":
        """The recipe with the intercept of a day."""
        return replace(self, intercept=self.intercept + self.season.get(f"{day}", 0.0), season={})

    def predicted(self, members: np.ndarray, is_amount: bool) -> np.ndarray:
        """The calibrated mean of its members' predictions, shape (n,): of logits a probability, or an amount.

        :param members: shape (n, members).
        """
        mean = members @ np.array(self.weights)
        return self.slope * mean if is_amount else expit(self.intercept + self.slope * mean)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Recipe":
        """From what `as_dict` gave."""
        return cls(
            told["chosen"],
            tuple((name, params) for name, params in told["members"]),
            tuple(told["weights"]),
            told["slope"],
            told["intercept"],
            told["threshold"],
            told.get("season", {}),
        )


def calibrated(
    recipe: Recipe,
    predicted: np.ndarray,
    outcomes: np.ndarray,
    cutoffs: np.ndarray,
    config: settings.Training,
    customers: np.ndarray | None = None,
    shifts: np.ndarray | float = 0.0,
) -> Recipe:
    """The recipe with weights, slope, intercept and threshold (of an amount: the factor, as slope) from predictions.

    :param predicted: by its members, of rows that they have not learnt from, shape (n, members): logits or amounts.
    :param outcomes: of these rows, shape (n,).
    :param cutoffs: of these rows; see `ensembles.stacked`.
    :param customers: whom each row is of, for an amount; see `amount_blend.weights`.
    :param shifts: by the season of each row's cutoff, for a probability: the intercept is what is left, shape (n,).
    """
    if not len(outcomes):
        return recipe
    if outcomes.dtype != bool:
        names = [name for name, _ in recipe.members]
        shares = amount_blend.weights(names, predicted, outcomes, cutoffs, customers, config.seed)
        slope = _factor(predicted @ np.array(shares), outcomes, cutoffs, config)
        return replace(recipe, weights=shares, slope=slope)
    weights, slope, intercept = stacked(
        predicted, outcomes, cutoffs, config.stacking_rows, config.stacking_cutoffs, shifts
    )
    probability = expit(shifts + intercept + slope * predicted @ np.array(weights))
    threshold = _best_threshold(outcomes, probability)
    return replace(recipe, weights=tuple(weights), slope=slope, intercept=intercept, threshold=threshold)


def levelled(recipe: Recipe, predicted: np.ndarray, share: float) -> Recipe:
    """The recipe with the intercept at which the probabilities of some rows have a given mean.

    For outcomes that come to a known share of the customers by their definition, whatever the season.

    :param predicted: by its members, of the rows that it is for, shape (n, members): logits.
    :param share: between 0 and 1.
    """
    if not len(predicted) or not 0 < share < 1:
        return recipe
    mean = recipe.slope * predicted @ np.array(recipe.weights)
    intercept = brentq(lambda each: expit(each + mean).mean() - share, -50 - mean.max(), 50 - mean.min())
    return replace(recipe, intercept=float(intercept))


def _factor(predicted: np.ndarray, outcomes: np.ndarray, cutoffs: np.ndarray, config: settings.Training) -> float:
    """What sets the sum right: the geometric mean over the cutoffs, pulled towards 1 as the intercept towards 0."""
    days, place = np.unique(cutoffs, return_inverse=True)
    sums, expected = np.bincount(place, outcomes), np.bincount(place, predicted)
    known = (sums > 0) & (expected > 0)
    return float(np.exp(np.log(sums[known] / expected[known]).sum() / (len(days) + config.stacking_cutoffs)))


def _best_threshold(outcomes: np.ndarray, probability: np.ndarray) -> float:
    """The probability from which on F1 is best; rows of the same probability are taken together."""
    order = np.argsort(-probability, kind="stable")
    ranked, hits = probability[order], np.cumsum(outcomes[order])
    taken = np.arange(1, len(order) + 1)
    is_last = np.append(ranked[1:] != ranked[:-1], True)
    f1 = np.where(is_last, 2 * hits / (taken + hits[-1]), -1)
    return float(ranked[int(f1.argmax())])
