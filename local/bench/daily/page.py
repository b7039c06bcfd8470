"""
docs/benchmarks.md, its picture and the JSON beside it: what `make bench` has measured, and nothing else. A run of
another `PAGE` has a page of its own: sizes that took too long for the same run are compared among themselves there.

`python -m local.bench.daily.page` writes the page from the JSON as it is, where a change was told there by hand.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.bench.daily import airflow, on_spark, work
from local.state import REPOSITORY

NAME = "benchmarks"
CHANGES = "changes"  # written by hand in the JSON, kept when it is written anew
DAILY_GOAL, LARGEST_GOAL = 1_000_000, 10_000_000
OTHERS_NOTE = 0.2  # cores that other programs took, from which it is said
SCRIPT, IN_POSTGRES = "the script that people write", "the feature SQL inside Postgres"
USUAL_DAYS = 730
LEARNING = "learning the random forest"
_NO_BREAK = "\0"

INSTEAD = """\
[The script](../local/bench/daily/script.py) reads customers, orders, tickets and half a year of events with
`pandas.read_sql`, scales, clusters with K-Means, learns a random forest and writes with `to_sql`. It is compared with
all stages of our day, though it does less: no items, campaigns, recommendations, strategies, reasons, spend, service
risk, checks, history or feed. Ours is the sum of the stages, one after the other, and the most that any of them holds.
The SQL inside Postgres is that of `include/sql/features/`, translated by SQLGlot, over the same aggregates in unlogged
tables, filled and analysed before its clock starts, with 512 MB of `work_mem`. Ours does more in its time: it finds
the versions that the day knows, fits the purchase model, and writes a Parquet file."""
THROUGH = """\
The practice stack on the same machine: scheduler, API server, DAG processor, triggerer, MLflow, PostgreSQL. The clock
runs from the moment the run was queued to the end of its last task. *Work* is what the same stages took in processes of
their own, imports included, a day before. Airflow's own share is what is left of the run: at least end to end less the
sum of the work, as if tasks never ran side by side; at most end to end less the work on the longest path, as if tasks
beside each other did not slow each other down. *A task runs* is the time in which any task's process ran; the rest is
scheduling. Memory is the most at one time, as proportional set size."""
HOW = """\
## How it is measured

`make bench SIZES="10000 100000"` measures these sizes and writes benchmarks.md; `DAYS=60` takes so many days of
history, `AIRFLOW=1` also runs the DAG, `SPARK=1` what Spark can take over, `PAGE=<name>` writes another page. Every
stage, floor and rival is a process of its own: seconds and CPU of the work without the imports before it, CPU of the
database server's processes in the same time, and the most memory that the process has held, imports included (the
server's is not). *Others* is how many cores all other programs used meanwhile. The floors:

- extract: bare `COPY` of the same new rows to files;
- features: one scan by DuckDB of the files that they are made from, every value of every column;
- score: `predict` of the same models on matrices in memory, as many at a time as the stage does;
- publish: bare `COPY` of the same rows, printed before the clock starts, into a table without an index."""

Measured = Mapping[str, Any]


def merged(measured: Measured, to: Path, name: str = NAME) -> dict[str, Any]:
    """What was measured, with the changes that were told before. Where Spark was not measured, its part of the run
    before stays, and says which machine it is of."""
    known = to / f"{name}.json"
    before = json.loads(known.read_text()) if known.exists() else {}
    sizes = {size: {**found} for size, found in measured["sizes"].items()}
    for size, found in before.get("sizes", {}).items():
        if "spark" in found and "spark" not in sizes.get(size, {"spark": None}):
            sizes[size]["spark"] = {"machine": before["machine"]["processor"], **found["spark"]}
    return {**measured, "sizes": sizes, CHANGES: before.get(CHANGES, [])}


def write(measured: Measured, to: Path, name: str = NAME) -> None:
    """Writes the JSON, the page and, of two sizes or more, the picture in pictures/ of a name."""
    (to / "pictures").mkdir(parents=True, exist_ok=True)
    (to / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n")
    picture = f"pictures/{name}.png" if len(_complete(measured)) > 1 else None
    if picture:
        _picture(measured).savefig(to / picture, dpi=110, metadata={"Software": None})
    (to / f"{name}.md").write_text("\n".join(text(measured, name, picture, _largest(measured, to))) + "\n")


def _largest(measured: Measured, to: Path) -> tuple[str, Any] | None:
    """What was found at ten million customers, in this run or in that of another page, and which page tells it."""
    if "day" in measured["sizes"].get(str(LARGEST_GOAL), {}):
        return "", measured["sizes"][str(LARGEST_GOAL)]
    for known in sorted(to.glob(f"{NAME}*.json")):
        found = json.loads(known.read_text()).get("sizes", {}).get(str(LARGEST_GOAL), {})
        if "day" in found:
            return f"{known.stem}.md", found
    return None


def text(
    measured: Measured, name: str = NAME, picture: str | None = None, largest: tuple[str, Any] | None = None
) -> Iterator[str]:
    """The page's lines."""
    yield "# What a day costs, against its floors and against what people do instead"
    yield ""
    yield f"Made by `make bench` from [{name}.json]({name}.json); what was changed is told by hand."
    yield ""
    yield from _machine(measured, name)
    yield from _targets(measured, largest)
    for size, found in _sizes(measured):
        if "day" in found:
            yield from _of_size(size, found)
    yield from _growth(measured, picture)
    yield from _instead(measured)
    yield from _through_airflow(measured)
    yield from on_spark.page(_sizes(measured))
    yield from _first_days(measured)
    yield from _changes(measured)
    yield from HOW.splitlines()


def slope(measured: Measured, stage: str | None) -> float | None:
    """By which power of the customers the seconds of a stage grow, all stages if None; None: too few sizes.

    Least squares on the logarithms: 1 is linear.
    """
    points = [(math.log(size), math.log(seconds)) for size, seconds in _seconds(measured, stage) if seconds > 0]
    if len(points) < 2:
        return None
    x_mean, y_mean = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)


def _sizes(measured: Measured) -> list[tuple[int, Any]]:
    return sorted((int(size), found) for size, found in measured["sizes"].items())


def _complete(measured: Measured) -> list[tuple[int, Any]]:
    return [(size, found) for size, found in _sizes(measured) if "day" in found]


def _seconds(measured: Measured, stage: str | None) -> list[tuple[int, float]]:
    every = [(size, found["day"]["stages"]) for size, found in _complete(measured)]
    if stage is None:
        return [(size, sum(each["seconds"] for each in stages.values())) for size, stages in every]
    return [(size, stages[stage]["seconds"]) for size, stages in every]


def _machine(measured: Measured, name: str) -> Iterator[str]:
    told = measured["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in told["packages"].items())
    yield f"- Machine: {told['processor']}, {told['cores']} cores, {told['memory_gib']} GiB, {told['system']}"
    yield f"- Python {told['python']}, {packages}"
    asked = [f"`{_command(measured, days, name)}`, {days} days of history" for days in _days(measured)]
    yield f"- Made: {measured['made_at']}, by {', and by '.join(asked)}"
    yield f"- Models: trained on the shop of {measured.get('trained_at', 0):,} customers, used for every size"
    busy = [each["others"] for _, found in _complete(measured) for each in found["day"]["stages"].values()]
    if busy and max(busy) > OTHERS_NOTE:
        yield (
            f"- Other programs used the machine meanwhile: up to {max(busy):.1f} of its cores (column *others*). "
            "Seconds are longer for it, CPU seconds hardly."
        )
    yield ""


def _command(measured: Measured, days: int, name: str) -> str:
    """What the sizes with so many days of history were measured by."""
    every = [(size, found) for size, found in _sizes(measured) if found.get("shop", {}).get("days") == days]
    command = f'make bench SIZES="{" ".join(str(size) for size, _ in every)}"'
    command += f" DAYS={days}" * (days != USUAL_DAYS) + f" PAGE={name}" * (name != NAME)
    for part in ("airflow", "spark"):  # what stays of an earlier run says whose machine it was
        command += f" {part.upper()}=1" * any("machine" not in found.get(part, {"machine": None}) for _, found in every)
    return command


def _days(measured: Measured) -> list[int]:
    """Of history, from the smallest size on, each number once."""
    return list(dict.fromkeys(found["shop"]["days"] for _, found in _sizes(measured) if "shop" in found))


def _targets(measured: Measured, largest: tuple[str, Any] | None) -> Iterator[str]:
    """What was to be reached at a million customers and at ten, and whether it was."""
    yield "## What was to be reached"
    yield ""
    found = measured["sizes"].get(str(DAILY_GOAL))
    if found and "day" in found:
        yield f"At {DAILY_GOAL:,} customers, on 2 cores:"
    else:
        yield f"The targets are for {DAILY_GOAL:,} customers, a size that was not run, and for {LARGEST_GOAL:,}."
    yield ""
    yield "| target | measured | reached |"
    yield "|---|---|---|"
    told = [*(targets(found) if found and "day" in found else ()), *_largest_targets(largest)]
    for target, answer, is_reached in told:
        unknown = "cannot be told" if answer else "not measured"
        yield f"| {target} | {answer} | {unknown if is_reached is None else 'yes' if is_reached else '**no**'} |"
    yield ""


def _largest_targets(largest: tuple[str, Any] | None) -> Iterator[tuple[str, str, bool | None]]:
    """As `targets`, of ten million customers: the time of its stages one after the other, unless Airflow ran them."""
    times, memory = "10 million customers in 40 minutes", "10 million customers in 6 GiB"
    if largest is None:
        yield times, "", None
        yield memory, "", None
        return
    page, found = largest
    where = f", {found['shop']['days']} days of history" + (f" ([{page}]({page}))" if page else "")
    stages, run = found["day"]["stages"], found.get("airflow")
    seconds = run["seconds"] if run else sum(_work(found).values())
    how = "through Airflow" if run else "without Airflow, one stage after the other"
    yield times, f"{_clock(seconds)} {how}{where}", seconds <= 2400
    most, stage = max((each["peak_mib"], name) for name, each in stages.items())
    yield memory, f"{most:,.0f} MiB ({stage}){where}", max(most, run["peak_mib"] if run else 0) <= 6144


def targets(found: Measured) -> Iterator[tuple[str, str, bool | None]]:
    """(the target, what was measured, whether it was reached; None: not measured) of one size."""
    stages, run = found["day"]["stages"], found.get("airflow")
    target = "daily run end to end through Airflow in 5 minutes"
    yield (target, _clock(run["seconds"]), run["seconds"] <= 300) if run else (target, "", None)
    most, stage = max((each["peak_mib"], name) for name, each in stages.items())
    told, with_airflow = f"{most:,.0f} MiB ({stage})", most
    if run:
        told += (
            f"; all tasks at one time {run['peak_mib']:,.0f} MiB, Airflow itself up to {run['airflow_mib']:,.0f} more"
        )
        most = max(most, run["peak_mib"])
        with_airflow = run["peak_mib"] + run["airflow_mib"]
    yield "4 GiB of memory", told, True if with_airflow <= 4096 else False if most > 4096 else None
    target = "scoring and publishing within 2x of the sum of their floors"
    if "floors" in found:
        floors = found["floors"]["floors"]
        ours = stages["score"]["seconds"] + stages["publish"]["seconds"]
        ratio = ours / (floors["score"]["seconds"] + floors["publish"]["seconds"])
        yield target, f"{ratio:.1f}x", ratio <= 2
    else:
        yield target, "", None
    yield from _against_script(found)
    target = "Airflow's own share below 25 %"
    if run:
        share = airflow.own_share(run, _work(found))
        least, most = share["least"] / run["seconds"], share["most"] / run["seconds"]
        yield target, f"{least:.0%} to {most:.0%}", True if most < 0.25 else False if least >= 0.25 else None
    else:
        yield target, "", None


def _against_script(found: Measured) -> Iterator[tuple[str, str, bool | None]]:
    faster, smaller = "10 times faster than the script that people write", "10 times less memory"
    script = found.get("rivals", {}).get("rivals", {}).get(SCRIPT)
    if script is None:
        yield faster, "", None
        yield smaller, "", None
        return
    stages = found["day"]["stages"]
    ours, most = sum(each["seconds"] for each in stages.values()), max(each["peak_mib"] for each in stages.values())
    if script.get("too_large"):
        yield faster, f"it did not end: more than {script['most_mib'] / 1024:.1f} GiB", None
        yield smaller, f"more than {script['peak_mib'] / most:.1f}x", script["peak_mib"] / most >= 10 or None
        return
    yield faster, f"{script['seconds'] / ours:.1f}x", script["seconds"] >= 10 * ours
    yield smaller, f"{script['peak_mib'] / most:.1f}x", script["peak_mib"] >= 10 * most


def _work(found: Measured) -> dict[str, float]:
    """task -> seconds of its process, started and imported, without Airflow."""
    return {name: each["process_seconds"] for name, each in found["day"]["stages"].items()}


def _of_size(size: int, found: Measured) -> Iterator[str]:
    stages, floors = found["day"]["stages"], found.get("floors", {}).get("floors", {})
    rows = found["shop"]["rows"]
    yield f"## A day at {size:,} customers"
    yield ""
    yield (
        f"{rows['orders']:,} orders, {rows['order_items']:,} items, {rows['events']:,} events, "
        f"{found['shop']['days']} days of history. The day after the first; measured {found['day']['at']} UTC."
    )
    yield ""
    yield "| stage | seconds | CPU | of PostgreSQL | peak MiB | rows | rows/s | floor, s | of the floor | others |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for name, each in stages.items():
        floor = floors.get(name)
        count = f"{each['rows']:,}" if each.get("rows") is not None else ""
        speed = f"{each['rows'] / each['seconds']:,.0f}" if each.get("rows") else ""
        ratio = (f"{floor['seconds']:.2f}", f"{each['seconds'] / floor['seconds']:.1f}x") if floor else ("", "")
        yield _row(
            name, f"{each['seconds']:.1f}", f"{each['cpu']:.1f}", f"{each['database_cpu']:.1f}",
            f"{each['peak_mib']:,.0f}", count, speed, *ratio, f"{each['others']:.1f}",
        )  # fmt: skip
    starts = sum(each["process_seconds"] - each["seconds"] for each in stages.values())
    total = [sum(each[name] for each in stages.values()) for name in ("seconds", "cpu", "database_cpu")]
    most = max(each["peak_mib"] for each in stages.values())
    yield _row("**all**", *(f"{each:.1f}" for each in total), f"{most:,.0f}", *[""] * 5)
    yield ""
    yield f"Starting Python and importing before them: {starts:.0f} s more, {starts / len(stages):.1f} s a stage."
    yield ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _growth(measured: Measured, picture: str | None) -> Iterator[str]:
    every = slope(measured, None)
    if every is None:
        return
    sizes = [size for size, _ in _complete(measured)]
    yield "## Cost against size"
    yield ""
    if picture:
        yield f"![cost against size]({picture})"
        yield ""
    yield "Seconds by number of customers, and the slope of log seconds against log customers, 1 being linear:"
    if len(_days(measured)) > 1:
        yield ""
        yield "Not all have as many days of history: compare those that have."
    yield ""
    columns = ["stage", *(f"{size:,}" for size in sizes), "slope"]
    if len(sizes) > 2:
        columns.append("slope of the last two")
    yield _row(*columns)
    yield _row("---", *["---:"] * (len(columns) - 1))
    last = {**measured, "sizes": {str(size): measured["sizes"][str(size)] for size in sizes[-2:]}}
    for name in (*work.STAGES, None):
        cells = [f"{seconds:.1f}" for _, seconds in _seconds(measured, name)]
        cells.append(f"{slope(measured, name):.2f}")
        if len(sizes) > 2:
            cells.append(f"{slope(last, name):.2f}")
        yield _row(name or "**all**", *cells)
    yield ""


def _instead(measured: Measured) -> Iterator[str]:
    sizes = [(size, found) for size, found in _complete(measured) if "rivals" in found]
    if not sizes:
        return
    yield "## Against what people do instead"
    yield ""
    yield "| customers | | seconds | ours | times | peak MiB | ours | times |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|"
    for size, found in sizes:
        stages, rivals = found["day"]["stages"], found["rivals"]["rivals"]
        every = sum(each["seconds"] for each in stages.values())
        most = max(each["peak_mib"] for each in stages.values())
        if script := rivals.get(SCRIPT):
            yield _compared(size, "the script, learning each day", script, "seconds", every, most)
            if not script.get("too_large"):
                without = script["seconds"] - script["steps"][LEARNING]
                applied = {**script, "seconds": without}
                yield _compared(size, "the script, its forest learnt before", applied, "seconds", every, most)
        if inside := rivals.get(IN_POSTGRES):
            ours = stages["features"]
            in_database = {**inside, "peak_mib": None}
            yield _compared(size, IN_POSTGRES, in_database, "seconds", ours["seconds"], ours["peak_mib"])
    yield ""
    scripts = [
        (size, found["rivals"]["rivals"].get(SCRIPT)) for size, found in sizes if SCRIPT in found["rivals"]["rivals"]
    ]
    ended = [(size, script) for size, script in scripts if not script.get("too_large")]
    if ended:
        yield "The script's steps, in seconds:"
        yield ""
        yield _row("customers", *ended[0][1]["steps"])
        yield _row("---:", *["---:"] * len(ended[0][1]["steps"]))
        for size, script in ended:
            yield _row(f"{size:,}", *(f"{seconds:.1f}" for seconds in script["steps"].values()))
        yield ""
    yield from INSTEAD.splitlines()
    yield ""


def _compared(size: int, name: str, rival: Measured, key: str, ours: float, most: float) -> str:
    if rival.get("too_large"):
        held = f"over {rival['most_mib']:,.0f}"
        return _row(
            f"{size:,}",
            name,
            "did not end",
            f"{ours:.1f}",
            "",
            held,
            f"{most:,.0f}",
            f"over {rival['peak_mib'] / most:.1f}",
        )
    memory = ("", "", "")
    if rival["peak_mib"] is not None:
        memory = (f"{rival['peak_mib']:,.0f}", f"{most:,.0f}", f"{rival['peak_mib'] / most:.1f}")
    return _row(f"{size:,}", name, f"{rival[key]:.1f}", f"{ours:.1f}", f"{rival[key] / ours:.1f}", *memory)


def _through_airflow(measured: Measured) -> Iterator[str]:
    sizes = [(size, found) for size, found in _complete(measured) if "airflow" in found]
    if not sizes:
        return
    yield "## Through Airflow"
    yield ""
    headings = ("customers", "end to end", "until published", "a task runs", "work, summed", "work, longest path",
                "Airflow's own", "peak MiB of the tasks", "of Airflow")  # fmt: skip
    yield _row(*headings)
    yield _row(*["---:"] * len(headings))
    for size, found in sizes:
        run = found["airflow"]
        share = airflow.own_share(run, _work(found))
        own = f"{share['least'] / run['seconds']:.0%} to {share['most'] / run['seconds']:.0%}"
        yield _row(
            f"{size:,}", _clock(run["seconds"]), _clock(run["to_publish"]), _clock(run["running"]),
            f"{share['sum_of_work']:.0f} s", f"{share['longest_path']:.0f} s", own,
            f"{run['peak_mib']:,.0f}", f"{run['airflow_mib']:,.0f}",
        )  # fmt: skip
    yield ""
    yield from THROUGH.splitlines()
    yield ""
    size, found = sizes[-1]
    run, alone = found["airflow"], _work(found)
    yield f"Its tasks at {size:,} customers, in seconds since the run was queued:"
    yield ""
    yield "| task | begins | ends | process, s | without Airflow, s |"
    yield "|---|---:|---:|---:|---:|"
    for name, each in sorted(run["stages"].items(), key=lambda item: item[1]["start"]):
        without = f"{alone[name]:.1f}" if name in alone else ""
        yield _row(name, f"{each['start']:.1f}", f"{each['end']:.1f}", f"{each['seconds']:.1f}", without)
    yield ""


def _first_days(measured: Measured) -> Iterator[str]:
    sizes = [(size, found) for size, found in _sizes(measured) if "first" in found]
    if not sizes:
        return
    yield "## The first load, and training"
    yield ""
    yield "All that the shop has, read and checked once. The extract's floor is a bare `COPY` of every table to a file."
    yield ""
    yield "| customers | stage | rows | seconds | CPU | peak MiB | rows/s | floor, s | of the floor |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|---:|"
    for size, found in sizes:
        for name, each in found["first"]["stages"].items():
            floor = found["first"]["floor"] if name == "extract" else None
            ratio = (f"{floor['seconds']:.1f}", f"{each['seconds'] / floor['seconds']:.2f}x") if floor else ("", "")
            yield _row(
                f"{size:,}", name, f"{each['rows']:,}", f"{each['seconds']:.1f}", f"{each['cpu']:.1f}",
                f"{each['peak_mib']:,.0f}", f"{each['rows'] / each['seconds']:,.0f}", *ratio,
            )  # fmt: skip
    yield ""
    for size, found in sizes:
        if training := found.get("train", {}).get("training"):
            yield (
                f"The weekly training at {size:,} customers, one model after the other in one process: "
                f"{training['seconds']:.0f} s, {training['cpu']:.0f} s of CPU, {training['peak_mib']:,.0f} MiB, of "
                f"{training['rows']:,} examples. At a million customers: "
                "[measurements.md](measurements.md#what-does-a-weekly-training-cost)."
            )
            yield ""


def _changes(measured: Measured) -> Iterator[str]:
    if not measured.get(CHANGES):
        return
    yield "## What was changed for it, before and after"
    yield ""
    for each in measured[CHANGES]:
        told = f"**{each['what']}** {each['why']}"
        whole = re.sub("`[^`]+`", lambda command: command[0].replace(" ", _NO_BREAK), told)  # a command stays on a line
        yield from (line.replace(_NO_BREAK, " ") for line in textwrap.wrap(whole, 120, break_on_hyphens=False))
        yield ""
        yield "| | before | after |"
        yield "|---|---:|---:|"
        for name, before, after in each["figures"]:
            yield _row(name, before, after)
        yield ""


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _picture(measured: Measured):
    """Seconds of each greater stage against customers, both by logarithm, and of what people do instead."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.add_subplot()
    sizes = [size for size, _ in _complete(measured)]
    largest = _complete(measured)[-1][1]["day"]["stages"]
    shown = sorted(work.STAGES, key=lambda name: largest[name]["seconds"], reverse=True)[:8]
    every = _seconds(measured, None)
    _line(axes, every, f"all stages, slope {slope(measured, None):.2f}", color="black", linewidth=2.4)
    for name in shown:
        _line(axes, _seconds(measured, name), f"{name}, slope {slope(measured, name):.2f}", linewidth=1.2)
    for rival, style in ((SCRIPT, "--"), (IN_POSTGRES, ":")):
        points = [
            (size, found["rivals"]["rivals"][rival]["seconds"])
            for size, found in _complete(measured)
            if "seconds" in found.get("rivals", {}).get("rivals", {}).get(rival, {})
        ]
        _line(axes, points, rival, color="firebrick", linestyle=style)
    first = every[0][1]
    _line(axes, [(size, first * size / sizes[0]) for size in sizes], "linear", color="grey", linewidth=0.8, marker="")
    axes.set(xscale="log", yscale="log", xlabel="customers", ylabel="seconds", title="A day's stages")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _line(axes, points: Sequence[tuple[int, float]], label: str, **style: Any) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), label=label, **{"marker": "o", "markersize": 4, **style})


def main(to: Path = REPOSITORY / "docs") -> None:
    for known in sorted(to.glob(f"{NAME}*.json")):
        write(json.loads(known.read_text()), to, known.stem)


if __name__ == "__main__":
    main()
