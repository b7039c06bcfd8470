"""
Who gets an offer, by gender, age band and income band.

Looked at is the share of each group's customers for whom a strategy was chosen, the held-out ones included: they are
drawn by lot. The gap that counts is the one that is there with 95% confidence, for all pairs of groups at once, as
`fairness` has it: in small groups chance makes gaps, and stops nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
from scipy.stats import norm

from segmentation import engine, fairness, tables

_ATTRIBUTES = ("gender", "age_years", "income_band")


@dataclass(frozen=True)
class Audit:
    """What was found.

    :param shares: attribute -> group -> share with an offer, 0..1, those of whom it is not known under `unknown`.
    :param gap: the largest difference between two groups that chance does not explain, 0..1.
    :param told: where it is, in words.
    """

    shares: dict[str, dict[str, float]]
    gap: float
    told: str


def of_choices(session: engine.Session, features: Collection[str]) -> Audit:
    """Looks at `strategy.choices`.

    :param features: the columns that `feat.customer_daily` has; attributes that it has not are not looked at.
    """
    known = [name for name in _ATTRIBUTES if name in features]
    if not known:
        return Audit({}, 0.0, "the shop knows neither gender nor age nor income")
    names = ", ".join(f"e.{engine.quoted(name)}" for name in known)
    counted = f"""
        select {names}, count(*) as customers, count(c.number) as offers
        from {tables.STRATEGY_CHOICES} as c
        left join {tables.CUSTOMER_FEATURES} as e on c.customer_id = e.customer_id
        group by {names}
    """  # noqa: S608 - names of this module
    return judge(engine.table_of(session.batches(counted)).to_pandas())


def judge(counted: pd.DataFrame) -> Audit:
    """The largest gap of a table of counts.

    :param counted: columns `customers` and `offers`, and `gender`, `age_years`, `income_band` as far as they are known;
        any number of rows per group.
    """
    groups = fairness.attributes(counted)
    sums = {name: counted.groupby(groups[name])[["offers", "customers"]].sum() for name in groups}
    shares = {name: (each["offers"] / each["customers"]).round(4).to_dict() for name, each in sums.items()}
    pairs = [
        (name, one, two)
        for name, each in sums.items()
        for one, two in combinations([group for group in each.index if group != fairness.UNKNOWN], 2)
    ]
    if not pairs:
        return Audit(shares, 0.0, "there are no two groups to compare")
    z = norm.ppf(1 - (1 - fairness.CONFIDENCE) / (2 * len(pairs)))

    def share(name: str, group: str) -> tuple[float, int]:
        offers, customers = sums[name].loc[group]
        return float(offers / customers), int(customers)

    gaps = [fairness.sure_difference(share(name, one), share(name, two), z) for name, one, two in pairs]
    gap = max(gaps)
    name, *both = pairs[gaps.index(gap)]
    told = " and ".join(f"{share(name, group)[0]:.1%} of {share(name, group)[1]:,} {group}" for group in both)
    return Audit(shares, gap, f"{name}: {told}")
