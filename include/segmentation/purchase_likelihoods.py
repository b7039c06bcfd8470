"""
The log-likelihoods of BG/NBD and of Gamma-Gamma with their gradients, for `purchase_model`.

Both are written so that no digits are lost where a parameter runs far out; customers come sorted by frequency, those
that are alike once.
"""

import numpy as np
from scipy.special import digamma, expit, gammaln

_LARGE = 30.0  # from here on Stirling's series is exact to the last digit


def of_orders(
    logs: np.ndarray, x: np.ndarray, t_x: np.ndarray, age: np.ndarray, customers: np.ndarray
) -> tuple[float, np.ndarray]:
    """The log-likelihood of BG/NBD, equation 6 of the paper, and its gradient by `logs`.

    :param logs: the logs of r, alpha, a, b, shape (4,).
    :param x, t_x, age: frequency, recency and age as `grouped` gives them, shape (n,), in the unit of alpha.
    :param customers: how many there are of each, shape (n,).
    """
    r, alpha, a, b = np.exp(logs)
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))
    times, many = x[begins], np.add.reduceat(customers, begins)
    until_now = np.log1p(age / alpha)
    value = np.sum(many * (_rise(r, times) + _rise(b, times) - _rise(a + b, times) - times * logs[1]))
    value -= np.sum(customers * (r + x) * until_now)
    by_r = np.sum(many * (digamma(r + times) - digamma(r))) - np.sum(customers * until_now)
    by_alpha = np.sum(customers * (r * age / alpha - x) / (alpha + age))
    of_both = digamma(a + b) - digamma(a + b + times)
    by_a, by_b = np.sum(many * of_both), np.sum(many * (of_both + digamma(b + times) - digamma(b)))

    back = slice(np.searchsorted(x, 0.5), None)
    x, t_x, age, customers = x[back], t_x[back], age[back], customers[back]
    longer = until_now[back] - np.log1p(t_x / alpha)
    odds = logs[2] - np.log(b + x - 1) + (r + x) * longer
    left = customers * expit(odds)
    value += np.sum(customers * np.logaddexp(0, odds))
    by_r += np.sum(left * longer)
    by_alpha += np.sum(left * (r + x) * (t_x - age) / (alpha + age) / (alpha + t_x))
    by_a += np.sum(left) / a
    by_b -= np.sum(left / (b + x - 1))
    return float(value), np.array([by_r * r, by_alpha * alpha, by_a * a, by_b * b])


def of_spend(logs: np.ndarray, x: np.ndarray, spend: np.ndarray) -> tuple[float, np.ndarray]:
    """The log-likelihood of Gamma-Gamma: the note's density of the mean of x spends; and its gradient by `logs`.

    :param logs: the logs of p, q - 1 and v, shape (3,): only with q above 1 is there a mean of all customers.
    :param x, spend: frequency and mean spend of those who came back, sorted by x, shape (n,); in the unit of v.
    """
    p, q, v = np.exp(logs[0]), 1 + np.exp(logs[1]), np.exp(logs[2])
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))
    times, many = x[begins], np.diff(begins, append=len(x))
    # All logs are of ratios to what they are at the mean spend, p v / q: where p and q are large, the rest cancels.
    off = (spend * q - p * v) / (x * spend + v)
    own = _log(spend * (p * x + q) / (x * spend + v) / p, off / p)
    others = _log(v * (p * x + q) / (x * spend + v) / q, -x * off / q)
    value = np.sum(p * x * own + q * others - np.log(spend)) + np.sum(many * _log_mode(p * times, q))
    of_both = digamma(p * times + q) - np.log(p * times + q)
    by_p = np.sum(x * own) + np.sum(many * times * (of_both - digamma(p * times) + np.log(p * times)))
    by_q = np.sum(others) + np.sum(many * (of_both - digamma(q) + np.log(q)))
    by_v = np.sum(x * off) / v
    return float(value), np.array([by_p * p, by_q * (q - 1), by_v * v])


def _log(ratio: np.ndarray, above_1: np.ndarray) -> np.ndarray:
    """The log of a ratio, from what it is above 1 where that has more digits."""
    return np.where(np.abs(above_1) < 0.5, np.log1p(np.clip(above_1, -0.5, 0.5)), np.log(ratio))


def _log_mode(a: np.ndarray, b: float) -> np.ndarray:
    """ln(m^a (1 - m)^b / B(a, b)) at m = a / (a + b), without losing digits where a and b are large."""
    less, more = np.minimum(a, b), np.maximum(a, b)
    near = _rise(more, less) - gammaln(less) - less * np.log1p(more / less) - more * np.log1p(less / more)
    less, more = np.maximum(less, _LARGE), np.maximum(more, _LARGE)
    far = (
        np.log(less / (1 + less / more) / (2 * np.pi)) / 2 + _stirling(less + more) - _stirling(less) - _stirling(more)
    )
    return np.where(a < _LARGE, near, np.where(b < _LARGE, near, far))


def _rise(z: np.ndarray | float, x: np.ndarray | float) -> np.ndarray:
    """ln Gamma(z + x) - ln Gamma(z), without losing digits where z is large."""
    large = np.maximum(z, _LARGE)
    far = (large - 0.5) * np.log1p(x / large) + x * (np.log(large + x) - 1) + _stirling(large + x) - _stirling(large)
    return np.where(z < _LARGE, gammaln(z + x) - gammaln(z), far)


def _stirling(z: np.ndarray | float) -> np.ndarray | float:
    """What Stirling's formula for ln Gamma(z) leaves out, for z from `_LARGE` on."""
    return 1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5) - 1 / (1680 * z**7)


def grouped(x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> tuple[np.ndarray, ...]:
    """(x, t_x, age, customers) of the customers that differ, each of shape (groups,); from rows sorted by x first."""
    rows = np.stack([x, t_x, age])
    begins = np.flatnonzero(np.any(np.diff(rows, prepend=-1.0), axis=0))
    return *rows[:, begins], np.diff(begins, append=len(x)).astype("float64")
