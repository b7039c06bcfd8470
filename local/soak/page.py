"""docs/soak.json, and from that docs/soak.md and its picture: what was to hold, and whether it did."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.stages import DAILY, TASKS
from local.state import REPOSITORY
from segmentation.tables import TARGETS

KEPT = REPOSITORY / "docs" / "soak.json"
PAGE = REPOSITORY / "docs" / "soak.md"
PICTURE = REPOSITORY / "docs" / "pictures" / "soak.png"
WEEKS = 28  # days that are held against each other
NOISE = 0.10  # of what a day costs: machines are never quite alone
LEAST_CPU, LEAST_MIB, LEAST_HELD = 0.3, 30.0, 25.0  # seconds, MiB of a task and of a server: less is no change
LEAST_STOCK, LEAST_STOCK_MIB = 0.01, 1.0  # of what there is, and MiB, that are no growth
NOT_BEFORE = {f"{DAILY}.performance": 30}  # the day on which a task first has something to do
MOST_MOVED_SEED, MOST_MOVED_WEEK = 0.03, 0.10
DATA, HELD = "rows of the shop", "MiB held by "
# Said beside what grows by the day: why it is kept
WHY = {
    "files of the lake, feat": "a day's files, so that any day can be looked at and run again",
    "files of the lake, score": "the same",
    "files of the lake, history": "merged: their number grows with the logarithm of the days",
    "files of the lake, data_docs": "a page per day and gate",
    "files of the lake, models": "copies of the eight newest versions; answers of 60 days",
    "MiB of schema evaluation": "a row per campaign, segment and measure",
    "MiB of schema marketing_internal": "snapshots of 35 days and the feed of 400",
    "MiB of schema quality": "a row per rule and day",
    "files of MLflow": "runs and models of each training",
}

Measured = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """Something that was measured early and late: `most` is what its late value may be at most."""

    name: str
    early: float
    late: float
    most: float

    @property
    def is_fine(self) -> bool:
        return self.late <= self.most


def keep(measured: dict[str, Any]) -> None:
    """Keeps what was measured so far."""
    KEPT.write_text(json.dumps(measured, default=str) + "\n", encoding="utf-8")


def write() -> bool:
    """Writes the page of what is kept; whether all held that was to hold."""
    measured = json.loads(KEPT.read_text(encoding="utf-8"))
    PAGE.write_text("\n".join(_page(measured)).rstrip() + "\n", encoding="utf-8")
    _picture(measured).savefig(PICTURE, dpi=110, metadata={"Software": None})
    return all(is_so for _, _, is_so in verdicts(measured))


def costs(measured: Measured, figure: str) -> list[Change]:
    """Of each task, and of each DAG as a whole: medians of the first four weeks after the first day, and of the last.

    :param figure: `cpu`, in seconds, which may grow as the shop's rows do; or `peak_mib`, of which most is programs.
    """
    days = measured["every_day"][1:]
    first, last = days[:WEEKS], days[-WEEKS:]
    least = LEAST_CPU if figure == "cpu" else LEAST_MIB
    found = []
    for dag, tasks in TASKS.items():
        for name in (None, *tasks):
            begun = first if f"{dag}.{name}" not in NOT_BEFORE else days[NOT_BEFORE[f"{dag}.{name}"] :][:WEEKS]
            early, late = (_median(each, figure, dag, name) for each in (begun, last))
            if early is None or late is None:
                continue
            most = max(early * (1 + NOISE) * growth_of_the_shop(measured), early + least)
            found.append(Change(dag if name is None else f"{dag}.{name}", early, late, most))
    return found


def stocks(measured: Measured) -> list[Change]:
    """How much of everything came in the four weeks before the last four, and in the last four.

    By then all that is kept for a time is full; what grows goes on at its pace, or faster only as the shop does.
    """
    days = measured["every_day"]
    before, middle, end = (days[place]["there"] for place in (-1 - 2 * WEEKS, -1 - WEEKS, -1))
    found = []
    for name in sorted(name for name in end if not name.startswith(HELD)):
        early, late = middle.get(name, 0.0) - before.get(name, 0.0), end[name] - middle.get(name, 0.0)
        least = max(LEAST_STOCK * middle.get(name, 0.0), LEAST_STOCK_MIB if name.startswith("MiB") else 0.0)
        most = max(early, 0.0) * (1 + NOISE) * growth_of_the_shop(measured) + least
        found.append(Change(name, early, late, most))
    return found


def servers(measured: Measured) -> list[Change]:
    """The memory of each server: medians of the four weeks before the last four, and of the last four."""
    days = [day["there"] for day in measured["every_day"]]
    found = []
    for name in sorted(name for name in days[-1] if name.startswith(HELD)):
        early, late = (
            statistics.median(day[name] for day in part) for part in (days[-2 * WEEKS : -WEEKS], days[-WEEKS:])
        )
        found.append(Change(name, early, late, early + LEAST_HELD))
    return found


def growth_of_the_shop(measured: Measured) -> float:
    """By how much the shop's rows have become more from the first four weeks to the last four."""
    rows = [each["there"][DATA] for each in measured["every_day"][1:]]
    return statistics.median(rows[-WEEKS:]) / statistics.median(rows[:WEEKS])


def broken_promises(measured: Measured) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """(model, measure) -> the days on which what came true is surely below what was promised.

    Surely: the intervals do not touch, on the worse side; of the total of spend, also the whole interval is outside
    0.75 to 1.25.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in measured["promises"]:
        worse = found.setdefault((each["model"], each["metric"]), [])
        if each["realised_low"] is None or each["promised"] is None:
            continue
        if each["metric"] in ("auc", "spearman"):
            is_worse = each["realised_high"] < (each["promised_low"] or each["promised"])
        elif each["metric"] == "calibration_error":
            is_worse = each["realised_low"] > (each["promised_high"] or each["promised"])
        else:
            low, high = (each[f"promised_{end}"] or each["promised"] for end in ("low", "high"))
            above, below = each["realised_low"] > max(high, 1), each["realised_high"] < min(low, 1)
            is_worse = above or below or each["realised_low"] > 1.25 or each["realised_high"] < 0.75
        worse += [each] * is_worse
    return found


def verdicts(measured: Measured) -> list[tuple[str, str, bool]]:
    """What was to hold, what was measured, whether it did."""
    days = measured["every_day"]
    shop = growth_of_the_shop(measured) - 1
    sizes, cpu, memory = stocks(measured), costs(measured, "cpu"), costs(measured, "peak_mib")
    day = next(each for each in cpu if each.name == DAILY)
    weekly = [each["moved_in_a_week"] for each in days if each["moved_in_a_week"] is not None]
    promised = broken_promises(measured)
    worse = {key: each for key, each in promised.items() if each}
    broken, again = measured["broken"], measured["erased_and_there"]
    return [
        ("no growth of files beyond the data's own",
         f"{_named(_of(sizes, 'files'), 'of the counts')} as in the weeks before; {_in_a_year(sizes)}",
         _fine(_of(sizes, "files"))),
        ("nor of tables", _named(_of(sizes, "tables", "MiB of schema", "sessions"), "of their sizes"),
         _fine(_of(sizes, "tables", "MiB of schema", "sessions"))),
        ("nor of memory", _named([*memory, *servers(measured)], "of tasks and servers"),
         _fine([*memory, *servers(measured)])),
        ("nor of run time", f"a day's CPU seconds {day.late / day.early - 1:+.0%}, the shop's rows {shop:+.0%}; "
         + _named(cpu, "of DAGs and tasks"), _fine(cpu)),
        ("segments stay themselves: fewer than 10% move in a week",
         f"at most {max(weekly):.1%}, median {statistics.median(weekly):.1%}", max(weekly) < MOST_MOVED_WEEK),
        ("realised accuracy stays at its promise",
         f"{len(promised) - len(worse)} of {len(promised)} measures on every day that could be judged "
         f"({_judged(measured)})"
         + "".join(f"; {model} {metric} was worse on {len(found)} days" for (model, metric), found in worse.items()),
         not worse),
        ("the feed is the table, the history is the table, nothing lies about",
         f"{len(broken)} breaches in {len(days) // 7 + 1} looks", not broken),
        ("who was erased stays away", f"{again} of {measured['erased']} persons are there again", not again),
    ]  # fmt: skip


def _judged(measured: Measured) -> str:
    """On how many days each model was, and which of them on none: a horizon of 90 days ends late in a season."""
    days = {name: {each["as_of_date"] for each in measured["promises"] if each["model"] == name} for name in TARGETS}
    told = [f"{name} on {len(found)}" for name, found in days.items() if found]
    missing = [name for name, found in days.items() if not found]
    return ", ".join(told) + (f"; on none {', '.join(missing)}" if missing else "")


def _in_a_year(changes: Sequence[Change]) -> str:
    """What a year adds at the pace of the last four weeks: days are kept, so that any can be run again."""
    wanted = ("files of the lake", "MiB of the lake", "files of MLflow", "MiB of MLflow")
    found = {each.name: each.late * 365 / WEEKS for each in changes if each.name in wanted and each.late > 0}
    return "at that pace a year adds " + ", ".join(f"{more:,.0f} {name}" for name, more in found.items())


def _of(changes: Sequence[Change], *beginnings: str) -> list[Change]:
    return [each for each in changes if each.name.startswith(beginnings)]


def _fine(changes: Sequence[Change]) -> bool:
    return all(each.is_fine for each in changes)


def _named(changes: Sequence[Change], whose: str) -> str:
    grown = [each.name for each in changes if not each.is_fine]
    return f"{len(changes) - len(grown)} of {len(changes)} {whose}" + (f"; not {', '.join(grown)}" if grown else "")


def _median(days: Sequence[Measured], figure: str, dag: str, task: str | None) -> float | None:
    """Of the days on which the task, or the DAG, ran; of memory, the DAG's is that of its largest task."""
    values = []
    for day in days:
        own = {name.partition(".")[2]: value for name, value in day[figure].items() if name.startswith(f"{dag}.")}
        if not own or (task is not None and task not in own):
            continue
        whole = max(own.values()) if figure == "peak_mib" else sum(own.values())
        values.append(whole if task is None else own[task])
    return statistics.median(values) if values else None


def _page(measured: Measured) -> Iterator[str]:
    days = measured["every_day"]
    yield "# A season of a shop's life"
    yield ""
    yield "<!-- generated by `make soak`; do not edit -->"
    yield ""
    yield (
        f"`make soak CUSTOMERS={measured['customers']} DAYS={measured['days']}`, {measured['made_at']} UTC, code "
        f"{measured['code']}: a simulated shop, {len(days)} days, each with its daily run and its evaluation of "
        "campaigns, every seventh with a training and product movement, every 28th with the policy. 2 % of the "
        "orders and 1 % of the sessions come one to three days late; on day 30 the shop adds a column to its "
        "customers, on day 60 to its orders; a person is erased every week; nobody answers when a training asks. "
        "Trainings make the same kinds of models by fewer tries (`QUICK_TRAINING`). Tasks run in processes of their "
        "own, without Airflow. What is kept by the clock is made a day older after each day."
    )
    yield ""
    if note := measured.get("note"):  # for people, in docs/soak.json: what has to be known of this run
        yield note
        yield ""
    yield "| was to hold | measured | holds |"
    yield "|---|---|---|"
    for what, found, is_so in verdicts(measured):
        yield f"| {what} | {found} | {'yes' if is_so else '**no**'} |"
    yield ""
    yield "![files, memory, CPU and segments by day](pictures/soak.png)"
    yield ""
    yield from _costs_of(measured)
    yield from _stocks_of(measured)
    yield from _segments_of(measured)
    yield from _promises_of(measured)


def _costs_of(measured: Measured) -> Iterator[str]:
    shop = growth_of_the_shop(measured) - 1
    yield "## What a run costs"
    yield ""
    yield (
        f"Medians of the first four weeks and of the last four. The shop's rows grew by {shop:.0%} meanwhile: CPU may "
        f"grow by as much, and by {NOISE:.0%} or {LEAST_CPU} s, which is chance; memory by {LEAST_MIB:.0f} MiB. Tasks "
        "of a second and more."
    )
    yield ""
    yield "| | CPU, s, early | late | | peak MiB, early | late | |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    memory = {each.name: each for each in costs(measured, "peak_mib")}
    for each in costs(measured, "cpu"):
        if "." in each.name and max(each.early, each.late) < 1:
            continue
        held = memory[each.name]
        yield f"| {_task(each.name)} | {_change(each, '.1f')} | {_change(held, ',.0f')} |"
    yield ""
    told = "; ".join(f"{each.name.removeprefix(HELD)} {_change(each, ',.0f')}" for each in servers(measured))
    yield (
        f"Memory of the servers, MiB, medians of the four weeks before the last four | of the last four, which may be "
        f"{LEAST_HELD:.0f} more: {told}. PostgreSQL's grows until its shared buffers (128 MiB) have all been used."
    )
    yield ""


def _stocks_of(measured: Measured) -> Iterator[str]:
    first, last = (measured["every_day"][place]["there"] for place in (0, -1))
    yield "## What there is"
    yield ""
    yield "What came in the four weeks before the last four, and in the last four: by then all that is kept for a time"
    yield "is full. More than before is growth beyond the data's own, but for 1 % of what there is, and 1 MiB."
    yield ""
    yield "| | on the first day | on the last | more in 4 weeks | in the last 4 | | why it is kept |"
    yield "|---|---:|---:|---:|---:|---|---|"
    for each in stocks(measured):
        if not last[each.name] and not first.get(each.name):
            continue
        digits = ",.0f" if each.name.startswith(("files", "rows", "tables", "sessions", "customers")) else ",.1f"
        cells = (first.get(each.name, 0.0), last[each.name], each.early, each.late)
        numbers = " | ".join(format(cell, digits) for cell in cells)
        fine = "" if each.is_fine else "**more**"
        yield f"| {each.name} | {numbers} | {fine} | {WHY.get(each.name, '')} |"
    yield ""


def _segments_of(measured: Measured) -> Iterator[str]:
    trained = {each["day"]: each for each in measured["trainings"]}
    days = measured["every_day"]
    yield "## Segments, week by week"
    yield ""
    yield "| day | segments | moved in the week | on the day | training | ids that came | that went |"
    yield "|---|---:|---:|---:|---|---|---|"
    before: Mapping[str, str] = {}
    for number in range(0, len(days), 7):
        day = days[number]
        told = trained.get(day["day"], {}).get("outcomes", {}).get("customer_segments", "")
        week = day["moved_in_a_week"]
        came = [f"{key} {name}" for key, name in day["segments"].items() if key not in before] if number else []
        gone = [f"{key} {name}" for key, name in before.items() if key not in day["segments"]]
        yield (
            f"| {day['day']} | {len(day['segments'])} | {'' if week is None else f'{week:.1%}'} | {day['moved']:.1%} "
            f"| {told} | {', '.join(came)} | {', '.join(gone)} |"
        )
        before = day["segments"]
    yield ""
    renamed = {
        (key, name, day["segments"][key])
        for previous, day in itertools.pairwise(days)
        for key, name in previous["segments"].items()
        if key in day["segments"] and day["segments"][key] != name
    }
    yield f"Segments that kept their id and changed their name: {len(renamed)}."
    early = [each for each in measured["trainings"] if each["reasons"]]
    yield f"Trainings before their time: {len(early)}." + "".join(
        f" {each['day']}: {'; '.join(each['reasons'])}." for each in early
    )
    yield ""


def _promises_of(measured: Measured) -> Iterator[str]:
    yield "## What came true"
    yield ""
    yield "Of the days whose horizons ended within the season; medians over these days."
    yield ""
    yield "| model | measure | days | promised | came true | surely worse on |"
    yield "|---|---|---:|---:|---:|---:|"
    worse = broken_promises(measured)
    for model, metric in worse:
        rows = [each for each in measured["promises"] if (each["model"], each["metric"]) == (model, metric)]
        promised = [each["promised"] for each in rows if each["promised"] is not None]
        realised = [each["realised"] for each in rows if each["realised"] is not None]
        yield (
            f"| {model} | {metric} | {len(rows)} | {statistics.median(promised):.3f} | "
            f"{statistics.median(realised):.3f} | {len(worse[model, metric])} |"
            if promised and realised
            else f"| {model} | {metric} | {len(rows)} | | | |"
        )
    yield ""


def _task(name: str) -> str:
    return f"`{name.partition('.')[2]}`" if "." in name else f"**{name}**"


def _change(each: Change, digits: str) -> str:
    share = f"{each.late / each.early - 1:+.0%}" if each.early else ""
    return f"{each.early:{digits}} | {each.late:{digits}} | {share if each.is_fine else f'**{share}**'}"


def _picture(measured: Measured):
    """By day: a daily run's CPU and memory, and what there is in files and tables, each against the shop's rows."""
    from matplotlib.figure import Figure

    days = measured["every_day"]
    figure = Figure(figsize=(11, 7), layout="constrained")
    ((cpu, memory), (there, moved)) = figure.subplots(2, 2)
    x = range(len(days))
    daily = [sum(value for name, value in day["cpu"].items() if name.startswith(f"{DAILY}.")) for day in days]
    cpu.plot(x, daily, label="a daily run")
    middle = statistics.median(daily[1 : WEEKS + 1]) / days[WEEKS // 2]["there"][DATA]
    cpu.plot(x, [day["there"][DATA] * middle for day in days], color="grey", linewidth=0.8, label="as the shop's rows")
    cpu.set(title="CPU seconds", ylim=(0, None))
    peaks = [max(value for name, value in day["peak_mib"].items() if name.startswith(f"{DAILY}.")) for day in days]
    memory.plot(x, peaks, label="largest task of a daily run")
    for name in ("MiB held by PostgreSQL", "MiB held by MLflow"):
        memory.plot(x, [day["there"][name] for day in days], label=name.removeprefix("MiB held by "))
    memory.set(title="memory, MiB", ylim=(0, None))
    for name in ("files of the lake", "files of MLflow", "MiB of schema marketing_internal", "tables", DATA):
        values = [day["there"].get(name, 0.0) for day in days]
        label = name.replace("MiB of schema marketing_internal", "MiB of snapshots and feed")
        there.plot(x, [value / (values[0] or 1) for value in values], label=label)
    there.set(title="what there is, first day = 1", yscale="log")
    moved.plot(x, [day["moved"] for day in days], label="since the day before")
    moved.plot(x, [day["moved_in_a_week"] for day in days], label="since a week before")
    moved.axhline(MOST_MOVED_WEEK, color="grey", linewidth=0.8)
    moved.set(title="share of customers in another segment", ylim=(0, None))
    for axes in (cpu, memory, there, moved):
        axes.set_xlabel("day")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure
