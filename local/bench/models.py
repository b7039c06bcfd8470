"""
Whether the champions keep up with simple methods: `python -m local.bench.models --data <file>`.

On a public log (or, without `--data`, a simulated shop), in one run: as of some past days the real stages read the
shop, build features and train; then what the champions said is compared with what customers did in the days after,
beside recency, quintiles of recency, frequency and monetary value summed, BG/NBD with Gamma-Gamma, and untuned gradient
boosting on the same examples. AUC of buying again, and the share of the horizon's spend that the best tenth brought;
the champions' tenth is ranked by expected spend as it is published, which is the purchase model's where none is trained
yet. With `--customers 700 --shops 5` the shop is cut to so many, drawn anew for each, and the means are shown, of
the shops in which the champion could be trained.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(width=150, highlight=False)
_HORIZONS = {"purchase_30d": 30, "churn_90d": 90}
_KEPT = """
    delete from shop.{table} where customer_id not in (
        select customer_id from shop.customers order by md5(customer_id || :seed) limit :customers
    )
"""


def main(data: str | None, ages: list[int], customers: int | None, shops: int, folder: str | None) -> None:
    rows: dict[str, list[dict[str, tuple[float, float]]]] = defaultdict(list)
    for seed in range(shops if customers else 1):
        with tempfile.TemporaryDirectory(dir=folder) as here:
            for name, found in _shop(Path(here), data, ages, customers, seed).items():
                rows[name].append(found)
    _show(rows, f"{data or 'simulated'}{f', {shops} shops of {customers} customers' if customers else ''}")


def _shop(here: Path, data: str | None, ages: list[int], customers: int | None, seed: int) -> dict[str, Any]:
    from local import load
    from local.postgres import Postgres
    from segmentation.settings import Stores

    os.chdir(here)
    server = Postgres(here / "postgres", durable=False)
    server.start()
    try:
        dsn = server.url()
        last = load.load(data, dsn).day
        if customers:
            cut(dsn, customers, seed)
        stores = Stores(dsn, dsn, str(here / "lake"), f"sqlite:///{here / 'mlflow.db'}")
        days = sorted(last - dt.timedelta(days=age) for age in ages)
        for day in days:
            prepare(day, stores)
        accept(last, stores)
        found = {}
        for day in days:
            for model, horizon in _HORIZONS.items():
                if day + dt.timedelta(days=horizon) <= last:
                    found[f"{day}, {horizon} d"] = _compared(model, horizon, day, last, stores)
        return found
    finally:
        server.stop()


def cut(dsn: str, customers: int, seed: int) -> None:
    """Leaves so many customers in the shop, drawn by the seed."""
    from segmentation import warehouse

    with warehouse.connect(dsn) as connection:
        warehouse.execute(
            connection,
            "delete from shop.order_items where order_id in (select order_id from shop.orders "
            "where customer_id not in (select customer_id from shop.customers "
            "order by md5(customer_id || :seed) limit :customers))",
            {"seed": f"{seed}", "customers": customers},
        )
        for table in ("events", "support_tickets", "campaign_contacts", "orders", "customers"):
            statement = _KEPT.format(table=table)
            warehouse.execute(connection, statement, {"seed": f"{seed}", "customers": customers})


def accept(day: dt.date, stores) -> None:
    from segmentation import aggregates, extract, tables, validate

    for entity in tables.ENTITIES:
        extract.extract_entity(entity, day, stores)
    validate.accept_raw(day, stores)
    aggregates.build_aggregates(day, stores)


def prepare(day: dt.date, stores) -> None:
    from segmentation import features

    accept(day, stores)
    features.build_features(day, stores)
    features.build_training_examples(day, stores)


def _compared(model: str, horizon: int, day: dt.date, last: dt.date, stores) -> dict[str, tuple[float, float]]:
    """method -> (AUC, share of the spend in its best tenth)."""
    import numpy as np

    from segmentation import classify, examples, lake, preparation, settings, tables
    from segmentation.registry import Registry

    target = tables.TARGETS[model]
    features = lake.read(stores.lake, tables.CUSTOMER_FEATURES, day).to_pandas()
    buyers = features[features["orders_count"] > 0].set_index(examples.KEY)
    bought, spend = afterwards(buyers, day, horizon, last, stores)
    registry, told = Registry(stores.registry, stores.marketing), {}
    for name in (model, tables.SPEND.model):
        trained = classify.train_target(name, day, stores)
        if "version" in trained:
            ensemble, metadata = registry.load(registry.version(name, trained["version"]))
            told[name] = classify.predict(ensemble, preparation.inputs(buyers, metadata["columns"]))
            console.print(f"{day} {name}: {metadata['recipe']['chosen']}")
        else:
            console.print(f"{day} {name}: {trained['skipped']}")
            if name == tables.SPEND.model and buyers["expected_spend_90d"].notna().any():
                told[name] = buyers["expected_spend_90d"].fillna(0)
    known = examples.read(target, day, stores, settings.load().training)
    told |= _simple(buyers, known)
    if model in told:
        told["champion"] = -told[model] if target is tables.CHURN else told[model]
    found = {}
    for method in ("recency", "RFM", "BG/NBD + Gamma-Gamma", "gradient boosting", "champion"):
        if method in told:
            by_spend = told.get({"BG/NBD + Gamma-Gamma": "spend", "champion": tables.SPEND.model}.get(method, method))
            tenth = told[method] if by_spend is None else by_spend
            found[method] = _measured(bought, spend, np.asarray(told[method], float), np.asarray(tenth, float))
    return found


def _simple(buyers, known) -> dict[str, Any]:
    import numpy as np
    from scipy.stats import rankdata
    from sklearn.ensemble import HistGradientBoostingClassifier

    from segmentation import preparation

    def fifths(values):
        return np.ceil(5 * rankdata(values) / len(values))

    numbers = known.features.select_dtypes("number")
    numbers = numbers.loc[:, numbers.nunique() > 1]
    told = {
        "recency": -buyers["last_order_age_days"],
        "RFM": fifths(-buyers["last_order_age_days"])
        + fifths(buyers["orders_count"])
        + fifths(buyers["spend_total"].astype("float64")),
    }
    if buyers["expected_spend_90d"].notna().any():
        told["BG/NBD + Gamma-Gamma"] = buyers["expected_order_days_90d"].fillna(0)
        told["spend"] = buyers["expected_spend_90d"].fillna(0)
    if len(numbers) and len(set(known.outcomes)) == 2:
        boosted = HistGradientBoostingClassifier().fit(numbers, known.outcomes)
        sign = -1 if known.spend[known.outcomes].sum() == 0 else 1
        inputs = preparation.inputs(buyers, list(numbers.columns))
        told["gradient boosting"] = sign * boosted.predict_proba(inputs)[:, 1]
    return told


def afterwards(buyers, day: dt.date, horizon: int, last: dt.date, stores):
    """Whether each of the buyers ordered within the horizon, and what that came to."""
    from segmentation import engine, history, tables

    until = day + dt.timedelta(days=horizon)
    with engine.session(stores.lake) as session:
        session.put(tables.ORDER_DAYS.table, history.aggregated(stores, tables.ORDER_DAYS, last, last))
        query = (
            "select customer_id, sum(orders) as orders, cast(sum(amount) as double) as spend from agg.order_days "
            "where ordered_on >= :day and ordered_on < :until group by customer_id"
        )
        found = engine.table_of(session.batches(query, {"day": day, "until": until})).to_pandas()
    ids = buyers.index.get_level_values("customer_id")
    found = found.set_index("customer_id").reindex(ids).fillna(0)
    return (found["orders"] > 0).to_numpy(), found["spend"].to_numpy(dtype="float64")


def _measured(bought, spend, score, by_spend) -> tuple[float, float]:
    import numpy as np

    from segmentation import judge

    ranks = (np.argsort(np.argsort(by_spend, kind="stable")) + 0.5) / len(by_spend)
    return (
        judge.judge(bought, (score - score.min()) / max(np.ptp(score), 1e-12))["auc"],
        judge.judge(bought, ranks, spend)["spend_share_top_tenth"],
    )


def means_of(shops: list[dict[str, tuple[float, float]]]) -> dict[str, Any]:
    """method -> mean of its numbers, over the shops in which every method that any shop has can be measured.

    Shops differ by more than methods do: a mean over four of them is not to be compared with one over five.
    """
    import numpy as np

    methods = {method: None for found in shops for method in found}
    whole = [found for found in shops if len(found) == len(methods)]
    return {method: np.mean([found[method] for found in whole], axis=0) for method in methods} if whole else {}


def _show(rows, title: str) -> None:
    import numpy as np

    methods = list(dict.fromkeys(method for shops in rows.values() for found in shops for method in found))
    table = Table(title=f"{title}: AUC / share of the spend in the best tenth")
    for heading in ("as of, horizon", *methods, "over the best of the others"):
        table.add_column(heading, justify="left" if heading.startswith("as of") else "right")
    means = {name: means_of(shops) for name, shops in rows.items()}
    common = [found for found in means.values() if set(found) == set(methods)]
    if common:
        means["mean"] = {method: np.mean([found[method] for found in common], axis=0) for method in methods}
    for name, found in means.items():
        cells = [f"{found[each][0]:.4f} / {found[each][1]:.3f}" if each in found else "" for each in methods]
        over = ""
        if "champion" in found:
            best = np.max([numbers for method, numbers in found.items() if method != "champion"], axis=0)
            over = "{:+.4f} / {:+.3f}".format(*(found["champion"] - best))
        table.add_row(name, *cells, over)
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--ages", type=int, nargs="+", default=[90, 150, 210], help="days before the end of the log")
    parser.add_argument("--customers", type=int)
    parser.add_argument("--shops", type=int, default=5)
    parser.add_argument("--folder")
    given = parser.parse_args()
    main(given.data, given.ages, given.customers, given.shops, given.folder)
