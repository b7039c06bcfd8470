"""
What recommendations are worth: `python -m local.bench.recommend --data FILE --ages 60 30`.

As of each day, so many days before the shop's last one, the stage makes its lists; what their customers bought in the
30 days after tells recall@10 (of the different products that a customer bought, the share in the list; mean over those
who bought) and coverage (of the products on offer, the share that anyone is recommended). Beside it, over the same
products and customers and without the rule about what was just bought: the most popular of the last 30 days, and what
the customer bought before, most often and then latest first, then popular. Intervals are of 95%, by resampling
customers. Without --data a shop is simulated; with `--customers 300 --shops 5` it is cut to so many, drawn anew each
time, and the means are shown. Of two days in a row it tells how many lists differ.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.bench import models

console = Console(width=130, highlight=False)
SIZE, HORIZON = 10, 30
ROUNDS = 2_000
OURS = "recommended"


def main(data: str | None, ages: list[int], customers: int | None, shops: int, folder: str | None) -> None:
    found = defaultdict(list)
    for seed in range(shops if customers else 1):
        with tempfile.TemporaryDirectory(dir=folder) as here:
            for day, rows in _shop(Path(here), data, ages, customers, seed).items():
                for method, figures in rows.items():
                    found[day, method].append(figures)
    _show(found, f"{data or 'simulated'}{f', {shops} shops of {customers} customers' if customers else ''}")


def _shop(here: Path, data: str | None, ages: list[int], customers: int | None, seed: int) -> dict:
    from local import load
    from local.postgres import Postgres
    from segmentation import features, recommend
    from segmentation.settings import Stores

    os.chdir(here)
    server = Postgres(here / "postgres", durable=False)
    server.start()
    try:
        dsn = server.url()
        last = load.load(data, dsn).day
        if customers:
            models.cut(dsn, customers, seed)
        stores = Stores(dsn, dsn, str(here / "lake"), f"sqlite:///{here / 'mlflow.db'}")
        days = sorted(last - dt.timedelta(days=age) for age in ages)
        for day in days:
            models.accept(day, stores)
            features.build_features(day, stores)
            told = recommend.recommend_products(day, stores)
            console.print(f"{day}: {told}")
        models.accept(last, stores)
        _tell_changes(days, stores)
        return {f"{day}": _compared(day, last, stores) for day in days}
    finally:
        server.stop()


def _tell_changes(days: list[dt.date], stores) -> None:
    """How many lists are others than on the day before, where two days in a row were asked for."""
    from segmentation import lake, tables

    for day, before in zip(days[1:], days, strict=False):
        if day - before == dt.timedelta(days=1):
            found = [lake.read(stores.lake, tables.RECOMMENDATIONS, each).to_pylist() for each in (before, day)]
            old, new = ({row["customer_id"]: row["recommended_products"] for row in rows} for rows in found)
            both = old.keys() & new.keys()
            others = sum(old[each] != new[each] for each in both) / len(both)
            products = sum(set(old[each]) != set(new[each]) for each in both) / len(both)
            console.print(f"{day}: {others:.1%} of the lists differ from the day before, {products:.1%} in products")


def _compared(day: dt.date, last: dt.date, stores) -> dict[str, tuple]:
    """method -> (recall, its interval, coverage, what ours is ahead, its interval)."""
    import numpy as np

    before, after, goods = _purchases(day, last, stores)
    lists = _methods(day, before, goods, stores)
    truth = {customer: set(rows) for customer, rows in after.groupby("customer_id")["product_id"]}
    truth = {customer: bought for customer, bought in truth.items() if customer in lists[OURS]}
    recalls = {
        method: np.array([len(bought & set(of[customer][:SIZE])) / len(bought) for customer, bought in truth.items()])
        for method, of in lists.items()
    }
    drawn = np.random.default_rng(1).integers(0, len(truth), (ROUNDS, len(truth)))
    figures = {}
    for method, recall in recalls.items():
        shown = {product for each in lists[method].values() for product in each[:SIZE]}
        ahead = recalls[OURS] - recall
        figures[method] = (
            recall.mean(), *np.quantile(recall[drawn].mean(axis=1), [0.025, 0.975]), len(shown) / len(goods),
            ahead.mean(), *np.quantile(ahead[drawn].mean(axis=1), [0.025, 0.975]), len(truth),
        )  # fmt: skip
    return figures


def _purchases(day: dt.date, last: dt.date, stores):
    """(what was bought before, and in the horizon after: customer_id, product_id, ordered_on; the goods on offer)."""
    from segmentation import engine, history, settings, tables

    statement = "select customer_id, product_id, ordered_on from agg.product_days group by all having sum(lines) > 0"
    with engine.session(stores.lake) as session:
        session.put(tables.PRODUCT_DAYS.table, history.aggregated(stores, tables.PRODUCT_DAYS, day, day))
        before = engine.table_of(session.batches(statement)).to_pandas()
        session.put(tables.PRODUCT_DAYS.table, history.aggregated(stores, tables.PRODUCT_DAYS, last, last))
        after = engine.table_of(session.batches(statement)).to_pandas()
        session.put(tables.PRODUCTS.table, history.known_then(stores, tables.PRODUCTS.name, day, day))
        products = engine.table_of(session.batches("select * from raw.products order by product_id")).to_pandas()
    is_goods = ~products["category"].isin(settings.load().recommend.left_out)
    is_offered = is_goods & ~(products["stock_on_hand"] <= 0)
    after = after[(after["ordered_on"] >= day) & (after["ordered_on"] < day + dt.timedelta(days=HORIZON))]
    goods = set(products.loc[is_goods, "product_id"])
    return (
        before[before["product_id"].isin(goods)],
        after[after["product_id"].isin(goods)],
        set(products.loc[is_offered, "product_id"]),
    )


def _methods(day: dt.date, before, goods: set[str], stores) -> dict[str, dict[str, list[str]]]:
    """method -> customer -> products, the best first."""
    import numpy as np

    from segmentation import lake, tables

    ours = lake.read(stores.lake, tables.RECOMMENDATIONS, day)
    customers = ours["customer_id"].to_pylist()
    before = before[before["product_id"].isin(goods)]
    lately = before[before["ordered_on"] >= day - dt.timedelta(days=30)]
    buyers = lately.groupby("product_id")["customer_id"].nunique().reset_index()
    popular = buyers.sort_values(["customer_id", "product_id"], ascending=[False, True])["product_id"].tolist()
    own = before.groupby(["customer_id", "product_id"])["ordered_on"].agg(["size", "max"]).reset_index()
    own = own.sort_values(["customer_id", "size", "max", "product_id"], ascending=[True, False, False, True])
    own = own.groupby("customer_id")["product_id"].agg(list).to_dict()
    again = {each: list(dict.fromkeys([*own.get(each, []), *popular[: 2 * SIZE]])) for each in customers}
    assert len(np.unique(customers)) == len(customers)
    return {
        OURS: dict(zip(customers, ours["recommended_products"].to_pylist(), strict=True)),
        "most popular": dict.fromkeys(customers, popular),
        "bought before, then popular": again,
    }


def _show(found, title: str) -> None:
    import numpy as np

    table = Table(title=title)
    for heading in ("as of", "method", "customers", "recall@10", "95%", "coverage", "ours is ahead", "95%"):
        table.add_column(heading, justify="left" if heading in ("as of", "method") else "right")
    for (day, method), rows in found.items():
        recall, low, high, coverage, ahead, ahead_low, ahead_high, customers = np.mean(rows, axis=0)
        table.add_row(
            day, method, f"{customers:,.0f}", f"{recall:.4f}", f"{low:.4f} .. {high:.4f}", f"{coverage:.3f}",
            *(("", "") if method == OURS else (f"{ahead:+.4f}", f"{ahead_low:+.4f} .. {ahead_high:+.4f}")),
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="a file of a data set; without it a simulated shop")
    parser.add_argument("--ages", type=int, nargs="+", default=[60, 30], help="days before the last one")
    parser.add_argument("--customers", type=int, help="cut the shop to so many")
    parser.add_argument("--shops", type=int, default=5)
    parser.add_argument("--folder", help="where there is room")
    options = parser.parse_args()
    main(options.data, options.ages, options.customers, options.shops, options.folder)
