"""
Who the customers are: their latent parameters, and the little that is to be remembered of each from day to day.

Customer number i, counted from 0, signs up when the shop's growing number of sign-ups passes i; what the customer is
like depends on the seed and on i alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy import special

from local.simulator import draws
from local.simulator.clock import DAY, FOREVER, start_of
from local.simulator.latent_types import MEAN_VALUE_SHAPE, ORDER_CHANNELS, TYPES, along_types
from local.simulator.settings import Settings

BRANDS = ("Hearth", "Northwind", "Lantern", "Willow", "Plain & Co")
CONSENTS = ("email", "sms", "push")

# Sign-ups a day grow in a straight line: this is how much faster they are when `span_days` have passed.
_GROWTH = 2.0
_WELCOME_WITHIN_DAYS = 5
_MOST_RATE = 1.2  # orders a day, at a usual season
_BRANDLESS = 0.35


@dataclass(frozen=True)
class Population:
    """The n customers of one chunk: everything (n,) or (n, k). Rates are a day of season 1, times in microseconds.

    `key` is what all draws of a customer descend from. `lifetime` is how many orders it takes until the customer is
    lost. `value_mean` is the expected amount of an order, before cancellations. Cumulated shares end in `_sums`.
    `linger` is how long a lost customer still looks around.
    """

    number: np.ndarray
    key: np.ndarray
    kind: np.ndarray
    is_prospect: np.ndarray
    rate: np.ndarray
    drop_out: np.ndarray
    lifetime: np.ndarray
    value_mean: np.ndarray
    signed_up: np.ndarray
    welcome_at: np.ndarray
    deleted_at: np.ndarray
    visit_rate: np.ndarray
    linger: np.ndarray
    coupons: np.ndarray
    returns: np.ndarray
    complaints: np.ndarray
    brand: np.ndarray
    taste_sums: np.ndarray
    channel_sums: np.ndarray
    media_sums: np.ndarray
    content_sums: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    @property
    def cancelled_share(self) -> np.ndarray:
        """Of each one's orders (n,): none of those in the store."""
        in_store = np.diff(self.channel_sums, axis=1, prepend=0)[:, ORDER_CHANNELS.index("store")]
        return along_types("cancels")[self.kind] * (1 - in_store)

    def take(self, chosen: np.ndarray) -> "Population":
        """Some of the customers, by place or by flag."""
        return Population(**{item.name: getattr(self, item.name)[chosen] for item in fields(self)})


@dataclass
class Memory:
    """What is remembered of the n customers of a chunk at a time: all that growing further needs.

    (n,) `orders_made` so far; `last_ordered_at` (0: never); `lost_at`, the time of the order after which the customer
    was lost, or FOREVER; (n, 3) `withdrawn_at`, when the consent to email, sms and push messages was withdrawn over a
    campaign, or FOREVER.
    """

    orders_made: np.ndarray
    last_ordered_at: np.ndarray
    lost_at: np.ndarray
    withdrawn_at: np.ndarray

    @classmethod
    def blank(cls, count: int) -> "Memory":
        """Nothing has happened yet."""
        zeros = np.zeros(count, np.int64)
        forever = np.full(count, FOREVER, np.int64)
        return cls(zeros, zeros.copy(), forever, np.full((count, len(CONSENTS)), FOREVER, np.int64))

    def part(self, first: int, count: int) -> "Memory":
        """Those of `count` customers from place `first`; blank where there are none yet."""
        blank = Memory.blank(count)
        for item in fields(self):
            known = getattr(self, item.name)[first : first + count]
            getattr(blank, item.name)[: len(known)] = known
        return blank


def signed_up_by(settings: Settings, time: int) -> int:
    """How many customers have signed up before a time, or one more."""
    share = (time - start_of(settings.first_day)) / (settings.span_days * DAY)
    return math.ceil(settings.customers * _signed_up_share(share)) if share > 0 else 0


def chunks(settings: Settings, until: int) -> Iterator[Population]:
    """All customers who have signed up before `until`, `settings.chunk_customers` at a time, in order of number."""
    count = signed_up_by(settings, until)
    for first in range(0, count, settings.chunk_customers):
        numbers = np.arange(first, min(first + settings.chunk_customers, count))
        people = population(settings, numbers)
        yield people if people.signed_up[-1] < until else people.take(people.signed_up < until)


def population(settings: Settings, number: np.ndarray) -> Population:
    """The customers of the given numbers (n,)."""
    key = draws.child(draws.root(settings.seed, "customer"), "number", number)
    kind = draws.pick(draws.uniform(key, "type"), np.cumsum([kind.share for kind in TYPES]))
    signed_up = _signed_up(settings, key, number)
    waits = draws.exponential(draws.uniform(key, "welcome wait"), 0.4).clip(0.01, _WELCOME_WITHIN_DAYS) * DAY
    is_prospect = draws.uniform(key, "prospect") < along_types("prospects")[kind]
    is_welcome = ~is_prospect & (draws.uniform(key, "welcome") < along_types("welcome")[kind])
    vanishing = draws.exponential(draws.uniform(key, "deleted"), 1.0) / max(settings.deleted_customers_a_year, 1e-9)
    drop_out = _drop_out(key, kind)
    return Population(
        number=number,
        key=key,
        kind=kind,
        is_prospect=is_prospect,
        rate=_rate(key, kind) * settings.purchases,
        drop_out=drop_out,
        lifetime=draws.geometric(draws.uniform(key, "lifetime"), drop_out),
        value_mean=_value_mean(key, kind),
        signed_up=signed_up,
        welcome_at=np.where(is_welcome, signed_up + waits.astype(np.int64), FOREVER),
        deleted_at=signed_up + (vanishing * 365 * DAY).clip(DAY, FOREVER // 2).astype(np.int64),
        visit_rate=along_types("sessions")[kind] / 30 * draws.gamma(draws.uniform(key, "visits"), 1.5)
        * settings.sessions,
        linger=(draws.exponential(draws.uniform(key, "linger"), np.where(is_prospect, 75.0, 20.0)) * DAY).astype(int),
        coupons=_about(key, "coupons", along_types("coupons")[kind]),
        returns=_about(key, "returns", along_types("returns")[kind]),
        complaints=_about(key, "complaints", along_types("complaints")[kind]),
        brand=np.where(
            draws.uniform(key, "brandless") < _BRANDLESS,
            -1,
            (draws.uniform(key, "brand") * len(BRANDS)).astype(np.int64),
        ),
        taste_sums=_shares(key, kind, "taste"),
        channel_sums=_shares(key, kind, "order_channels"),
        media_sums=_shares(key, kind, "media"),
        content_sums=_shares(key, kind, "content"),
    )  # fmt: skip


def _signed_up_share(share: float) -> float:
    """Of the customers of the span, how many have signed up after a share of it; goes on beyond 1."""
    return (share + (_GROWTH - 1) / 2 * share**2) / ((_GROWTH + 1) / 2)


def _signed_up(settings: Settings, key: np.ndarray, number: np.ndarray) -> np.ndarray:
    made = (number + draws.uniform(key, "sign-up")) / settings.customers * (_GROWTH + 1) / 2
    bend = (_GROWTH - 1) / 2
    share = (np.sqrt(1 + 4 * bend * made) - 1) / (2 * bend)
    return start_of(settings.first_day) + (share * settings.span_days * DAY).astype(np.int64)


def _rate(key: np.ndarray, kind: np.ndarray) -> np.ndarray:
    shape = along_types("rate_shape")[kind]
    rate = special.gammaincinv(shape, draws.uniform(key, "rate")) * along_types("orders")[kind] / shape / 30
    return rate.clip(1e-6, _MOST_RATE)


def _drop_out(key: np.ndarray, kind: np.ndarray) -> np.ndarray:
    first, second = along_types("drop_out")[kind].T
    return special.betaincinv(first, second, draws.uniform(key, "drop-out")).clip(1e-4, 0.9999)


def _value_mean(key: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """One customer's order values are Gamma of rate v; v is Gamma over customers, so the means are inverse Gamma."""
    rate = special.gammaincinv(MEAN_VALUE_SHAPE, draws.uniform(key, "order value"))
    return along_types("spend")[kind] * (MEAN_VALUE_SHAPE - 1) / rate.clip(0.05, None)


def _about(key: np.ndarray, purpose: str, mean: np.ndarray) -> np.ndarray:
    """Everyone's own share around the mean of the type."""
    return (mean * draws.gamma(draws.uniform(key, purpose), 3.0)).clip(0, 0.9)


def _shares(key: np.ndarray, kind: np.ndarray, attribute: str) -> np.ndarray:
    sums = np.empty((len(key), len(getattr(TYPES[0], attribute))), np.float32)
    for code, one in enumerate(TYPES):
        members = np.flatnonzero(kind == code)
        sums[members] = draws.dirichlet_cumulated(key[members], attribute, getattr(one, attribute))
    return sums
