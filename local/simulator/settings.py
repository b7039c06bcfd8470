"""What a simulated shop is made from, and how it is written down."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from datetime import date, timedelta

# Raise it when the same settings give another shop, so that a shop of an older version is not grown by this one.
VERSION = 1
BLOCK_DAYS = 28
LAST_DAY = date(2026, 6, 30)
DAYS = 546
MOST_DAYS = 20_000

_SHARES = (
    "contact_share",
    "control_share",
    "late_orders_share",
    "late_sessions_share",
    "deleted_orders_share",
    "deleted_customers_a_year",
)


@dataclass(frozen=True)
class Settings:
    """One simulated shop: the same settings give the same rows for the same day, however it was reached.

    `customers` have signed up `span_days` days after `first_day`; more come as the shop grows older. `products` are on
    the shelves on the first day; every four weeks one in a hundred and fifty of that number is added.
    `purchases` and `sessions` multiply everyone's rates. Of the customers who can be reached, `contact_share` is drawn
    for one of the `campaigns_per_block` campaigns of each four weeks; `control_share` of these is held out.

    Dirt: `late_orders_share` and `late_sessions_share` arrive one to three days late; `deleted_orders_share` of the
    orders and `deleted_customers_a_year` of the customers vanish.

    `chunk_customers` bounds the memory; it changes no row, and is no part of the shop's identity.

    :raises ValueError: names the setting that is out of its range.
    """

    seed: int = 20_260_630
    customers: int = 2_000
    first_day: date = LAST_DAY - timedelta(days=DAYS - 1)
    span_days: int = DAYS
    products: int = 600
    purchases: float = 1.0
    sessions: float = 1.0
    campaigns_per_block: int = 1
    contact_share: float = 0.3
    control_share: float = 0.25
    late_orders_share: float = 0.01
    late_sessions_share: float = 0.005
    deleted_orders_share: float = 0.0005
    deleted_customers_a_year: float = 0.003
    chunk_customers: int = field(default=200_000, compare=False)

    def __post_init__(self) -> None:
        checks = {
            "seed": 0 <= self.seed < 2**63,
            "customers": 1 <= self.customers <= 50_000_000,
            "first_day": date(1971, 1, 1) <= self.first_day <= date(2100, 1, 1),
            "span_days": 1 <= self.span_days <= MOST_DAYS,
            "products": 50 <= self.products <= 100_000,
            "purchases": 0 <= self.purchases <= 5,
            "sessions": 0 <= self.sessions <= 20,
            "campaigns_per_block": 0 <= self.campaigns_per_block <= 99,
            "chunk_customers": self.chunk_customers >= 1,
        }
        checks |= {name: 0 <= getattr(self, name) <= 1 for name in _SHARES}
        for name, is_right in checks.items():
            if not is_right:
                raise ValueError(f"a simulated shop cannot have {name} = {getattr(self, name)!r}")

    @classmethod
    def until(cls, last_day: date, days: int, **others) -> "Settings":
        """The settings of a shop whose first `days` days end with `last_day`, with all its customers by then.

        :raises ValueError: there are no days, or too many.
        """
        check_days(days)
        return cls(first_day=last_day - timedelta(days=days - 1), span_days=days, **others)

    def as_json(self) -> str:
        """All that tells one shop from another, as a JSON object."""
        values = asdict(self) | {"first_day": self.first_day.isoformat(), "version": VERSION}
        del values["chunk_customers"]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The settings that `as_json` wrote.

        :raises ValueError: another version of the simulator wrote them.
        """
        values = json.loads(text)
        if values.pop("version", None) != VERSION or not values.keys() <= {item.name for item in fields(cls)}:
            raise ValueError("another version of the simulator made this shop: make a new one")
        return cls(**values | {"first_day": date.fromisoformat(values["first_day"])})

    def fingerprint(self) -> str:
        """Stands for the sha256 of a file: two shops with the same one are the same, if not equally old."""
        return hashlib.sha256(f"simulated shop: {self.as_json()}".encode()).hexdigest()


def check_days(days: int) -> None:
    """Refuses what no shop can live or grow by.

    :raises ValueError: `days` is below 1, or above MOST_DAYS.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"a simulated shop grows by 1 to {MOST_DAYS:,} days, not by {days:,}")
