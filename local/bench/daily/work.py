"""
The pieces of work that `make bench` measures: `python -m local.bench.daily.work <piece> --home <stack> --day <day>`.

Each is begun in a process of its own (see `process`) and prints, as its last line, its seconds and CPU seconds without
the imports at its top, its peak memory with them, and the rows it was about. Stages are the product's own functions,
called as the DAGs call them. Floors do the least that could be done with the same rows.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segmentation import settings, tables

MEMORY_BATCH = 50_000


@dataclass(frozen=True)
class Place:
    """Where a piece works, and for which day.

    :param admin: the warehouse's DSN as the superuser, for what is not the pipeline's.
    :param here: a folder for files of the moment.
    """

    stores: settings.Stores
    day: dt.date
    admin: str
    here: Path
    holdout_key: str

    @property
    def now(self) -> dt.datetime:
        """When the day's run would begin."""
        return dt.datetime(self.day.year, self.day.month, self.day.day, 5, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Piece:
    """`do` returns how many rows it was about (None: it is not about rows), or a dict with `rows` and more to tell.

    :param module: imported before the clock starts.
    """

    module: str
    do: Callable[[Place], Any]


def _extract(place: Place) -> int:
    from segmentation import extract

    return sum(extract.extract_entity(name, place.day, place.stores)["rows"] for name in tables.ENTITIES)


def _validate_raw(place: Place) -> int:
    from segmentation import validate

    return sum(each["rows"] for each in validate.accept_raw(place.day, place.stores).get("tables", {}).values())


def _aggregates(place: Place) -> int:
    from segmentation import aggregates

    return sum(aggregates.build_aggregates(place.day, place.stores).values())


def _features(place: Place) -> int:
    from segmentation import features

    return features.build_features(place.day, place.stores)


def _gate(table: str) -> Callable[[Place], int]:
    def validate_table(place: Place) -> int:
        from segmentation import validate

        return validate.validate_table(table, place.day, place.stores)["rows"]

    return validate_table


def _score(place: Place) -> int:
    from segmentation import score

    return score.score_customers(place.day, place.now, place.stores)["rows"]


def _recommend(place: Place) -> int:
    from segmentation import recommend

    return recommend.recommend_products(place.day, place.stores)["rows"]


def _strategy(place: Place) -> int:
    from segmentation import strategy

    return strategy.choose_strategies(place.day, place.stores, place.holdout_key)["rows"]


def _publish(place: Place) -> dict[str, Any]:
    from segmentation import publish

    return publish.publish_segments(place.day, place.stores)


def _compact(place: Place) -> None:
    from segmentation import compaction

    compaction.compact_history(place.stores)


def _drop_snapshots(place: Place) -> None:
    from segmentation import retention

    retention.drop_old_snapshots(place.now, place.stores)


def _performance(place: Place) -> None:
    from segmentation import performance

    performance.measure_performance(place.day, place.stores)


def _drift(place: Place) -> None:
    from segmentation import drift

    drift.measure_drift(place.day, place.stores)


def _retrain(place: Place) -> None:
    from segmentation import retrain

    retrain.retrain_reasons(place.day, place.stores)


# In the order of dags/segment_customers_daily.py, under the names of its tasks
STAGES = {
    "extract": Piece("extract", _extract),
    "validate_raw": Piece("validate", _validate_raw),
    "aggregates": Piece("aggregates", _aggregates),
    "features": Piece("features", _features),
    "validate_features": Piece("validate", _gate(tables.CUSTOMER_FEATURES)),
    "score": Piece("score", _score),
    "validate_scores": Piece("validate", _gate(tables.CUSTOMER_SCORES)),
    "recommend": Piece("recommend", _recommend),
    "strategy": Piece("strategy", _strategy),
    "validate_strategies": Piece("validate", _gate(tables.STRATEGIES)),
    "publish": Piece("publish", _publish),
    "compact": Piece("compaction", _compact),
    "drop_snapshots": Piece("retention", _drop_snapshots),
    "performance": Piece("performance", _performance),
    "drift": Piece("drift", _drift),
    "retrain": Piece("retrain", _retrain),
}


def _train(place: Place) -> dict[str, Any]:
    """The weekly training, one task after the other; the DAG trains two targets at a time."""
    from segmentation import classify, cluster, compare, features, promote

    rows = sum(features.build_training_examples(place.day, place.stores).values())
    trained = [cluster.train_segments(place.day, place.stores)]
    trained += [classify.train_target(model, place.day, place.stores) for model in tables.TARGETS]
    comparison = compare.compare_models(place.day, trained, place.stores)
    # Nobody is there to be asked: a model in doubt is taken, as its cost is what counts here.
    answers = [{"chosen_options": [promote.APPROVE], "responded_by_user": {"name": "bench"}}] * len(comparison["asked"])
    return {"rows": rows, "models": promote.promote_models(place.day, comparison, answers, place.stores)}


def _extract_floor(place: Place) -> int:
    """COPY of every table of the shop to a file, as it lies."""
    return _copy_shop_out(place, "")


def _increment_floor(place: Place) -> int:
    """COPY of the rows that the last day has brought to files: the same that the extract finds to be new."""
    from segmentation import warehouse

    overlap = settings.load().extract.overlap_minutes
    since = warehouse.literal(place.now.replace(hour=0) - dt.timedelta(days=1, minutes=overlap))
    return _copy_shop_out(place, f" where updated_at >= {since}")


def _copy_shop_out(place: Place, condition: str) -> int:
    from segmentation import warehouse

    rows = 0
    for name, entity in tables.ENTITIES.items():
        columns = ", ".join(entity.schema.names)
        query = f"select {columns} from shop.{name}{condition}"  # noqa: S608 - names of tables.py
        rows += _copy_out(warehouse, place, query, place.here / f"{name}.csv")
    return rows


def _copy_out(warehouse, place: Place, query: str, target: Path) -> int:
    with (
        warehouse.connect(place.stores.warehouse) as connection,
        connection.cursor() as cursor,
        target.open("wb") as to,
    ):
        cursor.copy_expert(f"copy ({query}) to stdout (format csv)", to)
        rows = cursor.rowcount
    target.unlink()
    return rows


def _features_floor(place: Place) -> int:
    """One scan by DuckDB of the files that the features read: every value of every column, nothing joined."""
    import posixpath

    from segmentation import engine, feature_snapshot, history

    rows = 0
    with engine.session(place.stores.lake) as session:
        for each in (*feature_snapshot.AS_KNOWN_THEN, *tables.AGGREGATES.values()):
            for file in history.files_of(place.stores, each.name):
                if file.rows:
                    session.put("raw.scanned", posixpath.join(place.stores.lake, file.path))
                    engine.table_of(session.batches("select max(columns(*)) from raw.scanned"))
                    rows += file.rows
    return rows


def _score_floor(place: Place) -> dict[str, Any]:
    """`predict` of every member of every model on a matrix in memory, as many at a time as the stage does.

    The clock runs only while they predict: a batch is read and made into matrices before.
    """
    from segmentation import lake, preparation, scoring
    from segmentation.registry import Registry

    stores = place.stores
    champions = scoring.load_champions(Registry(stores.registry, stores.marketing), place.day, stores.lake, place.now)
    members = [pair for _, ensemble, _ in champions.targets.values() for pair in ensemble.members_]
    seconds, rows = 0.0, 0
    with ThreadPoolExecutor(settings.load().score.threads) as pool:
        for batch in lake.batches_of(lake.path(stores.lake, tables.CUSTOMER_FEATURES, place.day), MEMORY_BATCH):
            inputs = preparation.inputs(batch.to_pandas(), champions.columns)
            ready = [(_predict_of(member[-1]), member[:-1].transform(inputs)) for _, member in members]
            begun = time.perf_counter()
            list(pool.map(lambda each: each[0](each[1]), ready))
            seconds += time.perf_counter() - begun
            rows += batch.num_rows
    return {"rows": rows, "seconds": seconds, "members": len(members)}


def _predict_of(estimator) -> Callable:
    return getattr(estimator, "predict_proba", estimator.predict)


def _publish_floor(place: Place) -> dict[str, Any]:
    """COPY of the published rows, printed before the clock starts, into a table without any index."""
    from segmentation import snapshots, warehouse

    file = place.here / "published.csv"
    with warehouse.connect(place.admin) as connection:
        [(snapshot_id,)] = warehouse.fetch(connection, "select max(snapshot_id) from marketing.snapshots")
        name = snapshots.partition(snapshot_id)
        with file.open("wb") as to, connection.cursor() as cursor:
            cursor.copy_expert(f"copy {name} to stdout (format csv)", to)
        parent = warehouse.identifier(tables.SEGMENT_ROWS)
        warehouse.run_script(connection, f"drop table if exists public.bare; create table public.bare (like {parent})")
    begun = time.perf_counter()
    with warehouse.connect(place.admin) as connection, connection.cursor() as cursor:
        with file.open("rb") as source:
            cursor.copy_expert("copy public.bare from stdin (format csv)", source)
        rows = cursor.rowcount
    seconds = time.perf_counter() - begun
    with warehouse.connect(place.admin) as connection:
        warehouse.run_script(connection, "drop table public.bare")
    file.unlink()
    return {"rows": rows, "seconds": seconds}


FLOORS = {
    "extract of everything": Piece("warehouse", _extract_floor),
    "extract": Piece("warehouse", _increment_floor),
    "features": Piece("features", _features_floor),
    "score": Piece("score", _score_floor),
    "publish": Piece("publish", _publish_floor),
}


def _sql_in_postgres(place: Place) -> dict[str, Any]:
    """The features' SQL inside Postgres, over the same aggregates in tables of a database of its own there."""
    from local.bench import features
    from segmentation import lake, warehouse

    own = place.admin.rpartition("/")[0] + "/sql_in_postgres"
    _drop_database(place.admin, own)
    with warehouse.connect(place.admin, autocommit=True) as connection:
        warehouse.execute(connection, "create database sql_in_postgres")
    try:
        begun = time.perf_counter()
        features.into_postgres(place.stores, own, place.day)
        filling = time.perf_counter() - begun
        seconds = features.inside_postgres(own, place.day)
    finally:
        _drop_database(place.admin, own)
    with lake.open_parquet(place.stores.lake, tables.CUSTOMER_FEATURES, place.day) as file:
        rows = file.metadata.num_rows
    return {"rows": rows, "seconds": seconds, "filling_seconds": filling}


def _drop_database(admin: str, own: str) -> None:
    from segmentation import warehouse

    with warehouse.connect(admin, autocommit=True) as connection:
        warehouse.execute(connection, f"drop database if exists {own.rpartition('/')[2]} with (force)")


def _script(place: Place) -> dict[str, Any]:
    from local.bench.daily import script

    return script.main(place.admin, place.day)


RIVALS = {
    "the feature SQL inside Postgres": Piece("features", _sql_in_postgres),
    "the script that people write": Piece("tables", _script),
}
PIECES = {
    **{f"stage {name}": piece for name, piece in STAGES.items()},
    **{f"floor {name}": piece for name, piece in FLOORS.items()},
    **{f"rival {name}": piece for name, piece in RIVALS.items()},
    "train": Piece("classify", _train),
}


def measured(piece: Piece, place: Place) -> dict[str, Any]:
    """Does a piece here and now: `rows`; `seconds` and `cpu` without the imports before it; `whole_cpu` and `peak_mib`
    with them."""
    importlib.import_module(f"segmentation.{piece.module}")
    begun, cpu = time.perf_counter(), _cpu()
    told = piece.do(place)
    found = {"seconds": time.perf_counter() - begun, "cpu": _cpu() - cpu, "whole_cpu": _cpu(), "peak_mib": peak_mib()}
    return found | (told if isinstance(told, dict) else {"rows": told})


def _cpu() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def peak_mib() -> float:
    """The most memory that this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("piece", choices=PIECES)
    parser.add_argument("--home", type=Path, required=True, help="the stack's home folder")
    parser.add_argument("--day", type=dt.date.fromisoformat, required=True)
    parser.add_argument("--lake", help="another one than the stack's")
    given = parser.parse_args()
    from local.bench.daily import shop

    place = shop.place(given.home, given.day)
    if given.lake:
        place = replace(place, stores=replace(place.stores, lake=given.lake))
    print(json.dumps(measured(PIECES[given.piece], place), default=str))


if __name__ == "__main__":
    main()
