"""Coefficients by arm beside common ones, held against the solution of the whole at once, and against known truths."""

import numpy as np
import pytest

from segmentation import arm_regression
from segmentation.arm_regression import NOT_SHRUNK, Products

NO_ARM = -1


def rows(seed: int, count: int, slopes, noise: float = 1.0):
    """(columns, values, arm, period): a one and as many numbers as there are slopes; the arms are worth 0.5 and -0.2
    on average, and customers differ in the first arm by `slopes`, in the second by half of them."""
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(count), rng.normal(size=(count, len(slopes)))])
    arm = rng.integers(-1, 2, count)
    period = rng.integers(0, 3, count)
    differ = columns[:, 1:] @ np.asarray(slopes)
    effects = np.where(arm == 0, 0.5 + differ, np.where(arm == 1, -0.2 + differ / 2, 0))
    values = np.array([0.0, 3.0, -1.0])[period] + 0.4 * columns[:, 1] + effects + noise * rng.normal(size=count)
    return columns, values, arm, period


def fitted(columns, values, arm, period, labels):
    found = products(columns, values, arm, period)
    return arm_regression.fit(found[0], found[1:], labels, np.full(labels.max() + 1, 0.03))


def products(columns, values, arm, period):
    """Of the rows of no arm and of both arms, each in two pieces."""
    made = []
    for each in (NO_ARM, 0, 1):
        here = np.flatnonzero(arm == each)
        one, two = (
            Products.of(columns[rows], values[rows], period[rows], period.max() + 1, columns[rows, 0])
            for rows in np.array_split(here, 2)
        )
        made.append(one + two)
    return made


def test_arm_by_arm_it_is_the_solution_of_the_whole():
    columns, values, arm, period = rows(1, 400, [0.3, 0.0, -0.2])
    found = products(columns, values, arm, period)
    own, common, noise = np.array([1e-9, 5, 50, 7]), np.array([1e-9] * 3 + [2, 3, 4]), 1.3
    both = sum(each.common for each in found), sum(each.common_values for each in found)
    told = arm_regression._solve(found[1:], both, (own, common), noise, float(values @ values))
    whole = np.hstack([
        np.eye(3)[period], columns[:, 1:], *(columns * (arm == each)[:, None] for each in (0, 1))
    ])  # fmt: skip
    covariance = np.linalg.inv(noise * whole.T @ whole + np.diag(np.concatenate([common, own, own])))
    means = noise * covariance @ whole.T @ values
    assert told.common == pytest.approx(means[:6])
    assert told.arms.means == pytest.approx(means[6:].reshape(2, 4))
    assert told.common_variances == pytest.approx(np.diag(covariance)[:6])
    assert told.arms.covariances[0] == pytest.approx(covariance[6:10, 6:10])
    assert told.arms.covariances[1] == pytest.approx(covariance[10:, 10:])
    assert told.residual == pytest.approx(np.sum((values - whole @ means) ** 2))


def test_what_tells_something_is_kept_and_the_rest_is_shrunk_to_nothing():
    slopes = [0.5, *[0.0] * 20]
    columns, values, arm, period = rows(2, 6000, slopes)
    labels = np.array([NOT_SHRUNK, *range(21)])
    found = fitted(columns, values, arm, period, labels)
    assert found.means[:, 0] == pytest.approx([0.5, -0.2], abs=0.1)
    assert found.means[:, 1] == pytest.approx([0.5, 0.25], abs=0.08)
    shared = fitted(columns, values, arm, period, np.minimum(labels, 0))
    assert np.abs(found.means[:, 2:]).mean() < 0.5 * np.abs(shared.means[:, 2:]).mean()


def test_what_a_period_was_like_is_no_effect():
    columns, values, arm, period = rows(3, 3000, [0.2, 0.0])
    labels = np.array([NOT_SHRUNK, 0, 1])
    before = fitted(columns, values, arm, period, labels)
    after = fitted(columns, values + 100.0 * period, arm, period, labels)
    assert after.means == pytest.approx(before.means, abs=1e-3)
    # an arm that was alone in its period, with nobody held out, is as unsure as can be
    alone = np.where(arm == 1, 3, period)
    unsure = fitted(columns, values, arm, alone, labels)
    assert unsure.covariances[1, 0, 0] > 1000 * before.covariances[1, 0, 0]


def test_the_truth_lies_within_what_is_unsure():
    inside = []
    for seed in range(40):
        columns, values, arm, period = rows(100 + seed, 600, [0.3, *[0.0] * 5])
        found = fitted(columns, values, arm, period, np.array([NOT_SHRUNK, *range(6)]))
        spread = np.sqrt(np.diagonal(found.covariances, axis1=1, axis2=2))
        truth = np.array([[0.5, 0.3, 0, 0, 0, 0, 0], [-0.2, 0.15, 0, 0, 0, 0, 0]])
        inside.append(np.abs(found.means - truth) < 2 * spread)
    assert 0.92 < np.mean([each[:, 0] for each in inside]) < 0.99  # the means, which are not shrunk
    assert np.mean([each[:, 2:] for each in inside]) > 0.95  # what is nothing is told to be nothing
