"""
How often, for how long and for how much customers will buy: BG/NBD for their order days, Gamma-Gamma for their spend.

BG/NBD (Fader, Hardie, Lee 2005, "Counting Your Customers the Easy Way", Marketing Science 24(2)): customers order at
rates of their own, Gamma(r, alpha) among them, until, after some order, they leave for good: each with a probability of
their own, Beta(a, b) among them. Gamma-Gamma (Fader, Hardie 2013, "The Gamma-Gamma Model of Monetary Value"): what an
order day brings is Gamma(p) with a rate of the customer's own, Gamma(q, v) among them.

Both are fitted by maximum likelihood, with analytic gradients, in units of the median age and the median spend. Where
the data leave a parameter open (nobody leaves, all are alike) the maximum lies at infinity; a weak ridge on the logs of
the parameters, and bounds far out, keep it finite. The order in which the customers come changes not a bit of it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import Bounds, minimize
from scipy.special import expit

from segmentation import purchase_likelihoods

MIN_CUSTOMERS = 50  # with an age above 0
MIN_RETURNED = 10  # customers who came back; and as many of them with a spend, for Gamma-Gamma

_RIDGE = 1 / 5**2  # a parameter e^5 off costs half a unit of log-likelihood, as under a prior N(0, 5) of its log
_FARTHEST = 9.0  # bound of every log, either way: a factor of 8,103
_LEAST_Q = 1.2  # nearer to 1, the mean of all customers is made by spends that nobody has seen
_SEARCH = {"maxiter": 500, "ftol": 1e-15, "gtol": 1e-9}
_SEARCHES = 10  # a search that stalls is begun anew where it stopped, up to so often
_FLAT = 1e-6  # slope by a log, in log-likelihood a customer, that passes for none; more where that is not near 1
_NODES, _MOST_NODES = 64, 512  # of the quadrature over the drop-out probability
_AT_ONCE = 1 << 20  # terms of the quadrature held in memory


class NotFittedError(ValueError):
    """The data do not allow a model; the message says why."""


@dataclass(frozen=True)
class PurchaseModel:
    """The parameters of BG/NBD and of Gamma-Gamma, and what they were made from.

    `alpha` is in days, `v` in the currency of the spend, the others have no unit. `p`, `q` and `v` are None where spend
    could not be fitted, and `spend_reason` says why. The log-likelihoods are of days and currency, without the ridge.
    `at_bounds` names what the data would push farther out; `converged` says whether every search found a maximum.
    """

    r: float
    alpha: float
    a: float
    b: float
    p: float | None
    q: float | None
    v: float | None
    customers: int
    log_likelihood: float
    spend_customers: int
    spend_log_likelihood: float | None
    spend_reason: str | None
    at_bounds: tuple[str, ...]
    converged: bool

    def as_dict(self) -> dict:
        """All fields, fit for JSON; `PurchaseModel(**fields)` is the way back."""
        return asdict(self) | {"at_bounds": list(self.at_bounds)}


def fit(
    frequency: np.ndarray,
    recency_days: np.ndarray,
    age_days: np.ndarray,
    spend_mean: np.ndarray | None = None,
    *,
    max_customers: int | None = None,
    seed: int = 0,
) -> PurchaseModel:
    """Fits both models to customers.

    :param frequency: order days after the first, shape (n,): 0, 1, 2, ...
    :param recency_days: days from the first order day to the last, shape (n,); like all days, whole or not.
    :param age_days: days from the first order day to the day up to which all is known, shape (n,).
    :param spend_mean: mean spend of the order days after the first, shape (n,); NaN where there are none. Customers
        without one above 0 do not count for Gamma-Gamma.
    :param max_customers: fit to so many, drawn evenly by `seed`; None fits to all.
    :raises NotFittedError: too few customers, or too few who came back.
    :raises ValueError: the arrays contradict each other.
    """
    x, t_x, age = _checked(frequency, recency_days, age_days)
    rows = np.stack([x, t_x, age, _spend(spend_mean, len(x))])
    rows = rows[:, np.lexsort(rows[::-1])]
    if max_customers is not None and len(x) > max_customers:
        rows = rows[:, np.sort(np.random.default_rng(seed).choice(len(x), max_customers, replace=False))]
    x, t_x, age, spend = rows
    for many, least, who in (
        (np.sum(age > 0), MIN_CUSTOMERS, "customers who were known for any time"),
        (np.sum(x > 0), MIN_RETURNED, "customers who came back"),
    ):
        if many < least:
            raise NotFittedError(f"{many} {who}; {least} are needed")

    day = np.median(age[age > 0])
    orders = purchase_likelihoods.grouped(x, t_x / day, age / day)
    start = np.log([0.5, x.sum() * day / age.sum(), 1, 3])
    of_orders = _maximum(lambda logs: purchase_likelihoods.of_orders(logs, *orders), _ORDERS, start, len(x))
    r, alpha, a, b = np.exp(of_orders.logs) * [1, day, 1, 1]

    paid = (x > 0) & np.isfinite(spend) & (spend > 0)
    reason = of_spend = None
    if spend_mean is None:
        reason = "no spend was given"
    elif paid.sum() < MIN_RETURNED:
        reason = f"{paid.sum()} customers with a spend above 0 after their first order day; {MIN_RETURNED} are needed"
    else:
        unit = np.median(spend[paid])
        repeats = x[paid], spend[paid] / unit
        start = np.log([3, 1, 1])
        of_spend = _maximum(lambda logs: purchase_likelihoods.of_spend(logs, *repeats), _SPEND, start, int(paid.sum()))
        p, above, v = np.exp(of_spend.logs) * [1, 1, unit]
    return PurchaseModel(
        r=float(r),
        alpha=float(alpha),
        a=float(a),
        b=float(b),
        p=float(p) if of_spend else None,
        q=float(1 + above) if of_spend else None,
        v=float(v) if of_spend else None,
        customers=len(x),
        log_likelihood=float(of_orders.likelihood - x.sum() * np.log(day)),
        spend_customers=int(paid.sum()),
        spend_log_likelihood=float(of_spend.likelihood - paid.sum() * np.log(unit)) if of_spend else None,
        spend_reason=reason,
        at_bounds=of_orders.at_bounds + (of_spend.at_bounds if of_spend else ()),
        converged=of_orders.converged and (not of_spend or of_spend.converged),
    )


def predict(
    model: PurchaseModel,
    frequency: np.ndarray,
    recency_days: np.ndarray,
    age_days: np.ndarray,
    spend_mean: np.ndarray | None,
    horizon_days: float,
) -> dict[str, np.ndarray]:
    """What is to be expected of each customer within so many days; the arrays are as for `fit`.

    :returns: arrays of shape (n,): `alive_probability` (1 for those who never came back: the model lets nobody leave
        before that), `expected_orders` (order days within the horizon), `expected_order_value` (of an order day; the
        mean of all customers for those without a spend of their own; NaN if the model has no spend) and
        `expected_spend`, the product of these two.
    :raises ValueError: the arrays contradict each other, or the horizon is no length of time.
    """
    x, t_x, age = _checked(frequency, recency_days, age_days)
    spend = _spend(spend_mean, len(x))
    if not (np.isfinite(horizon_days) and horizon_days >= 0):
        raise ValueError(f"the horizon is {horizon_days} days")
    back = x > 0
    alive = np.ones(len(x))
    longer = np.log((model.alpha + age[back]) / (model.alpha + t_x[back]))
    alive[back] = expit(np.log(model.b + x[back] - 1) - np.log(model.a) - (model.r + x[back]) * longer)
    orders = alive * _orders_if_alive(model, x, age, float(horizon_days))
    value = np.full(len(x), np.nan)
    if model.p is not None:
        value[:] = model.p * model.v / (model.q - 1)
        own = back & np.isfinite(spend)
        x, spend = x[own], np.maximum(spend[own], 0)
        value[own] = model.p * (model.v + x * spend) / (model.p * x + model.q - 1)
    return {
        "alive_probability": alive,
        "expected_orders": orders,
        "expected_order_value": value,
        "expected_spend": orders * value,
    }


def _orders_if_alive(model: PurchaseModel, x: np.ndarray, age: np.ndarray, horizon: float) -> np.ndarray:
    """Expected order days within the horizon of customers who have not left yet, shape (n,).

    Equation 10 of the paper without its denominator; and not by 2F1, which overflows and has a pole at a = 1, but by
    the integral behind it: (1 - (1 + p t / (alpha + T))^-(r + x)) / p over p ~ Beta(a, b + x), by Gauss-Jacobi
    quadrature. All terms are positive, so nothing cancels. Customers with the same x and T are worked out once.
    """
    order = np.lexsort((age, x))
    x, age = x[order], age[order]
    new = np.diff(x, prepend=-1.0) + np.abs(np.diff(age, prepend=-1.0)) > 0
    place = np.empty(len(x), dtype="int64")
    place[order] = np.cumsum(new) - 1
    x, age = x[new], age[new]
    expected = np.empty(len(x))
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))
    for begin, end in zip(begins, np.append(begins[1:], len(x)), strict=True):
        # the farther the horizon, the nearer to the nodes is the singularity, p = -(alpha + T) / t
        needed = _NODES * np.ceil(np.sqrt(horizon / (model.alpha + age[begin])) / 8)
        p, weight = _beta_quadrature(model.a, model.b + x[begin], int(np.clip(needed, _NODES, _MOST_NODES)))
        for first in range(begin, end, _AT_ONCE // len(p)):
            rows = slice(first, min(first + _AT_ONCE // len(p), end))
            power = -(model.r + x[begin]) * np.log1p(np.outer(horizon / (model.alpha + age[rows]), p))
            expected[rows] = np.sum(-np.expm1(power) * (weight / p), axis=1)
    return expected[place]


def _beta_quadrature(a: float, b: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (0, 1) and weights, which sum to 1, of a mean over Beta(a, b): Golub, Welsch 1969, for Jacobi."""
    k, c = np.arange(1, nodes), a + b - 2
    middle = np.append(a / (a + b), (2 * k * (k + c + 1) + c * a) / ((2 * k + c) * (2 * k + c + 2)))
    last = np.append(1.0, (k[1:] + c) / (2 * k[1:] + c - 1))  # 1 for k = 1, where it may also be 0 / 0
    beside = np.sqrt(k * (k + a - 1) * (k + b - 1) * last / ((2 * k + c) ** 2 * (2 * k + c + 1)))
    places, vectors = eigh_tridiagonal(middle, beside)
    return np.clip(places, 1e-15, 1.0), vectors[0] ** 2


class _Form(NamedTuple):
    """How a model's parameters are searched: as logs that hardly depend on each other."""

    names: tuple[str, ...]
    turn: np.ndarray  # makes the logs that the likelihood takes from those that are searched
    least: np.ndarray  # bounds of those


_ORDERS = _Form(
    ("r", "r / alpha", "a", "b"),
    np.array([[1, 0, 0, 0], [1, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    np.full(4, -_FARTHEST),
)
_SPEND = _Form(
    ("p", "q", "p v / (q - 1)"),
    np.array([[1, 0, 0], [0, 1, 0], [-1, 1, 1]]),
    np.array([-_FARTHEST, np.log(_LEAST_Q - 1), -_FARTHEST]),
)


class _Maximum(NamedTuple):
    logs: np.ndarray
    likelihood: float
    at_bounds: tuple[str, ...]
    converged: bool


def _maximum(
    likelihood: Callable[[np.ndarray], tuple[float, np.ndarray]], form: _Form, start: np.ndarray, customers: int
) -> _Maximum:
    """Where likelihood less ridge is greatest, searched from `start` (logs, as they are searched)."""

    def cost(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = likelihood(form.turn @ at)
        return (_RIDGE / 2 * np.sum(at**2) - value) / customers, (_RIDGE * at - gradient @ form.turn) / customers

    most = np.full(len(start), _FARTHEST)
    at = np.clip(start, form.least, most)
    for _ in range(_SEARCHES):
        found = minimize(cost, at, jac=True, method="L-BFGS-B", bounds=Bounds(form.least, most), options=_SEARCH)
        at = found.x
        bounded = (at <= form.least) | (at >= most)
        converged = bool(np.all(bounded | (np.abs(found.jac) < _FLAT * (1 + abs(found.fun)))))
        if converged or found.nit == 0:
            break
    names = tuple(name for name, there in zip(form.names, bounded, strict=True) if there)
    return _Maximum(form.turn @ at, likelihood(form.turn @ at)[0], names, converged)


def _checked(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Frequency, recency and age as float64 of shape (n,); raises ValueError unless they can be these."""
    x, t_x, age = (np.asarray(each, dtype="float64") for each in arrays)
    if not (x.ndim == 1 and x.shape == t_x.shape == age.shape):
        raise ValueError(f"frequency, recency and age have the shapes {x.shape}, {t_x.shape} and {age.shape}")
    good = (x == np.floor(x)) & (t_x >= 0) & (t_x <= age) & np.where(t_x > 0, x > 0, x == 0)
    wrong = np.sum(~(good & np.isfinite(x) & np.isfinite(age)))
    if wrong:
        raise ValueError(
            f"{wrong:,} of {len(x):,} customers contradict: a whole frequency, a recency from 0 to the age, and both 0 "
            "or neither"
        )
    return x, t_x, age


def _spend(spend_mean: np.ndarray | None, customers: int) -> np.ndarray:
    """Mean spend as float64 of shape (n,); NaN for everyone where there is none."""
    spend = np.full(customers, np.nan) if spend_mean is None else np.asarray(spend_mean, dtype="float64")
    if spend.shape != (customers,):
        raise ValueError(f"spend has the shape {spend.shape}, for {customers} customers")
    return spend
