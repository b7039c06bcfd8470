"""
What each contact of a simulated shop's campaigns was to bring, in both arms: the bar for every measured effect.

As `expected` has it: over a window of exposure L a living customer of rate r and drop-out p orders (1 - exp(-prL)) / p
times on average. An order is cancelled with probability c, so the first that is not comes, if at all, at the rate
r(1 - c(1 - p)): the chance of at least one is (1 - c) / (1 - c(1 - p)) * (1 - exp(-rL(1 - c(1 - p)))). `truth
.campaign_effects` counts cancelled orders as conversions, and tells of types; this tells of the contacts themselves.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from local.simulator import practice_shop
from local.simulator.clock import Calendar
from local.simulator.latent_types import MULTIPLIERS, STRATEGIES, TYPE_NAMES
from segmentation import warehouse

_US = "(extract(epoch from {}) * 1000000)::bigint"
_QUERY = f"""
    select c.campaign_id, c.customer_id, c.arm, k.strategy_id, t.latent_type, t.orders_a_day, t.drop_out_probability,
        t.order_value_mean, t.cancelled_share, t.is_prospect, t.lost_us, e.rate_multiplier,
        {_US.format("c.contacted_at")} as contacted_us, {_US.format("k.ends_at")} as ends_us
    from shop.campaign_contacts as c
    inner join shop.campaigns as k on c.campaign_id = k.campaign_id
    inner join truth.customers as t on c.customer_id = t.customer_id
    left join truth.campaign_effects as e on c.campaign_id = e.campaign_id and t.latent_type = e.latent_type
    order by c.campaign_id, c.customer_id
"""  # noqa: S608 - constants
_READ = pa.schema(
    [
        *((name, pa.string()) for name in ("campaign_id", "customer_id", "arm", "strategy_id", "latent_type")),
        *((name, pa.float64()) for name in ("orders_a_day", "drop_out_probability", "order_value_mean",
                                            "cancelled_share", "rate_multiplier")),
        ("is_prospect", pa.bool_()),
        *((name, pa.int64()) for name in ("lost_us", "contacted_us", "ends_us")),
    ]
)  # fmt: skip


def of_contacts(dsn: str) -> pd.DataFrame:
    """What was to be expected of every contact: a row each, by campaign and customer.

    :param dsn: of the role that owns schema `truth`.
    :returns: `campaign_id`, `customer_id`, `arm`, `strategy_id`, `latent_type`; `conversion` and `revenue` expected
        until the campaign's end without treatment, and `conversion_more` and `revenue_more`, what treating adds. Who is
        alive is taken as it truly was at the contact; cancelled orders are none.
    :raises ValueError: there is no simulated shop; a campaign is not one of it, nor of a strategy that it knows.
    """
    with warehouse.connect(dsn) as connection:
        shop = practice_shop.find(connection)
    if shop is None:
        raise ValueError("there is no simulated shop whose campaigns could be known")
    found = pa.Table.from_batches(warehouse.stream(dsn, _QUERY, _READ), _READ).to_pandas()
    kind = found["latent_type"].map({name: place for place, name in enumerate(TYPE_NAMES)}).to_numpy()
    strategy = found["strategy_id"].map({one.strategy_id: place for place, one in enumerate(STRATEGIES)})
    # a campaign that somebody added to the shop, such as a copy of one, changes what its strategy does
    factor = found["rate_multiplier"].to_numpy(float, copy=True)
    is_added = np.isnan(factor)
    if strategy[is_added].isna().any():
        name = found.loc[is_added & strategy.isna(), "strategy_id"].iloc[0]
        raise ValueError(f"nothing in the simulated shop tells what strategy {name!r} truly changes")
    factor[is_added] = MULTIPLIERS[strategy[is_added].to_numpy(int), kind[is_added]]
    calendar = Calendar(shop.settings, shop.until)
    until, since = (calendar.exposure(kind, found[name].to_numpy()) for name in ("ends_us", "contacted_us"))
    mean = found["orders_a_day"].to_numpy() * (until - since)
    told = found[["campaign_id", "customer_id", "arm", "strategy_id", "latent_type"]].copy()
    plain, treated = (_expected(found, mean * each) for each in (1.0, factor))
    for name in plain:
        told[name], told[f"{name}_more"] = plain[name], treated[name] - plain[name]
    return told


def _expected(contacts: pd.DataFrame, mean: np.ndarray) -> dict[str, np.ndarray]:
    p, c = contacts["drop_out_probability"].to_numpy(), contacts["cancelled_share"].to_numpy()
    is_alive = (~contacts["is_prospect"] & (contacts["lost_us"] > contacts["contacted_us"])).to_numpy()
    ending = 1 - c * (1 - p)
    orders = -np.expm1(-p * mean) / p
    return {
        "conversion": is_alive * (1 - c) / ending * -np.expm1(-ending * mean),
        "revenue": is_alive * orders * (1 - c) * contacts["order_value_mean"].to_numpy(),
    }
