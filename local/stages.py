"""The DAGs' tasks without Airflow: each task's function in a process of its own, and what it cost.

The processes are forked from one that has imported every stage, so that a task of a small shop takes no longer than
its work. What Airflow adds is missing: the scheduler, tasks at the same time, heartbeats, retries, the callbacks.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from local.errors import StackError
from local.stack import Addresses, Say, Stack
from local.state import State
from segmentation import strategy_file, tables, warehouse
from segmentation.settings import Stores

DAILY, WEEKLY, POLICY = "segment_customers_daily", "train_models_weekly", "learn_policy_weekly"
PRODUCTS, CAMPAIGNS, ERASE = "classify_products_weekly", "evaluate_campaigns_daily", "erase_customers"
_GATES = {"validate_features": tables.CUSTOMER_FEATURES, "validate_scores": tables.CUSTOMER_SCORES,
          "validate_strategies": tables.STRATEGIES}  # fmt: skip
_DAY = ("validate_raw", "aggregates")
TASKS = {
    DAILY: ("extract", *_DAY, "features", "validate_features", "score", "validate_scores", "recommend", "strategy",
            "validate_strategies", "publish", "compact", "drop_snapshots", "performance", "drift", "retrain"),
    WEEKLY: ("extract", *_DAY, "training_examples", "cluster", "classify", "compare", "promote"),
    PRODUCTS: ("extract", *_DAY, "movement"),
    CAMPAIGNS: ("extract", "validate_raw", "evaluate"),
    POLICY: ("extract", *_DAY, "contact_examples", "learn", "compare", "promote"),
    "roll_back_segments": ("roll_back_segments",),
    "roll_back_model": ("roll_back_model",),
    "export_segment": ("export_segment",),
    "export_customer": ("export_customer",),
    ERASE: ("erase",),
}  # fmt: skip
_PRELOADED = """
aggregates classify cluster compaction compare contact_features drift erase evaluate extract features learn_policy
movement performance personal_export promote publish recommend retention retrain rollback score segment_export
strategy validate
"""
KIB_OF_MIB = 1024


class BareStack(Stack):
    """A stack without Airflow: PostgreSQL and MLflow."""

    def up(self, say: Say = print, *, is_restoring: bool = False, names: Sequence[str] = ("mlflow",)) -> Addresses:
        """As `Stack.up`."""
        return super().up(say, is_restoring=is_restoring, names=names)


@dataclass(frozen=True)
class Step:
    """A run of a DAG: for a day, or on request with parameters that are looked up in the database.

    :param asks: parameter -> the query that finds its value.
    :param listed: parameters whose value is a list.
    """

    dag: str
    day: dt.date | None = None
    asks: Mapping[str, str] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    conf: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.dag} {self.day}" if self.day else self.dag


@dataclass(frozen=True)
class Call:
    """A function of `segmentation` with its arguments, as it goes to the process; `task` is whose it is."""

    task: str
    module: str
    function: str
    arguments: tuple


@dataclass(frozen=True)
class Usage:
    """What a call cost its process: seconds by the clock and of CPU, and the most memory, the imports' included."""

    task: str
    seconds: float
    cpu: float
    peak_mib: float


class Stages:
    """Calls the functions of tasks on a stack.

    :param answers: what a human answers to the questions of a comparison, as `promote_models` takes it; None: nothing.
    :param strategies: the file of strategies.
    :param targets: the models of TARGETS that are trained; the others are skipped, as where a shop has too little data.
    """

    def __init__(
        self,
        stack: Stack,
        answers: Callable[[Mapping[str, Any]], list[dict[str, Any]] | None] = lambda _: None,
        strategies: Path = strategy_file.CONFIG,
        targets: Collection[str] = tuple(tables.TARGETS),
    ) -> None:
        self.stack = stack
        self.answers = answers
        self.strategies = strategies
        self.targets = targets
        self.used: list[Usage] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([f"segmentation.{name}" for name in _PRELOADED.split()])
        self._returned: dict[str, list[Any]] = {}

    def begin(self) -> None:
        """Another run begins: what tasks have returned is forgotten."""
        self._returned.clear()

    def begin_task(self, task: str) -> None:
        """What an earlier try of a task has returned is forgotten."""
        self._returned.pop(task, None)

    def run(self, step: Step, without: Collection[str] = ()) -> dict[str, Any]:
        """Runs a DAG's tasks in order; returns what the last call of each has returned.

        :param without: tasks that are left out, as nothing is done with what they make.
        :raises StackError: one has failed; names it, and its own words.
        """
        self.begin()
        for task in TASKS[step.dag]:
            if task in without:
                continue
            for call in self.calls(step, task):
                if told := self.tried(call):
                    raise StackError(f"{step.name}, {task}, failed: {told}")
        return {task: values[-1] for task, values in self._returned.items() if task in TASKS[step.dag]}

    def tried(self, call: Call, meanwhile: Callable[[BaseProcess], None] | None = None) -> str | None:
        """One try of a call; None if it went well, else what went wrong.

        :param meanwhile: is given the process while it runs.
        """
        ours, theirs = self._context.Pipe(duplex=False)
        # Not in the folder of the components, where `make up` ends whatever belongs to none of them
        folder = self.stack.folders.home / "stages"
        folder.mkdir(exist_ok=True)
        process = self._context.Process(target=_run, args=(call, str(folder), theirs))
        process.start()
        theirs.close()
        if meanwhile is not None:
            meanwhile(process)
        try:
            state, value, used = ours.recv()
        except EOFError:
            process.join()
            state, value, used = "killed", f"its process ended without a word ({process.exitcode})", None
        process.join()
        if used is not None:
            self.used.append(used)
        if state == "done":
            self._returned.setdefault(call.task, []).append(value)
            return None
        return f"for good: {value}" if state == "final" else value

    def calls(self, step: Step, task: str) -> list[Call]:
        """The calls that a task of a step consists of; a task's arguments are what those before it have returned."""
        addresses = self.stack.addresses()
        stores = Stores(addresses.marketing, addresses.marketing, str(self.stack.folders.lake), addresses.mlflow)
        day, run_id = step.day, step.name
        now = dt.datetime.combine(day, dt.time(5), dt.UTC) if day else dt.datetime.now(dt.UTC)

        def one(module: str, function: str, *arguments: Any) -> list[Call]:
            return [Call(task, module, function, (*arguments,))]

        simple: dict[str, tuple[str, str]] = {
            "aggregates": ("aggregates", "build_aggregates"), "features": ("features", "build_features"),
            "recommend": ("recommend", "recommend_products"), "performance": ("performance", "measure_performance"),
            "drift": ("drift", "measure_drift"), "retrain": ("retrain", "retrain_reasons"),
            "movement": ("movement", "classify_products"), "evaluate": ("evaluate", "evaluate_campaigns"),
            "training_examples": ("features", "build_training_examples"), "cluster": ("cluster", "train_segments"),
            "contact_examples": ("contact_features", "build_contact_features"),
            "learn": ("learn_policy", "learn_strategies"),
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
            "score": lambda: one("score", "score_customers", day, now, stores),
            "strategy": lambda: one("strategy", "choose_strategies", day, stores, self._key(), self.strategies),
            "publish": lambda: one("publish", "publish_segments", day, stores, self._last("validate_scores"), run_id),
            "compact": lambda: one("compaction", "compact_history", stores),
            # By the clock, as what it drops was made by the clock
            "drop_snapshots": lambda: one("retention", "drop_old_snapshots", dt.datetime.now(dt.UTC), stores),
            "classify": lambda: [
                Call(task, "classify", "train_target", (model, day, stores)) for model in self.targets
            ],
            "compare": lambda: one("compare", "compare_models", day, self._trained(), stores),
            "promote": lambda: one("promote", "promote_models", day, *self._compared(), stores),
            "roll_back_segments": lambda: one("publish", task, self._asked(step, "snapshot_id"), stores),
            "roll_back_model": lambda: one("rollback", "roll_back", "all", None, run_id, stores),
            "export_segment": lambda: one("segment_export", task, self._asked(step, "segment_id"), "csv", stores),
            "export_customer": lambda: one("personal_export", task, self._asked(step, "id"), now, stores),
            "erase": lambda: one("erase", "erase_customers", [self._asked(step, "ids")], stores, run_id, ()),
        }  # fmt: skip
        return made[task]()

    def _asked(self, step: Step, name: str) -> Any:
        """Looked up when it is first needed: afterwards the database may say otherwise."""
        kept = self._returned.setdefault(f"asked {name}", [])
        if not kept:
            with warehouse.connect(self.stack.addresses().warehouse) as connection:
                kept.append(warehouse.fetch(connection, step.asks[name])[0][0])
        return kept[0]

    def _trained(self) -> list[Any]:
        found = [each for task in ("cluster", "classify", "learn") for each in self._returned.get(task, [])]
        left_out = set(tables.TARGETS) - set(self.targets) if "classify" in self._returned else ()
        return [*found, *({"model": model, "skipped": "not asked for"} for model in sorted(left_out))]

    def _compared(self) -> tuple[Any, list[dict[str, Any]] | None]:
        comparison = self._last("compare")
        return comparison, self.answers(comparison)

    def _last(self, task: str) -> Any:
        return self._returned[task][-1]

    def _key(self) -> str:
        return State.load(self.stack.folders.state).secrets.holdout


def _run(call: Call, folder: str, told) -> None:
    """In the process: the call, and what came of it into the pipe, with what it cost."""
    from segmentation.errors import FinalError

    os.chdir(folder)
    log = open(os.path.join(folder, "stages.log"), "a")  # noqa: SIM115 - as long as the process lives
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    try:
        function = getattr(importlib.import_module(f"segmentation.{call.module}"), call.function)
        answer = ("done", function(*call.arguments))
    except FinalError as error:
        answer = ("final", f"{type(error).__name__}: {error}")
    except Exception as error:
        traceback.print_exc()
        answer = ("failed", f"{type(error).__name__}: {error}")
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    used = Usage(call.task, time.monotonic() - begun, cpu, after.ru_maxrss / KIB_OF_MIB)
    with contextlib.suppress(OSError):
        told.send((*answer, used))
    told.close()
    os._exit(0)
