"""
What was to be expected of each customer on any day of a simulated shop: the bar for every prediction.

A living customer of rate r and drop-out p, over a horizon in which the integral of the season is L, orders at least
once with probability 1 - exp(-rL); the number of orders is the smaller of a Poisson number of mean rL and a geometric
one, and its mean (1 - exp(-prL)) / p. Given the history too, but not whether the customer is alive: after x > 0
orders, the last of them an exposure of S ago, P(alive) = (1 - p) exp(-rS) / (p + (1 - p) exp(-rS)): the BG/NBD model
(Fader, Hardie & Lee 2005, appendix) with the customer's own r and p known instead of their distributions. No model that
sees the shop only can do better, on average, than these.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from local.simulator import practice_shop
from local.simulator.clock import DAY, Calendar, start_of
from local.simulator.latent_types import MULTIPLIERS, ORDER_VALUE_SHAPE, STRATEGIES, TYPE_NAMES
from segmentation import warehouse

_QUERY = """
select
    t.customer_id,
    t.latent_type,
    t.is_prospect,
    t.orders_a_day,
    t.drop_out_probability,
    t.order_value_mean,
    t.cancelled_share,
    t.welcome_order_us,
    t.lost_us,
    coalesce(o.last_us, 0) as last_us
from truth.customers as t
inner join shop.customers as c on t.customer_id = c.customer_id
left join (
    select
        customer_id,
        (extract(epoch from max(ordered_at)) * 1000000)::bigint as last_us
    from shop.orders
    where ordered_at < {day}
    group by customer_id
) as o on t.customer_id = o.customer_id
where t.signed_up_at < {day}
order by t.customer_no
"""
_READ = pa.schema(
    [
        ("customer_id", pa.string()),
        ("latent_type", pa.string()),
        ("is_prospect", pa.bool_()),
        ("orders_a_day", pa.float64()),
        ("drop_out_probability", pa.float64()),
        ("order_value_mean", pa.float64()),
        ("cancelled_share", pa.float64()),
        ("welcome_order_us", pa.int64()),
        ("lost_us", pa.int64()),
        ("last_us", pa.int64()),
    ]
)


def customers_on(dsn: str, day: date, horizon_days: int = 90, strategy_id: str | None = None) -> pa.Table:
    """The truth about every customer who had signed up before `day` (a midnight, UTC) and has not been deleted since.

    Columns: `customer_id`, `latent_type`; `is_alive`: whether another order will ever come, other things being equal;
    `alive_probability`, given the customer's parameters and the orders before the day (0 for prospects). For the
    `horizon_days` from that midnight: `purchase_probability`, `expected_orders` (cancelled ones included) and
    `expected_spend` (without them; returns not deducted), given `is_alive`; and the same as `foreseeable_...`, given
    `alive_probability` instead. Past and coming campaigns are left out of account.

    :param dsn: of the role that owns schema `truth`.
    :param strategy_id: as if everyone were contacted at that midnight, with a window as long as the horizon; the
        difference to the call without it is the true uplift.
    :raises ValueError: there is no simulated shop, the day is not one of its days or the day after the last, or there
        is no such strategy.
    """
    known = _Known(dsn, day, horizon_days)
    p, mean = known["drop_out_probability"], known.mean * _multipliers(strategy_id)[known.kind]
    orders, purchase = -np.expm1(-p * mean) / p, -np.expm1(-mean)
    # Those who are yet to make the order that comes with signing up.
    is_new = (known["welcome_order_us"] >= known.start) & (known["welcome_order_us"] < known.end)
    orders, purchase = np.where(is_new, 1 + (1 - p) * orders, orders), np.where(is_new, 1.0, purchase)
    spend = orders * known["order_value_mean"] * (1 - known["cancelled_share"])
    columns = {"customer_id": known.table["customer_id"], "latent_type": known.table["latent_type"]}
    columns |= {"is_alive": known.is_alive, "alive_probability": known.alive_probability()}
    for alive, names in (
        (known.is_alive, ("purchase_probability", "expected_orders", "expected_spend")),
        (columns["alive_probability"], ("foreseeable_purchase_probability", "foreseeable_orders", "foreseeable_spend")),
    ):
        columns |= {name: alive * value for name, value in zip(names, (purchase, orders, spend), strict=True)}
    return pa.table(columns)


def play(dsn: str, day: date, strategies: np.ndarray, horizon_days: int, seed: int) -> pa.Table:
    """What comes of contacting customers on a day: one draw of the days to come, of which the shop learns nothing.

    :param strategies: (n,) a place in STRATEGIES for each row of `customers_on(dsn, day)`, -1 for no contact.
    :returns: `customer_id`, `orders` (cancelled ones left out) and `spend`, in the order of `customers_on`.
    :raises ValueError: as `customers_on`.
    """
    known = _Known(dsn, day, horizon_days)
    factor = np.vstack([MULTIPLIERS, np.ones(len(TYPE_NAMES))])[strategies, known.kind]
    rng = np.random.default_rng(seed)
    wished = rng.poisson(known.mean * factor)
    made = np.minimum(wished, rng.geometric(known["drop_out_probability"])) * known.is_alive
    kept = rng.binomial(made, 1 - known["cancelled_share"])
    values = rng.gamma(ORDER_VALUE_SHAPE * kept.clip(1), 1 / ORDER_VALUE_SHAPE) * (kept > 0)
    return pa.table(
        {"customer_id": known.table["customer_id"], "orders": kept, "spend": values * known["order_value_mean"]}
    )


class _Known:
    """What is known of n customers on a day: the columns of _READ as (n,), and what follows for a horizon."""

    def __init__(self, dsn: str, day: date, horizon_days: int) -> None:
        shop, self.table = _read(dsn, day)
        self.start, self.end = start_of(day), start_of(day) + horizon_days * DAY
        self.calendar = Calendar(shop.settings, self.end)
        self.kind = pc.index_in(self.table["latent_type"], pa.array(TYPE_NAMES)).to_numpy().astype(np.int64)
        exposure = self.calendar.exposure(self.kind, self.end) - self.calendar.exposure(self.kind, self.start)
        self.mean = self["orders_a_day"] * exposure
        self.is_alive = ~self["is_prospect"] & (self["lost_us"] >= self.start)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.table[name].to_numpy()

    def alive_probability(self) -> np.ndarray:
        p, last = self["drop_out_probability"], self["last_us"]
        now, then = (self.calendar.exposure(self.kind, t) for t in (self.start, np.maximum(last, self.calendar.start)))
        stayed = (1 - p) * np.exp(-self["orders_a_day"] * (now - then))
        return np.where(self["is_prospect"], 0.0, np.where(last > 0, stayed / (p + stayed), 1.0))


def _read(dsn: str, day: date) -> tuple[practice_shop.PracticeShop, pa.Table]:
    with warehouse.connect(dsn) as connection:
        shop = practice_shop.find(connection)
    if shop is None:
        raise ValueError("there is no simulated shop, so there is no truth to tell")
    if not shop.settings.first_day <= day or start_of(day) > shop.until:
        raise ValueError(f"the simulated shop goes from {shop.settings.first_day} to {shop.last_day}, without {day}")
    query = _QUERY.format(day=f"timestamptz '{day.isoformat()} 00:00:00+00'")
    return shop, pa.Table.from_batches(warehouse.stream(dsn, query, _READ), _READ)


def _multipliers(strategy_id: str | None) -> np.ndarray:
    if strategy_id is None:
        return np.ones(len(TYPE_NAMES))
    names = [strategy.strategy_id for strategy in STRATEGIES]
    if strategy_id not in names:
        raise ValueError(f"no strategy {strategy_id!r} in the simulated shop: it has {', '.join(names)}")
    return MULTIPLIERS[names.index(strategy_id)]
