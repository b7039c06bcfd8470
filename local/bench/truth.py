"""
Predictions against the truth of the simulated shop: `python -m local.bench.truth --customers 6000 --days 546`.

As of a day, 90 days before the shop's last one, the real stages train; what the models and BG/NBD say of each buyer is
compared with what was to be expected of that customer by someone who knows the customer's own parameters and all orders
so far (`foreseeable`), and with what came to pass. `truth` in the last two columns is how well that someone ranks the
customers: no model can do better on average.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.bench import models

console = Console(width=130, highlight=False)


def main(customers: int, days: int, age: int, folder: str | None) -> None:
    from local import load
    from local.postgres import Postgres
    from local.simulator.settings import Settings
    from segmentation.settings import Stores

    with tempfile.TemporaryDirectory(dir=folder) as here:
        os.chdir(here)
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            dsn = server.url()
            last = load.simulate(dsn, Settings(customers=customers), days).day
            stores = Stores(dsn, dsn, f"{here}/lake", f"sqlite:///{here}/mlflow.db")
            day = last - dt.timedelta(days=age)
            models.prepare(day, stores)
            models.accept(last, stores)
            _show(_rows(day, last, stores), f"{customers:,} simulated customers, as of {day}")
        finally:
            server.stop()


def _rows(day: dt.date, last: dt.date, stores) -> list[tuple]:
    import numpy as np

    from local.simulator import expected
    from segmentation import classify, examples, lake, preparation, tables
    from segmentation.registry import Registry

    features = lake.read(stores.lake, tables.CUSTOMER_FEATURES, day).to_pandas()
    buyers = features[features["orders_count"] > 0].set_index(examples.KEY)
    ids, registry, said = buyers.index.get_level_values("customer_id"), Registry(stores.registry, stores.marketing), {}
    for target in (tables.CHURN, tables.PURCHASE, tables.SPEND):
        trained = classify.train_target(target.model, day, stores)
        ensemble, metadata = registry.load(registry.version(target.model, trained["version"]))
        said[target.model] = classify.predict(ensemble.on(day), preparation.inputs(buyers, metadata["columns"]))
    far, near = (
        expected.customers_on(stores.warehouse, day, horizon).to_pandas().set_index("customer_id").loc[ids]
        for horizon in (90, 30)
    )
    bought_far, spend_far = models.afterwards(buyers, day, 90, last, stores)
    bought_near, _ = models.afterwards(buyers, day, 30, last, stores)
    buys_far, spends = far["foreseeable_purchase_probability"], far["foreseeable_spend"]
    alive = far["is_alive"].to_numpy(dtype="float64")
    known = buyers["expected_spend_90d"].fillna(0).to_numpy()
    return [
        ("P(alive), BG/NBD", buyers["alive_probability"].to_numpy(), far["alive_probability"], alive),
        ("P(buys in 90 days), champion", 1 - said[tables.CHURN.model], buys_far, bought_far.astype(float)),
        ("P(buys in 30 days), champion", said[tables.PURCHASE.model],
         near["foreseeable_purchase_probability"], bought_near.astype(float)),
        ("spend in 90 days, champion", said[tables.SPEND.model], spends, spend_far),
        ("spend in 90 days, BG/NBD + Gamma-Gamma", np.asarray(known, float), spends, spend_far),
    ]  # fmt: skip


def _show(rows: list[tuple], title: str) -> None:
    import numpy as np
    from scipy.stats import spearmanr

    table = Table(title=title)
    for heading in ("of buyers", "said, mean", "foreseeable, mean", "came, mean", "mean abs. error to foreseeable",
                    "Spearman with foreseeable", "with what came", "truth with what came"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "of buyers" else "right")
    for name, said, foreseeable, came in rows:
        told = np.asarray(foreseeable, float)
        numbers = [np.mean(said), np.mean(told), np.mean(came), np.mean(np.abs(said - told))]
        numbers += [spearmanr(*pair).statistic for pair in ((said, told), (said, came), (told, came))]
        table.add_row(name, *(f"{number:.3f}" if abs(number) < 10 else f"{number:,.0f}" for number in numbers))
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=6_000)
    parser.add_argument("--days", type=int, default=546)
    parser.add_argument("--age", type=int, default=90, help="days before the end of the shop")
    parser.add_argument("--folder")
    given = parser.parse_args()
    main(given.customers, given.days, given.age, given.folder)
