"""
The script that people write before they have anything else, measured on the same shop by `make bench`.

`pandas.read_sql` of customers, orders, tickets and the events of half a year; RFM and a dozen of counts by groupby;
StandardScaler and K-Means for segments; a random forest for churn, learnt from the features of 90 days before; and
`to_sql`. It is kind to itself: only the columns that it needs, no order items and no campaigns, and of each customer it
tells a segment and a chance to leave: no reasons, no strategies, no recommendations, no checks, no history.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pandas as pd

SEGMENTS, TREES, HORIZON_DAYS, EVENT_DAYS, SEED = 5, 100, 90, 180, 1


def main(dsn: str, day: dt.date) -> dict[str, Any]:
    """Segments and churn of everyone as of a day, into table `public.segments_by_script`.

    :returns: `rows`, and `steps`: seconds of each step, by name.
    """
    import sqlalchemy
    from sklearn.cluster import KMeans
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import StandardScaler

    steps: dict[str, float] = {}
    engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg2://"))
    as_of = pd.Timestamp(day, tz="UTC")

    begun = time.perf_counter()
    customers = pd.read_sql(
        "select customer_id, signed_up_at, birth_year, email_consent from shop.customers where profiling_consent",
        engine,
    )
    orders = pd.read_sql(
        "select customer_id, ordered_at, total_amount, discount_amount from shop.orders where status <> 'cancelled'",
        engine, coerce_float=True,
    )  # fmt: skip
    tickets = pd.read_sql("select customer_id, opened_at from shop.support_tickets", engine)
    events = pd.read_sql(
        sqlalchemy.text("select customer_id, occurred_at, event_type from shop.events where occurred_at >= :since"),
        engine, params={"since": as_of - pd.Timedelta(days=EVENT_DAYS)},
    )  # fmt: skip
    begun = _step(steps, "read_sql", begun)

    now = _features(customers, orders, tickets, events, as_of)
    begun = _step(steps, "features", begun)
    scaled = StandardScaler().fit_transform(now)
    segment = KMeans(SEGMENTS, n_init=10, random_state=SEED).fit_predict(scaled)
    begun = _step(steps, "StandardScaler and K-Means", begun)

    cutoff = as_of - pd.Timedelta(days=HORIZON_DAYS)
    then = _features(customers, orders, tickets, events, cutoff)
    later = orders.loc[(orders["ordered_at"] >= cutoff) & (orders["ordered_at"] < as_of), "customer_id"].unique()
    was_active = then["orders"] > 0
    is_churn = ~then.index.isin(later)
    forest = RandomForestClassifier(TREES, n_jobs=-1, random_state=SEED, min_samples_leaf=5)
    forest.fit(then[was_active], is_churn[was_active])
    begun = _step(steps, "learning the random forest", begun)
    churn = forest.predict_proba(now)[:, 1]
    begun = _step(steps, "random forest's predict", begun)

    result = pd.DataFrame({"customer_id": now.index, "as_of_date": day, "segment": segment, "churn": churn})
    result = result.join(now[["recency", "orders", "spend"]].reset_index(drop=True))
    result.to_sql("segments_by_script", engine, schema="public", if_exists="replace", index=False, chunksize=10_000)
    _step(steps, "to_sql", begun)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("drop table public.segments_by_script"))
    return {"rows": len(result), "steps": steps}


def _features(customers, orders, tickets, events, as_of: pd.Timestamp) -> pd.DataFrame:
    """A row per customer who had signed up by then: numbers, nothing missing."""
    there = customers[customers["signed_up_at"] < as_of].set_index("customer_id")
    orders, tickets, events = (
        frame[frame[at] < as_of]
        for frame, at in ((orders, "ordered_at"), (tickets, "opened_at"), (events, "occurred_at"))
    )
    found = pd.DataFrame(index=there.index)
    found["tenure"] = (as_of - there["signed_up_at"]).dt.days
    found["age"] = as_of.year - there["birth_year"].astype(float)
    found["email_consent"] = there["email_consent"].astype(float)
    by_customer = orders.groupby("customer_id")
    found["recency"] = (as_of - by_customer["ordered_at"].max()).dt.days
    found["orders"] = by_customer.size()
    found["spend"] = by_customer["total_amount"].sum()
    found["discounts"] = by_customer["discount_amount"].sum()
    for days in (30, 90):
        late = orders[orders["ordered_at"] >= as_of - pd.Timedelta(days=days)].groupby("customer_id")
        found[f"orders_{days}"] = late.size()
        found[f"spend_{days}"] = late["total_amount"].sum()
    found["tickets"] = tickets.groupby("customer_id").size()
    lately = events[events["occurred_at"] >= as_of - pd.Timedelta(days=90)]
    for kind in ("product_view", "add_to_cart", "search"):
        found[f"{kind}s"] = lately[lately["event_type"] == kind].groupby("customer_id").size()
    return found.fillna({"recency": 9999, "age": found["age"].median()}).fillna(0.0)


def _step(steps: dict[str, float], name: str, begun: float) -> float:
    now = time.perf_counter()
    steps[name] = now - begun
    return now
