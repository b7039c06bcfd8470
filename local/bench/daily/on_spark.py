"""
The stages that Spark can take over, on Spark in local mode: what they cost beside the same on DuckDB, and whether they
write the same rows. Both engines do them anew, one after the other, on one copy of the lake: a day that is done again
may know what came late. What they note in the database they note once more, as before.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.bench.daily import process
from local.stack import Stack
from segmentation import lake, tables

STAGES = {"features": tables.CUSTOMER_FEATURES, "score": tables.CUSTOMER_SCORES}
KEY = "customer_id"
COLUMNS_AT_ONCE = 10
RELATIVE, RELATIVE_OF_FLOATS = 1e-9, 1e-6  # of doubles, and of numbers of half their precision
MEMORY = "6g"
# Far sizes, and cores of a cluster, for which the cost is calculated
SIZES, CORES = (10_000_000, 100_000_000, 1_000_000_000), (2, 64, 512)


def check() -> None:
    """:raises SystemExit: there is no pyspark or no Java; says how to get it."""
    if importlib.util.find_spec("pyspark") is None:
        raise SystemExit("Spark needs pyspark: `pip install -r requirements-spark.txt`")
    if shutil.which("java") is None:
        raise SystemExit("Spark needs a Java: `apt-get install default-jre-headless`")


def run(stack: Stack, day: dt.date) -> dict[str, Any]:
    """The stages of a day that has been done before, once more on DuckDB and on Spark.

    :returns: stage -> `duckdb` and `spark`, what `process.run` tells, of Spark memory and CPU of all its processes; and
        `compared`, see `compare`.
    :raises process.PieceError: a stage failed.
    """
    ours, copy = stack.folders.lake, stack.folders.home / "lake-of-spark"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ours, copy)
    more = {
        "SEGMENTATION_ENGINE": "spark",
        "SEGMENTATION_SPARK__MASTER": "local[*]",
        "SEGMENTATION_SPARK__CONF": f'{{"spark.driver.memory": "{MEMORY}", "spark.ui.enabled": "false"}}',
    }
    found = {}
    try:
        for stage, table in STAGES.items():
            file, piece = lake.path(str(copy), table, day), f"stage {stage}"
            told = {"duckdb": process.run(stack, piece, day, lake_folder=copy)}
            kept = shutil.copy(file, copy / f"{stage} by DuckDB.parquet")
            told["spark"] = process.run(stack, piece, day, lake_folder=copy, more=more, is_tree=True)
            told["compared"] = compare(kept, file)
            found[stage] = told
            seconds = ", ".join(f"{engine} {told[engine]['seconds']:.1f} s" for engine in ("duckdb", "spark"))
            print(f"  {stage}: {seconds}, {told['compared']}", flush=True)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return found


def compare(left: str, right: str) -> dict[str, Any]:
    """Holds two Parquet files against each other, row by row of a customer.

    :returns: `rows` of the first; `alone`: rows of either that the other has not; `values`: how many were compared;
        `differ`: how many of them are not the same, numbers beyond a relative RELATIVE; `columns`: where.
    """
    import duckdb  # noqa: TID251 - holds files against each other, beside the product

    with duckdb.connect() as session:
        session.execute("set memory_limit = '3GB'")
        of = {
            name: f"read_parquet('{Path(file)}', hive_partitioning = false)"
            for name, file in (("l", left), ("r", right))
        }
        kinds, others = (
            {name: kind for name, kind, *_ in session.execute(f"describe from {of[side]}").fetchall()} for side in "lr"
        )
        if kinds != others:
            return {
                "rows": 0,
                "alone": 0,
                "values": 0,
                "differ": 0,
                "columns": sorted({name for name, _ in kinds.items() ^ others.items()}),
            }
        joined = f"{of['l']} as l full join {of['r']} as r using ({KEY})"
        both = f"l.{KEY} is not null and r.{KEY} is not null"
        [(rows, alone)] = session.execute(
            f"select count(l.{KEY}), count(*) - count(*) filter ({both}) from {joined}"  # noqa: S608 - names of ours
        ).fetchall()
        differ = {}
        names = [name for name in kinds if name != KEY]
        for place in range(0, len(names), COLUMNS_AT_ONCE):
            some = names[place : place + COLUMNS_AT_ONCE]
            counts = ", ".join(f"count(*) filter ({both} and {_differs(name, kinds[name])})" for name in some)
            [found] = session.execute(f"select {counts} from {joined}").fetchall()  # noqa: S608 - names of ours
            differ |= dict(zip(some, found, strict=True))
    return {
        "rows": rows, "alone": alone, "values": (rows - alone) * len(names), "differ": sum(differ.values()),
        "columns": [name for name, count in differ.items() if count],
    }  # fmt: skip


def _differs(name: str, kind: str) -> str:
    left, right = f'l."{name}"', f'r."{name}"'
    if kind not in ("DOUBLE", "FLOAT"):
        return f"{left} is distinct from {right}"
    most = RELATIVE if kind == "DOUBLE" else RELATIVE_OF_FLOATS
    far = f"abs({left} - {right}) > {most} * greatest(abs({left}), abs({right})) + 1e-12"
    return f"(({left} is null) <> ({right} is null) or coalesce({far}, false))"


def cost(points: Sequence[tuple[int, float, float]], size: int, cores: int) -> float:
    """Seconds at a size on so many cores, by what was measured at other sizes.

    :param points: (customers, seconds of the run, seconds of CPU), smallest first; the last two count. What grows with
        the customers is CPU, shared by the cores; what does not is seconds, whatever the cores. Of one point all grows.
    """
    (small, begun, cpu_of_small), (large, _, cpu_of_large) = [(0, 0.0, 0.0), *points][-2:]
    each = (cpu_of_large - cpu_of_small) / (large - small)
    return begun + each * size / cores


def page(sizes: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[str]:
    """The section of the page, of those sizes that were measured on Spark."""
    sizes = [(size, found) for size, found in sizes if "spark" in found]
    if not sizes:
        return
    yield "## On Spark"
    yield ""
    headings = ("DuckDB, s", "Spark, s", "times", "CPU of DuckDB", "of Spark", "peak MiB of DuckDB", "of Spark",
                "values compared", "differ")  # fmt: skip
    yield f"| customers | stage | {' | '.join(headings)} |"
    yield f"|---:|---|{'---:|' * len(headings)}"
    for size, found in sizes:
        for stage, told in found["spark"]["stages"].items():
            ours, theirs, held = told["duckdb"], told["spark"], told["compared"]
            cells = (
                f"{size:,}", stage, f"{ours['seconds']:.1f}", f"{theirs['seconds']:.1f}",
                f"{theirs['seconds'] / ours['seconds']:.1f}", f"{ours['cpu']:.1f}", f"{theirs['cpu']:.1f}",
                f"{ours['peak_mib']:,.0f}", f"{theirs['peak_mib']:,.0f}", f"{held['values']:,}",
                f"{held['differ'] + held['alone']:,}",
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"
    yield ""
    for size, found in sizes:
        if machine := found["spark"].get("machine"):
            yield f"Of an earlier run at {size:,} customers: {found['spark']['at']} UTC, on {machine}."
            yield ""
    yield from TOLD.splitlines()
    yield ""
    yield from _far(sizes)


def _far(sizes: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[str]:
    yield "How it would go on a cluster, **calculated, not measured**, from the table above:"
    yield ""
    yield f"| customers | stage | {' | '.join(f'{cores} cores' for cores in CORES)} |"
    yield f"|---:|---|{'---:|' * len(CORES)}"
    for size in SIZES:
        for stage in STAGES:
            measured = [(known, found["spark"]["stages"][stage]["spark"]) for known, found in sizes]
            points = [(known, each["seconds"], each["cpu"]) for known, each in measured]
            seconds = [cost(points, size, cores) for cores in CORES]
            yield f"| {size:,} | {stage} | {' | '.join(f'{each / 60:,.1f} min' for each in seconds)} |"
    yield ""
    yield from CALCULATED.splitlines()
    yield ""


TOLD = """\
A day's stages on DuckDB, and with `SEGMENTATION_ENGINE=spark` and the master `local[*]`, one after the other on the
same lake, Spark's start in its seconds. CPU and memory are those of all its processes, the JVM and the Python workers,
looked at twice a second. Values are compared row by row with those that DuckDB wrote, numbers to nine digits (six where
they have single precision). The gates, training and publishing run without Spark."""
CALCULATED = """\
The CPU seconds that a further customer costs, shared by the cores: between the last two sizes, with the seconds of the
smaller for what does not grow; of a single size all counts as growing. It takes for granted that the work spreads
evenly, and that network and object store keep up, as a local run has neither: the least that it can take, not a
promise. At such sizes the gates, `publish` and its one PostgreSQL, which stay on one machine, are what limits."""
