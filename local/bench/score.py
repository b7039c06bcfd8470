"""
What a day's scores cost: `python -m local.bench.score --customers 1000000 3000000`.

A simulated shop is worked into the features and training examples of a day. Six champions of the size that training
makes (the rules, a logistic regression and XGBoost of `--trees` trees of `--depth`) learn from them and are registered
in an MLflow of this run's own. The day's features are then repeated with a tenth of noise until there are as many rows
as are wanted, and scored: read, all six targets, segment, reasons, written; in a process of its own, imports apart. The
floor is `predict` of the same models on matrices in memory, and nothing else. Lastly the three foremost kinds of
features are compared with those by XGBoost's own exact TreeSHAP.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.bench.features import told
from segmentation.settings import Stores

console = Console(width=110, highlight=False)
SAMPLE = 20_000
EXAMPLES = 20_000
PART = 100_000


def main(customers: list[int], shop: int, trees: int, depth: int, folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as here:
        day = _shop(Path(here), shop)
        told("six champions", lambda: _champions(Path(here), day, trees, depth))
        table = Table(title=f"six targets, segment and reasons; {trees} trees of depth {depth}; 2 threads")
        for heading in ("customers", "seconds", "CPU seconds", "peak MiB", "rows/s", "floor, seconds", "load"):
            table.add_column(heading, justify="right")
        for wanted in customers:
            told(f"{wanted:,} rows of features", lambda wanted=wanted: _repeat(Path(here), day, wanted))
            found = _measured(Path(here), day)
            seconds, floor = found["seconds"], found["floor"] * wanted
            figures = (f"{seconds:.1f}", f"{found['cpu']:.1f}", f"{found['peak_mib']:,.0f}", f"{wanted / seconds:,.0f}")
            table.add_row(f"{wanted:,}", *figures, f"{floor:.1f}", f"{os.getloadavg()[0]:.1f}")
        console.print(table)
        console.print(
            f"the same three foremost kinds as by XGBoost's own exact TreeSHAP: {found['agreement']:.2%} of {SAMPLE:,}"
        )


def _stores(here: Path) -> Stores:
    return Stores("", "", str(here / "lake"), f"sqlite:///{here / 'mlflow.db'}")


def _shop(here: Path, customers: int) -> dt.date:
    """Features and training examples of a simulated shop; the day."""
    from local import load
    from local.bench.features import _silent, accept, aggregate
    from local.postgres import Postgres
    from local.simulator import practice_shop
    from local.simulator.settings import LAST_DAY, Settings
    from segmentation import features, warehouse

    server, day = Postgres(here / "postgres", durable=False), LAST_DAY + dt.timedelta(days=1)
    server.start()
    try:
        stores = replace(_stores(here), warehouse=server.url(), marketing=server.url())
        with warehouse.connect(server.url()) as connection:
            load.apply_contract(connection)
            practice_shop.create(connection, Settings.until(LAST_DAY, 730, customers=customers), 730, _silent)
        told("reading and checking", lambda: (accept(stores, day), aggregate(stores, day)))
        told("features", lambda: features.build_features(day, stores))
        told("training examples", lambda: features.build_training_examples(day, stores))
    finally:
        server.stop()
    return day


def _champions(here: Path, day: dt.date, trees: int, depth: int) -> None:
    from sklearn.cluster import KMeans
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PowerTransformer

    from segmentation import candidates, ensembles, lake, preparation, settings, tables
    from segmentation.registry import Registry

    os.chdir(here)  # MLflow on SQLite keeps its artifacts in the working directory
    examples, stores = lake.read(str(here / "lake"), tables.TRAINING_EXAMPLES, day), _stores(here)
    registry = Registry(stores.registry, stores.marketing)
    boosting = {"n_estimators": trees, "max_depth": depth, "learning_rate": 0.08}
    for model, target in tables.TARGETS.items():
        rows = examples.filter(examples[target.label].is_valid()).to_pandas()
        rows = rows.sample(min(EXAMPLES, len(rows)), random_state=1)
        columns = [name for name in rows.columns if name not in tables.NOT_FEATURES]
        inputs = preparation.inputs(rows, columns)
        outcomes = rows[target.label].to_numpy(dtype=float if target.is_amount else bool)
        kinds = candidates.for_amounts if target.is_amount else candidates.for_probabilities
        of_them = [each for each in kinds(inputs.columns, {}, len(rows), settings.Training()) if each.is_member]
        members = [(each.name, each.pipeline(boosting if each.name == "xgboost" else None)) for each in of_them]
        for _, member in members:
            kept = member["select"].fit(inputs, outcomes > 0).transform(inputs)
            encode = member["encode"]
            matrix = kept if encode == "passthrough" else encode.fit(kept).transform(kept)
            member["model"].fit(matrix, outcomes)
        make = ensembles.AmountEnsemble if target.is_amount else ensembles.ProbabilityEnsemble
        fitted = make.of(members)
        metadata = {"columns": columns, "target": target.label, "horizon_days": 90}
        metadata["bands"] = {"high": 0.5, "medium": 0.2, "low": 0.2}
        with registry.training(model, day) as run:
            sample = inputs.head(100)
            version = run.register(model, fitted, sample, fitted.predict(sample), metadata)
        registry.promote(model, version, "for the bench")
    names = ["last_order_age_days", "orders_count", "spend_total"]
    buyers = lake.read(str(here / "lake"), tables.CUSTOMER_FEATURES, day, names).to_pandas().dropna().astype("float64")
    clusters = make_pipeline(PowerTransformer(), KMeans(5, n_init=3, random_state=1)).fit(buyers)
    segments = [{"cluster": n, "segment_id": n + 1, "segment_name": f"segment_{n + 1}"} for n in range(5)]
    prospects = {"segment_id": 0, "segment_name": "prospects"}
    with registry.training(tables.SEGMENTS_MODEL, day) as run:
        told_of = {"columns": names, "segments": segments, "prospects": prospects}
        inputs = buyers.head(100)
        version = run.register(tables.SEGMENTS_MODEL, clusters, inputs, clusters.predict(inputs), told_of)
    registry.promote(tables.SEGMENTS_MODEL, version, "for the bench")


def _repeat(here: Path, day: dt.date, wanted: int) -> None:
    """Replaces the day's features by so many rows: those of the shop, each number of float64 within a tenth of it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from segmentation import lake, tables

    kept = str(here / "features.parquet")
    if not Path(kept).exists():
        table = lake.read(str(here / "lake"), tables.CUSTOMER_FEATURES, day)
        lake.write_file(kept, table.to_batches(), table.schema)
    table = pa.Table.from_batches(lake.batches_of(kept, 10**9)).combine_chunks()

    def batches():
        rng = np.random.default_rng(7)
        for first in range(0, wanted, PART):
            size = min(PART, wanted - first)
            part = table.take(pa.array(rng.integers(0, table.num_rows, size)))
            columns = []
            for field in table.schema:
                column = part[field.name].combine_chunks()
                if field.name == "customer_id":
                    column = pa.array([f"N{first + n:09d}" for n in range(size)])
                elif pa.types.is_floating(field.type) and not field.name.endswith(("share", "probability", "rate")):
                    noise = pa.array(rng.uniform(0.9, 1.1, size))
                    column = pc.multiply(column, noise)
                columns.append(column)
            yield pa.RecordBatch.from_arrays(columns, schema=table.schema)

    lake.write(str(here / "lake"), tables.CUSTOMER_FEATURES, day, batches(), table.schema)


def _measured(here: Path, day: dt.date) -> dict[str, float]:
    command = [sys.executable, "-m", "local.bench.score", "--measure", str(here), "--day", f"{day}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=here, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _measure(here: Path, day: dt.date) -> dict[str, float]:
    """Seconds, CPU seconds and peak memory of a day's scoring, and seconds a row of the floor, in this process."""
    from local.postgres import Postgres

    server = Postgres(here / "postgres", durable=False)  # where runs of the same day take turns
    server.start()
    try:
        return _with_floor(replace(_stores(here), warehouse=server.url(), marketing=server.url()), day)
    finally:
        server.stop()


def _with_floor(stores: Stores, day: dt.date) -> dict[str, float]:
    from local.bench.features import _peak_mib
    from segmentation import lake, preparation, score, scoring, tables
    from segmentation.registry import Registry

    now = dt.datetime(day.year, day.month, day.day, 5, tzinfo=dt.UTC)
    champions = scoring.load_champions(
        Registry(stores.registry, stores.marketing), day, stores.lake, now
    )  # and with it all imports
    Path("/proc/self/clear_refs").write_text("5")
    begun, cpu = time.perf_counter(), time.process_time()
    score.score_customers(day, now, stores)
    found = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "peak_mib": _peak_mib()}
    batch = next(lake.batches_of(lake.path(stores.lake, tables.CUSTOMER_FEATURES, day), PART)).to_pandas()
    inputs = preparation.inputs(batch, champions.columns)
    members = [pair for _, ensemble, _ in champions.targets.values() for pair in ensemble.members_]
    floor = 0.0
    for _, member in members:
        matrix = member[:-1].transform(inputs)
        predict = getattr(member[-1], "predict_proba", member[-1].predict)
        begun = time.perf_counter()
        predict(matrix)
        floor += time.perf_counter() - begun
    return found | {"floor": floor / len(batch), "agreement": _agreement(champions, inputs.head(SAMPLE))}


def _agreement(champions, inputs) -> float:
    """The share of rows whose three foremost kinds are those by XGBoost's own exact TreeSHAP, for churn."""
    from segmentation import explain, reasons, tables

    ensemble = champions.targets[tables.CHURN.model][1]
    ours, exact = (explain.contributions(ensemble, inputs, by_library=by_library) for by_library in (False, True))
    return reasons.agreement(ours, exact)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--shop", type=int, default=20_000, help="customers that are simulated")
    parser.add_argument("--trees", type=int, default=150)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--folder", help="where there is room")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--day", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(Path(options.measure), dt.date.fromisoformat(options.day))))
    else:
        main(options.customers, options.shop, options.trees, options.depth, options.folder)
