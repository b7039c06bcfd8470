"""Small training examples for tests: cutoffs of a shop in which recency and frequency tell what happens next."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa

from segmentation import examples, lake, preparation, settings, tables

DAY = dt.date(2026, 1, 31)
AGES = (0, 90, 180, 270, 360)  # of the cutoffs; 0 is the training day itself, which has no outcome yet


def cutoff(age: int) -> dt.date:
    return DAY - dt.timedelta(days=age)


def frame(ages=AGES, customers: int = 400, seed: int = 0) -> pd.DataFrame:
    """Rows of `feat.training_examples`: four in five customers have bought, some things of some are not known."""
    rng = np.random.default_rng(seed)
    return pd.concat([_of_cutoff(age, customers, rng) for age in ages], ignore_index=True)


def _of_cutoff(age: int, customers: int, rng: np.random.Generator) -> pd.DataFrame:
    is_buyer = rng.random(customers) < 0.8
    orders = np.where(is_buyer, 1 + rng.poisson(3, customers), 0)
    last = np.where(is_buyer, rng.exponential(60, customers), np.nan)
    first = last + np.where(orders > 1, 60 * orders, 0)
    spent = orders * rng.gamma(4, 10, customers)
    liveliness = np.where(is_buyer, (60 - np.nan_to_num(last)) / 25 + (orders - 4) / 4, rng.normal(-1, 1, customers))
    buys = rng.random(customers) < 1 / (1 + np.exp(-liveliness))
    amount = np.where(buys, rng.gamma(2, 10, customers) * (1 + spent / 100), 0.0)
    part = pd.DataFrame({"customer_id": [f"c{n:04}" for n in range(customers)], "as_of_date": cutoff(age)})
    part["last_order_age_days"], part["first_order_age_days"], part["orders_count"] = last, first, orders
    part["spend_total"] = part["spend_365d"] = spent
    part["expected_order_days_90d"] = np.where(is_buyer, orders * np.exp(-np.nan_to_num(last) / 90) / 3, np.nan)
    part["expected_spend_90d"] = part["expected_order_days_90d"] * 40
    part["noise"] = rng.normal(0, 1, customers)
    part["email_consent"] = pd.array(np.where(rng.random(customers) < 0.1, None, buys ^ (rng.random(customers) < 0.4)))
    part["channel"] = np.where(buys ^ (rng.random(customers) < 0.35), "app", rng.choice(["web", "store"], customers))
    part["gender"] = np.where(rng.random(customers) < 0.1, None, rng.choice(["f", "m"], customers))
    part["income_band"] = rng.choice(["low", "middle", "high"], customers)
    part["age_years"] = rng.integers(18, 45, customers).astype(float)
    return part.assign(**_outcomes(age, is_buyer, first, buys, amount, rng))


def _outcomes(age, is_buyer, first, buys, amount, rng) -> dict:
    near = buys & (rng.random(len(buys)) < 0.8)
    is_new = ~is_buyer | (np.nan_to_num(first) <= 30)
    best = amount >= np.quantile(amount[is_buyer], 0.8)
    far_known, near_known = age >= 90, age >= 30
    return {
        "is_purchase": near if near_known else None,
        "is_churn": np.where(is_buyer, ~buys, None) if far_known else None,
        "is_high_value": np.where(is_buyer, best, None) if far_known else None,
        "is_newcomer_purchase": np.where(is_new, buys, None) if far_known else None,
        "is_service_case": buys & (rng.random(len(buys)) < 0.5) if far_known else None,
        "spend_near": np.where(near, amount, 0) if near_known else np.nan,
        "spend_far": amount if far_known else np.nan,
    }


def write(stores: settings.Stores, rows: pd.DataFrame, day: dt.date = DAY) -> None:
    """Writes the examples of a training day, outcomes and consent as true, false or null."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    for place, name in enumerate(table.column_names):
        if name in ("email_consent", *tables.OUTCOMES) and not name.startswith("spend"):
            table = table.set_column(place, name, table[name].cast(pa.bool_()))
    lake.write(stores.lake, tables.TRAINING_EXAMPLES, day, table.to_batches(), table.schema)


def examples_of(rows: pd.DataFrame, target: tables.Target) -> examples.Examples:
    """What `examples.read` makes of them, without a lake; for targets that are known of everyone or of buyers."""
    rows = rows[rows[target.label].notna()]
    indexed = rows.set_index(examples.KEY)
    features = preparation.inputs(indexed, [name for name in indexed.columns if name not in tables.NOT_FEATURES])
    outcomes = rows[target.label].to_numpy("float64" if target.is_amount else bool)
    return examples.Examples(features, outcomes, rows[target.spend].to_numpy("float64"))
