"""The same without Airflow: each task's function in a process of its own, so that more faults go into a time.

A try that was killed, or failed, is followed by another, as Airflow has it; so is one that failed for good
(`FinalError`), which stands for the clearing by an operator. What Airflow adds is tried by `programme.Runner` alone:
the scheduler, tasks at the same time, heartbeats, the callbacks.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.chaos.faults import Fault, Ground, Outcome
from local.chaos.programme import DAILY, WEEKLY, Step
from local.errors import StackError
from local.stack import Addresses, Say, Stack
from local.state import State
from segmentation import tables, warehouse
from segmentation.settings import Stores

MOST_TRIES = 8
NOW = dt.datetime(2026, 7, 1, 5, tzinfo=dt.UTC)
_GATES = {"validate_features": tables.CUSTOMER_FEATURES, "validate_scores": tables.CUSTOMER_SCORES,
          "validate_strategies": tables.STRATEGIES}  # fmt: skip
_DAY = ("validate_raw", "aggregates")
_TASKS = {
    DAILY: ("extract", *_DAY, "features", "validate_features", "score", "validate_scores", "recommend", "strategy",
            "validate_strategies", "publish", "compact", "drop_snapshots", "performance", "drift", "retrain"),
    WEEKLY: ("extract", *_DAY, "training_examples", "cluster", "classify", "compare", "promote"),
    "classify_products_weekly": ("extract", *_DAY, "movement"),
    "evaluate_campaigns_daily": ("extract", "validate_raw", "evaluate"),
    "learn_policy_weekly": ("extract", *_DAY, "contact_examples", "learn", "compare", "promote"),
    "roll_back_segments": ("roll_back_segments",),
    "roll_back_model": ("roll_back_model",),
    "export_segment": ("export_segment",),
    "export_customer": ("export_customer",),
    "erase_customers": ("erase",),
}  # fmt: skip
_PRELOADED = """
aggregates classify cluster compaction compare drift erase evaluate extract features learn_policy movement performance
personal_export promote publish recommend retention retrain rollback score segment_export strategy validate
"""


class BareStack(Stack):
    """A stack without Airflow: PostgreSQL and MLflow."""

    def up(self, say: Say = print, *, is_restoring: bool = False, names: Sequence[str] = ("mlflow",)) -> Addresses:
        """As `Stack.up`."""
        return super().up(say, is_restoring=is_restoring, names=names)


@dataclass(frozen=True)
class Call:
    """A function of `segmentation` with its arguments, as it goes to the process; `task` is whose it is."""

    task: str
    module: str
    function: str
    arguments: tuple


class StageRunner:
    """Does what `programme.Runner` does, by processes of this program's."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([f"segmentation.{name}" for name in _PRELOADED.split()])
        self._returned: dict[str, list[Any]] = {}

    def undisturbed(self, step: Step) -> dict[str, float]:
        """Runs a step as it is; returns how long each of its tasks took, in order."""
        usual: dict[str, float] = {}
        self._returned.clear()
        for task in _TASKS[step.dag]:
            begun = time.monotonic()
            for call in self._calls(step, task):
                told = self._tried(call, None)
                if told:
                    raise StackError(f"{step.name}, {task}, failed without any fault: {told}")
            usual[task] = time.monotonic() - begun
        return usual

    def disturbed(
        self, step: Step, faults: Sequence[Fault], usual: Mapping[str, float], outcomes: Sequence[Outcome]
    ) -> int:
        """Runs a step while faults come; returns how often something that had failed for good was run again."""
        self._returned.clear()
        pending, clears = list(zip(faults, outcomes, strict=True)), 0
        injected: list[tuple[Outcome, float]] = []
        for task in _TASKS[step.dag]:
            due = [pair for pair in pending if pair[0].task == task]
            while True:
                fault = due.pop(0) if due else None
                if fault:
                    injected.append((fault[1], time.monotonic()))
                clears += self._task(step, task, usual[task], fault)
                if not due:
                    break
        for outcome, since in injected:
            outcome.run_seconds = time.monotonic() - since
        return clears

    def _task(self, step: Step, task: str, usual: float, fault: tuple[Fault, Outcome] | None) -> int:
        """A task to its good end, with one fault at its moment; returns how often it failed for good before."""
        clears = self._once(step, task, usual * fault[0].moment if fault else 0.0, fault)
        for share in (0.5, 0.25, 0.0):  # it ended before its moment, or its process could not be found yet
            if fault and not fault[1].hit:
                clears += self._once(step, task, usual * fault[0].moment * share, fault)
        return clears

    def _once(self, step: Step, task: str, wait: float, fault: tuple[Fault, Outcome] | None) -> int:
        begun, clears = time.monotonic(), 0
        self._returned.pop(task, None)
        for call in self._calls(step, task):
            for number in range(1, MOST_TRIES + 1):
                is_due = fault is not None and not fault[1].hit
                at = (fault, max(0.0, begun + wait - time.monotonic())) if is_due else None
                told = self._tried(call, at)
                if told is None:
                    break
                clears += told.startswith("for good")
                if number == MOST_TRIES:
                    raise StackError(f"{step.name}, {task}, still fails at try {number}: {told}")
                self.ground.log(f"      {task}: {told:.200}; again")
                time.sleep(0.5)
        return clears

    def _tried(self, call: Call, at: tuple[tuple[Fault, Outcome], float] | None) -> str | None:
        """One try; None if it went well, else what went wrong."""
        ours, theirs = self._context.Pipe(duplex=False)
        # Not in the folder of the components, where `make up` ends whatever belongs to none of them
        folder = self.ground.stack.folders.home / "stages"
        folder.mkdir(exist_ok=True)
        process = self._context.Process(target=_run, args=(call, str(folder), theirs))
        process.start()
        theirs.close()
        if at is not None:
            fault, wait = at
            process.join(wait)
            if process.is_alive():
                self._inject(fault, process.pid)
        try:
            state, value = ours.recv()
        except EOFError:
            process.join()
            state, value = "killed", f"its process ended without a word ({process.exitcode})"
        process.join()
        if state == "done":
            self._returned.setdefault(call.task, []).append(value)
            return None
        return f"for good: {value}" if state == "final" else value

    def _inject(self, fault: tuple[Fault, Outcome], pid: int | None) -> None:
        what, outcome = fault
        begun = time.monotonic()
        try:
            outcome.hit = self.ground.inject(what, pid)
        except Exception as error:
            outcome.hit = "something"
            outcome.problems.append(f"not brought back: {type(error).__name__}: {error!s:.500}")
        outcome.restored_seconds = time.monotonic() - begun
        self.ground.log(
            f"{outcome.number:>4}  {what.kind:<12} at {what.task}, {outcome.step}: {outcome.hit}; "
            f"all up again in {outcome.restored_seconds:.1f} s"
        )

    def _calls(self, step: Step, task: str) -> list[Call]:
        addresses = self.ground.addresses
        stores = Stores(addresses.marketing, addresses.marketing, str(self.ground.stack.folders.lake), addresses.mlflow)
        day, run_id = step.day, f"chaos {step.name}"

        def one(module: str, function: str, *arguments: Any) -> list[Call]:
            return [Call(task, module, function, (*arguments,))]

        simple: dict[str, tuple[str, str]] = {
            "aggregates": ("aggregates", "build_aggregates"), "features": ("features", "build_features"),
            "recommend": ("recommend", "recommend_products"), "performance": ("performance", "measure_performance"),
            "drift": ("drift", "measure_drift"), "retrain": ("retrain", "retrain_reasons"),
            "movement": ("movement", "classify_products"), "evaluate": ("evaluate", "evaluate_campaigns"),
            "training_examples": ("features", "build_training_examples"), "cluster": ("cluster", "train_segments"),
            "contact_examples": ("features", "build_contact_features"), "learn": ("learn_policy", "learn_strategies"),
        }  # fmt: skip
        if task in simple:
            return one(*simple[task], day, stores)
        if task in _GATES:
            return one("validate", "validate_table", _GATES[task], day, stores, run_id)
        made: dict[str, Callable[[], list[Call]]] = {
            "extract": lambda: [
                Call(task, "extract", "extract_entity", (name, day, stores)) for name in tables.ENTITIES
            ],
            "validate_raw": lambda: one("validate", "accept_raw", day, stores, run_id),
            "score": lambda: one("score", "score_customers", day, NOW, stores),
            "strategy": lambda: one("strategy", "choose_strategies", day, stores, self._key()),
            "publish": lambda: one("publish", "publish_segments", day, stores, self._last("validate_scores"), run_id),
            "compact": lambda: one("compaction", "compact_history", stores),
            "drop_snapshots": lambda: one("retention", "drop_old_snapshots", NOW, stores),
            "classify": lambda: [
                Call(task, "classify", "train_target", (model, day, stores)) for model in tables.TARGETS
            ],
            "compare": lambda: one("compare", "compare_models", day, self._trained(), stores),
            "promote": lambda: one("promote", "promote_models", day, self._last("compare"), None, stores),
            "roll_back_segments": lambda: one("publish", task, self._asked(step, "snapshot_id"), stores),
            "roll_back_model": lambda: one("rollback", "roll_back", "all", None, run_id, stores),
            "export_segment": lambda: one("segment_export", task, self._asked(step, "segment_id"), "csv", stores),
            "export_customer": lambda: one("personal_export", task, self._asked(step, "id"), NOW, stores),
            "erase": lambda: one("erase", "erase_customers", [self._asked(step, "ids")], stores, run_id, ()),
        }  # fmt: skip
        return made[task]()

    def _asked(self, step: Step, name: str) -> Any:
        """Looked up when it is first needed: afterwards the database may say otherwise."""
        kept = self._returned.setdefault(f"asked {name}", [])
        if not kept:
            with warehouse.connect(self.ground.addresses.warehouse) as connection:
                kept.append(warehouse.fetch(connection, step.asks[name])[0][0])
        return kept[0]

    def _trained(self) -> list[Any]:
        return [each for task in ("cluster", "classify", "learn") for each in self._returned.get(task, [])]

    def _last(self, task: str) -> Any:
        return self._returned[task][-1]

    def _key(self) -> str:
        return State.load(self.ground.stack.folders.state).secrets.holdout


def _run(call: Call, folder: str, told) -> None:
    """In the process: the call, and what came of it into the pipe."""
    from segmentation.errors import FinalError

    os.chdir(folder)
    log = open(os.path.join(folder, "stages.log"), "a")  # noqa: SIM115 - as long as the process lives
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    try:
        function = getattr(importlib.import_module(f"segmentation.{call.module}"), call.function)
        answer = ("done", function(*call.arguments))
    except FinalError as error:
        answer = ("final", f"{type(error).__name__}: {error}")
    except Exception as error:
        traceback.print_exc()
        answer = ("failed", f"{type(error).__name__}: {error}")
    with contextlib.suppress(OSError):
        told.send(answer)
    told.close()
    os._exit(0)
