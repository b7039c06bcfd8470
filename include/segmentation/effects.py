"""
How large an effect is, and how sure that is: the statistics of `evaluate`, as functions of arrays.

Everything is two-sided, intervals are 95%. Nothing here knows what a campaign is. NaN stands for what is not defined.

What an arm spends is skewed, and the smaller arm, mostly the one held out, catches more or fewer of the few who spend
much. When it catches few, both its mean and its error are small: with Student's quantiles 6 to 7% of the campaigns that
change nothing look as if they did, and nearly all of these as if they were good. So where that matters, the quantiles
are those of the same t-statistic when the arms are drawn anew: exact where nothing has changed, right in large samples
in any case (Chung and Romano 2013, "Exact and asymptotically robust permutation tests", Annals of Statistics 41; with
covariates Zhao and Ding 2021, "Covariate-adjusted Fisher randomization tests for the average treatment effect", Journal
of Econometrics 225).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from segmentation.fairness import wilson

LEVEL, POWER = 0.95, 0.80
_NORMAL = float(stats.norm.ppf(0.5 + LEVEL / 2))
_ROWS_PER_COEFFICIENT = 10  # of an arm, below which nothing is adjusted
_ROUNDING = 1e-9  # errors below it, in standard deviations of the outcome, are those of the arithmetic
_DRAWS, _SEED = 999, 1
_MOST_DRAWN = 10_000  # customers of both arms, beyond whom Student's quantiles do
_LOPSIDED = 0.02  # skewness of the difference, below which they do, too: either tail is then off by 0.2%
_TAIL = 10  # draws that a quantile needs beyond it; further out it is Student's, stretched
_FEW_EXPECTED = 5  # in a cell of a two-by-two table, below which its test is exact (Cochran 1954)


@dataclass(frozen=True)
class Effect:
    """A difference of two means, treatment less control, with its interval, p-value and standard error."""

    treatment_customers: int
    control_customers: int
    treatment_mean: float
    control_mean: float
    difference: float
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    error: float = math.nan

    @property
    def relative_lift(self) -> float:
        """The difference as a share of the control's mean; NaN where that is not above 0."""
        return self.difference / self.control_mean if self.control_mean > 0 else math.nan

    @property
    def minimum_detectable(self) -> float:
        """The true difference that such a test finds in 80% of all cases; NaN where nothing varied."""
        return (_NORMAL + float(stats.norm.ppf(POWER))) * self.error if self.error > 0 else math.nan


def of_amounts(treated: np.ndarray, control: np.ndarray) -> Effect:
    """Means of two independent groups, by the unequal variances t-test (Welch 1947, Biometrika 34), its quantiles from
    arms drawn anew where Student's are not right; see the module.

    :param treated: numbers, shape (n,), one per customer; `control`: (m,). The interval needs two of each.
    """
    difference = _means(treated, control)
    if min(len(treated), len(control)) < 2:
        return difference
    parts = [float(np.var(group, ddof=1)) / len(group) for group in (treated, control)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return difference
    sizes = (len(treated), len(control))
    freedom = error**4 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    return _by_draws(difference, error, freedom, treated, control)


def of_shares(treated: np.ndarray, control: np.ndarray) -> Effect:
    """Shares of two independent groups, right for rare events too.

    The interval is Newcombe's from two Wilson intervals (Newcombe 1998, Statistics in Medicine 17, method 10), the
    p-value that of the pooled score test, or Fisher's exact one where a cell is expected to hold fewer than five.

    :param treated: 0 or 1, shape (n,), one per customer; `control`: (m,).
    """
    found = _means(treated, control)
    if not (len(treated) and len(control)):
        return found
    groups = ((found.treatment_mean, len(treated)), (found.control_mean, len(control)))
    (low, high), (control_low, control_high) = (wilson(share, size, _NORMAL) for share, size in groups)
    below = math.hypot(found.treatment_mean - low, control_high - found.control_mean)
    above = math.hypot(high - found.treatment_mean, found.control_mean - control_low)
    error = math.sqrt(sum(share * (1 - share) / size for share, size in groups))
    cells = np.array([[np.sum(group), len(group) - np.sum(group)] for group in (treated, control)]).round().astype(int)
    return Effect(
        len(treated), len(control), found.treatment_mean, found.control_mean, found.difference,
        low=found.difference - below, high=found.difference + above, p_value=_equal_shares(cells), error=error,
    )  # fmt: skip


def adjusted(
    treated: np.ndarray, control: np.ndarray, before_treated: np.ndarray, before_control: np.ndarray
) -> Effect | None:
    """The difference of means, sharper by what was known of each customer before.

    The idea is CUPED (Deng, Xu, Kohavi and Walker 2013, WSDM); the form is a regression of its own in each arm (Lin
    2013, Annals of Applied Statistics 7): never less precise in large samples, and right even if the outcome does not
    follow a line. Errors are HC3 (MacKinnon and White 1985, Journal of Econometrics 29), for heavy tails.

    :param before_treated: covariates from before the contact, shape (n, k); `before_control`: (m, k).
    :returns: means are those foreseen for all customers of both arms; None where nothing in the covariates varies, or
        an arm has fewer than ten customers for each coefficient.
    """
    both = np.vstack([before_treated, before_control]).astype(float)
    centred = both - both.mean(axis=0)
    spread = both.std(axis=0)
    kept = (spread > 0) & np.isfinite(spread)
    for arm in (before_treated, before_control):
        kept &= np.ptp(arm, axis=0) > 0 if len(arm) else False
    scaled = centred[:, kept] / spread[kept]
    coefficients = 1 + int(kept.sum())
    if coefficients == 1 or min(len(treated), len(control)) < _ROWS_PER_COEFFICIENT * coefficients:
        return None
    means, variances, errors = [], [], []
    for outcome, covariates in ((treated, scaled[: len(treated)]), (control, scaled[len(treated) :])):
        mean, variance, residuals = _foreseen_at_centre(np.asarray(outcome, float), covariates)
        means.append(mean)
        variances.append(variance)
        errors.append(residuals)
    error = math.sqrt(sum(variances))
    if not error > _ROUNDING * float(np.std(np.concatenate([treated, control]))):
        return None
    found = Effect(len(treated), len(control), *means, difference=means[0] - means[1])
    return _by_draws(found, error, len(treated) + len(control) - 2 * coefficients, *errors)


def paired(after: np.ndarray, before: np.ndarray) -> Effect:
    """The same customers after and before something, by the paired t-test. It tells of change, not of its cause.

    :param after: shape (n,), as `before`. They stand in the place of treatment and control.
    """
    found = _means(after, before)
    if len(after) < 2:
        return found
    error = float(np.std(np.asarray(after, float) - np.asarray(before, float), ddof=1)) / math.sqrt(len(after))
    return _by_t(found, error, len(after) - 1) if error > 0 else found


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, by Holm's step-down method (1979, Scandinavian Journal of Statistics
    6): the chance of even one false alarm among them stays below the level, however they depend on each other.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    :param p_values: NaN where there was no test; it stays, and does not count.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, largest = list(p_values), 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        corrected[place] = largest
    return corrected


def mismatch(counts: Mapping[str, int], intended: Mapping[str, float]) -> float:
    """p-value of the sizes of the arms if they had been drawn as intended: Pearson's chi-square test.

    See Fabijan et al. 2019, "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD.

    :param intended: arm -> share; only their ratio counts.
    :raises ValueError: the arms are others than those intended, or a share is not above 0; names them.
    """
    if counts.keys() != intended.keys() or any(not share > 0 for share in intended.values()):
        raise ValueError(f"arms {sorted(counts)} cannot be compared with intended shares {dict(intended)}")
    whole = sum(counts.values())
    expected = [whole * intended[arm] / sum(intended.values()) for arm in counts]
    return float(stats.chisquare(list(counts.values()), expected).pvalue)


def independence(arms: np.ndarray, groups: np.ndarray) -> float:
    """p-value of the arms' shares being alike in all groups: Pearson's chi-square test; NaN where there is one group.

    :param arms: shape (n,), text; `groups`: (n,), known before the contact. Groups that are expected to hold fewer than
        five customers of an arm are put together.
    """
    names, arm = np.unique(arms, return_inverse=True)
    found, group = np.unique(groups, return_inverse=True)
    table = np.zeros((len(found), len(names)))
    np.add.at(table, (group, arm), 1)
    rare = table.sum(axis=1) * table.sum(axis=0).min() < _FEW_EXPECTED * table.sum()
    if rare.any():
        table = np.vstack([table[~rare], table[rare].sum(axis=0)])
    table = table[table.sum(axis=1) > 0]
    if min(table.shape) < 2:
        return math.nan
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def _means(treated: np.ndarray, control: np.ndarray) -> Effect:
    treatment_mean, control_mean = (float(np.mean(each)) if len(each) else math.nan for each in (treated, control))
    return Effect(len(treated), len(control), treatment_mean, control_mean, treatment_mean - control_mean)


def _by_t(found: Effect, error: float, freedom: float) -> Effect:
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * error
    return Effect(
        found.treatment_customers, found.control_customers, found.treatment_mean, found.control_mean, found.difference,
        low=found.difference - half, high=found.difference + half,
        p_value=float(2 * stats.t.sf(abs(found.difference) / error, freedom)), error=error,
    )  # fmt: skip


def _by_draws(found: Effect, error: float, freedom: float, treated: np.ndarray, control: np.ndarray) -> Effect:
    """Like `_by_t`; with the quantiles of arms drawn anew, where Student's are not right and arms are not too large.

    :param treated: what is drawn, shape (n,); `control`: (m,).
    """
    pooled = np.sort(np.concatenate([treated, control]).astype(float))  # so that the order of rows does not matter
    pooled -= pooled.mean()
    if len(pooled) > _MOST_DRAWN or abs(_skewness(pooled, len(treated), len(control))) < _LOPSIDED:
        return _by_t(found, error, freedom)
    drawn = np.sort(_t_of_draws(pooled, len(control)))
    statistic = found.difference / error
    place = round((0.5 + LEVEL / 2) * (_DRAWS + 1))
    tails = _tail(statistic, drawn, freedom), _tail(-statistic, -drawn[::-1], freedom)
    return replace(
        found, low=found.difference - drawn[place] * error, high=found.difference - drawn[-1 - place] * error,
        p_value=min(1.0, 2 * min(tails)), error=error,
    )  # fmt: skip


def _skewness(pooled: np.ndarray, treated: int, control: int) -> float:
    """Of the difference of the means of two arms drawn from the same customers; `pooled` has the mean 0."""
    size = float(np.mean(pooled**2)) * (1 / treated + 1 / control)
    return float(np.mean(pooled**3)) * (treated**-2.0 - control**-2.0) / size**1.5 if size > 0 else 0.0


def _t_of_draws(pooled: np.ndarray, control: int) -> np.ndarray:
    """Welch's t of arms drawn anew, shape (_DRAWS,); the same draws every time."""
    rng, rows, found = np.random.default_rng(_SEED), len(pooled), []
    treated, total, squares = rows - control, float(pooled.sum()), float(pooled @ pooled)
    for start in range(0, _DRAWS, 100):
        many = min(100, _DRAWS - start)
        held_out = rng.permuted(np.broadcast_to(pooled, (many, rows)), axis=1)[:, :control]
        mean, square = held_out.mean(axis=1), np.einsum("ij,ij->i", held_out, held_out)
        other = (total - mean * control) / treated
        variance = (square / control - mean**2) / (control - 1)
        variance += ((squares - square) / treated - other**2) / (treated - 1)
        found.append((other - mean) / np.sqrt(np.maximum(variance, 1e-12 * squares / rows**2)))
    return np.concatenate(found)


def _tail(statistic: float, drawn: np.ndarray, freedom: float) -> float:
    """How often a draw is as large; beyond the largest of them Student's tail, stretched so that it meets theirs."""
    as_large = int(np.sum(drawn >= statistic))
    edge = float(drawn[-_TAIL])
    if as_large >= _TAIL or edge <= 0:
        return (1 + as_large) / (_DRAWS + 1)
    usual = float(stats.t.isf(_TAIL / (_DRAWS + 1), freedom))
    return float(stats.t.sf(statistic * usual / edge, freedom))


def _equal_shares(cells: np.ndarray) -> float:
    """p-value of two groups' shares being equal. :param cells: events and others of each group, shape (2, 2)."""
    if not cells.sum(axis=0).all():
        return math.nan
    if cells.sum(axis=1).min() * cells.sum(axis=0).min() < _FEW_EXPECTED * cells.sum():
        return float(stats.fisher_exact(cells).pvalue)
    return float(stats.chi2_contingency(cells, correction=False).pvalue)


def _foreseen_at_centre(outcome: np.ndarray, covariates: np.ndarray) -> tuple[float, float, np.ndarray]:
    """(what a line through the outcomes foresees where all covariates are 0, the variance of that by HC3, its errors).

    :returns: the errors, shape (n,), as HC3 has them: as large as those of customers whom the line has not seen.
    """
    design = np.column_stack([np.ones(len(outcome)), covariates])
    pseudo = np.linalg.pinv(design)
    coefficients = pseudo @ outcome
    leverage = np.einsum("ij,ji->i", design, pseudo).clip(0, 1 - 1e-6)
    residuals = (outcome - design @ coefficients) / (1 - leverage)
    return float(coefficients[0]), float(np.sum((pseudo[0] * residuals) ** 2)), residuals
