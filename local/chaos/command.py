"""The passes: the reference once, then the same steps under faults, from the same backup, until there were enough."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local import backup as backups
from local import load, reset
from local.chaos import faults as kinds_of_faults
from local.chaos import programme, report, told
from local.chaos.faults import Fault, Ground, Outcome
from local.chaos.programme import Runner
from local.chaos.readers import Readers
from local.chaos.stages import StageRunner
from local.environment import QUICK_TRAINING
from local.errors import StackError
from local.restore import restore
from local.simulator.settings import LAST_DAY, Settings
from local.stack import Stack
from local.stages import DAILY, ERASE, WEEKLY, BareStack, Step
from local.state import REPOSITORY

CUSTOMERS, SHOP_DAYS, DAYS = 800, 300, 4
DAILY_FAULTS, WEEKLY_FAULTS, OTHER_FAULTS = 12, 8, 4
# A training within seconds that makes the same models each time, and no question that a human would have to answer
QUICK = {
    **QUICK_TRAINING,
    "SEGMENTATION_CLUSTER__FINALISTS": "1",
    "SEGMENTATION_PROMOTION__GOOD_GAIN": "-1",
    "SEGMENTATION_PROMOTION__BAD_GAIN": "-1",
    "SEGMENTATION_PROMOTION__GOOD_CALIBRATION_ERROR": "1",
    "SEGMENTATION_PROMOTION__BAD_CALIBRATION_ERROR": "1",
    "SEGMENTATION_PROMOTION__GOOD_TOTAL_OFF": "1000",
    "SEGMENTATION_PROMOTION__BAD_TOTAL_OFF": "1000",
    "SEGMENTATION_PROMOTION__GOOD_FAIRNESS_GAP": "1",
    "SEGMENTATION_PROMOTION__BAD_FAIRNESS_GAP": "1",
    "SEGMENTATION_PROMOTION__GOOD_RATIO_GAP": "1000",
    "SEGMENTATION_PROMOTION__BAD_RATIO_GAP": "1000",
    "SEGMENTATION_PROMOTION__MOST_BELOW_PROMISE": "1",
    "SEGMENTATION_PROMOTION__GOOD_CHANGED_SHARE": "1",
    "SEGMENTATION_PROMOTION__BAD_CHANGED_SHARE": "1",
    "SEGMENTATION_RETRY_SECONDS": "5",
}
# Of a task's usual time little is its own: where it matters most that nothing is half done, faults come more often
MATTERS = {"publish": 3, "promote": 3, "compare": 2, "validate_raw": 2, "erase": 2, "roll_back": 2}


@dataclass
class Reference:
    """What the undisturbed run left after each step, and how long its tasks took."""

    everybody: set[str]  # who is in the published table all the while
    told: list[dict[str, told.Rows]] = field(default_factory=list)
    usual: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Result:
    """What was done and found."""

    seed: int
    has_airflow: bool = True
    outcomes: list[Outcome] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    clears: int = 0
    checks: int = 0
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    begun: float = field(default_factory=time.monotonic)

    def take(self, readers: Readers) -> None:
        """What the readers have seen so far."""
        self.findings = list(readers.findings)
        self.counts = dataclasses.asdict(readers.counts)


@dataclass(frozen=True)
class Asked:
    """What is to be done.

    :param faults: so many are injected, at least.
    :param seed: of the lots; None: one is drawn, and told.
    :param kinds: those that are injected; none stands for all.
    :param dags: into whose runs they are injected; none stands for all.
    :param days: of the daily run, in each pass; DAYS at most, 0: none, and the other DAGs run for the day before.
    :param has_airflow: whether Airflow runs the tasks, or each is a process of its own; see `stages`.
    :param baseline: a backup that an earlier run has made, to begin from without a training.
    """

    faults: int
    seed: int | None = None
    kinds: Sequence[str] = ()
    dags: Sequence[str] = ()
    days: int = DAYS
    has_airflow: bool = True
    baseline: Path | None = None


def chaos(asked: Asked) -> int:
    """Runs the whole; returns the exit status: 0 if every fault was recovered from and the readers saw nothing odd.

    :raises StackError: the undisturbed run fails, or no kind or DAG is left.
    """
    home = Path(os.environ.get("FENQUN_CHAOS") or REPOSITORY / ".chaos").resolve()
    if (home / "state.json").exists():
        raise StackError(f"{home} holds another run's stack, or what is left of one: stop it, and remove the folder.")
    if asked.baseline and list((asked.baseline.parent / "erased").glob("*")):
        raise StackError(f"{asked.baseline.parent / 'erased'} names persons who would be erased again: move it away.")
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10_000)
    result = Result(seed, asked.has_airflow)
    why_not = kinds_of_faults.can_mount()
    known = kinds_of_faults.kinds(has_disk=why_not is None, has_airflow=asked.has_airflow)
    if why_not:
        result.left_out["disk"] = why_not
    if unknown := set(asked.kinds) - set(known) - {"disk"}:
        raise StackError(f"There is no kind {', '.join(sorted(unknown))}; there are: {', '.join(known)}.")
    wanted = [kind for kind in known if not asked.kinds or kind in asked.kinds]
    if not wanted:
        raise StackError(f"Nothing is left to inject: {why_not}.")
    os.environ.update(QUICK)
    log = _log(home.with_name(f"{home.name}.log"))
    log(f"seed {seed}, {asked.faults} faults of {', '.join(wanted)}; the stack is in {home}")
    disk = kinds_of_faults.small_disk(home) if why_not is None else contextlib.nullcontext()
    with disk:
        stack = Stack(home) if asked.has_airflow else BareStack(home)
        ground = Ground(stack, Readers(stack.postgres), log)
        try:
            _all_passes(ground, result, asked, wanted)
        finally:
            ground.readers.stop()
            stack.down(lambda line: None)
            result.take(ground.readers)
            if result.outcomes:  # of steps that were gone through and compared, however it has ended
                report.keep(result)
    report.show(result, log)
    return 0 if all(outcome.is_recovered for outcome in result.outcomes) and not result.findings else 1


def _all_passes(ground: Ground, result: Result, asked: Asked, kinds: Sequence[str]) -> None:
    first = LAST_DAY - timedelta(days=DAYS + 1)  # whatever is asked: a baseline serves any number of days
    steps = programme.steps(first, asked.days)
    runner = Runner(ground) if result.has_airflow else StageRunner(ground)
    draw, dags = random.Random(result.seed), set(asked.dags) or {step.dag for step in steps}
    if unknown := dags - {step.dag for step in steps}:
        raise StackError(f"No step is a run of {', '.join(sorted(unknown))}.")
    steps = [step for step in steps if step.dag in {DAILY, *dags}]  # the days are what all others go by
    baseline = asked.baseline or _prepare(ground, runner, first)
    if asked.baseline:
        _go_back(ground, baseline)
    reference = _reference(ground, runner, steps)
    met: Counter = Counter()
    number = 0
    while len(result.outcomes) < asked.faults:
        number += 1
        ground.log(f"Pass {number}: back to the state before")
        _go_back(ground, baseline)
        ground.readers.start(sorted(reference.everybody))
        for place, step in enumerate(steps):
            left = asked.faults - len(result.outcomes)
            if left <= 0:
                break
            wanted = _plan(draw, step, reference.usual[place], kinds, met, left) if step.dag in dags else []
            if not _gone_through(ground, runner, result, step, wanted, reference, place):
                ground.log("  What comes after would differ as well: the next pass begins.")
                break
        ground.readers.stop()
        result.take(ground.readers)
        report.keep(result)


def _prepare(ground: Ground, runner: Runner | StageRunner, first) -> Path:
    """The shop, its first training and day; returns the backup of that state."""
    log = ground.log
    log("Starting a stack and making its shop")
    addresses = ground.stack.up(lambda line: None)
    settings = Settings.until(LAST_DAY, SHOP_DAYS, customers=CUSTOMERS)
    load.simulate(addresses.warehouse, settings, SHOP_DAYS, lambda *_: None)
    reset.forget_previous_shop(ground.stack, log)
    for dag in (WEEKLY, DAILY):
        begun = time.monotonic()
        runner.undisturbed(Step(dag, first))
        log(f"  {dag} {first}: {time.monotonic() - begun:.1f} s")
    return backups.backup(ground.stack, None, None, lambda line: None)


def _go_back(ground: Ground, baseline: Path) -> None:
    # A restore erases again who was erased after the backup, for ever; here nobody has been, as the run begins anew
    shutil.rmtree(ground.stack.folders.erased, ignore_errors=True)
    restore(ground.stack, str(baseline), force=True, say=lambda line: None)


def _reference(ground: Ground, runner: Runner | StageRunner, steps: Sequence[Step]) -> Reference:
    ground.log("The undisturbed run")
    found = Reference(everybody=_customers(_told(ground, steps[0])))
    for step in steps:
        begun = time.monotonic()
        found.usual.append(runner.undisturbed(step))
        found.told.append(_told(ground, step))
        if step.dag != ERASE:
            found.everybody &= _customers(found.told[-1])
        broken = told.broken(ground.addresses, str(ground.stack.folders.lake), is_compacted=step.dag == DAILY)
        if broken:
            raise StackError(f"{step.name}, undisturbed: {'; '.join(str(each) for each in broken)}")
        sums = told.checksum(sorted(found.told[-1].items()))
        ground.log(f"  {step.name}: {time.monotonic() - begun:.1f} s, {sums}")
    return found


def _customers(rows: dict[str, told.Rows]) -> set[str]:
    return {customer for _, customer, *_ in rows["published table"]}


def _told(ground: Ground, step: Step) -> dict[str, told.Rows]:
    days = [step.day] if step.day and step.dag == DAILY else []
    return told.tell(ground.addresses, str(ground.stack.folders.lake), days)


def _plan(
    draw: random.Random, step: Step, usual: dict[str, float], kinds: Sequence[str], met: Counter, left: int
) -> list[Fault]:
    """The faults of a step, in the order of its tasks: those pairs of task and kind first that were least met."""
    count = min(left, {DAILY: DAILY_FAULTS, WEEKLY: WEEKLY_FAULTS}.get(step.dag, OTHER_FAULTS))
    order = list(usual)
    pairs = [(kind, task) for task in order for kind in kinds]
    planned = []
    for _ in range(count):
        kind, task = min(
            pairs,
            key=lambda pair: (
                met[(*pair, step.dag)] / MATTERS.get(pair[1], 1), met[pair[0]], met[("task", pair[1])], draw.random()
            ),
        )  # fmt: skip
        met[(kind, task, step.dag)] += 1
        met[kind] += 1
        met[("task", task)] += 1
        planned.append(kinds_of_faults.drawn(draw, kind, task))
    return sorted(planned, key=lambda fault: order.index(fault.task))


def _gone_through(
    ground: Ground,
    runner: Runner | StageRunner,
    result: Result,
    step: Step,
    wanted: Sequence[Fault],
    reference: Reference,
    place: int,
) -> bool:
    """Runs a step under faults and holds what it leaves against the reference; whether all is as it was there."""
    first = len(result.outcomes) + 1
    outcomes = [Outcome(first + number, fault, step.dag, step.name) for number, fault in enumerate(wanted)]
    if step.dag == ERASE:
        ground.readers.somebody_leaves(len(step.listed))
    begun = time.monotonic()
    problems: list[str] = []
    try:
        result.clears += runner.disturbed(step, wanted, reference.usual[place], outcomes)
        ground.up()
        is_compacted = step.dag == DAILY
        broken = told.broken(ground.addresses, str(ground.stack.folders.lake), is_compacted=is_compacted)
        differing = told.differences(reference.told[place], _told(ground, step))
        problems = [str(each) for each in (*broken, *differing)]
        result.checks += 1
    except Exception as error:
        problems = [f"{type(error).__name__}: {error!s:.1000}"]
    for outcome in outcomes:
        outcome.problems += problems
    # What hit nothing was no fault, and nothing was recovered from it
    result.outcomes += [outcome for outcome in outcomes if outcome.hit or outcome.problems]
    verdict = "as without faults" if not problems else "DIFFERS"
    seen = ground.readers.findings
    ground.log(
        f"  {step.name}: {len(wanted)} faults, {time.monotonic() - begun:.1f} s, {verdict}; "
        f"findings of the readers so far: {len(seen)}"
    )
    for problem in problems:
        ground.log(f"    {problem}")
    for finding in seen[-3:]:
        ground.log(f"    readers: {finding}")
    return not problems and all(outcome.is_recovered for outcome in outcomes)


def _log(path: Path) -> Callable[[str], None]:
    """To the terminal and to a file beside the stack's folder."""

    def log(words: str) -> None:
        line = f"{datetime.now(UTC):%H:%M:%S}  {words}"
        print(line, flush=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return log
