"""The same as `programme.Runner` without Airflow, so that more faults go into a time; see `local.stages`.

A try that was killed, or failed, is followed by another, as Airflow has it; so is one that failed for good
(`FinalError`), which stands for the clearing by an operator.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess

from local.chaos.faults import Fault, Ground, Outcome
from local.errors import StackError
from local.stages import TASKS, Stages, Step

MOST_TRIES = 8


class StageRunner:
    """Does what `programme.Runner` does, by processes of this program's."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._stages = Stages(ground.stack)

    def undisturbed(self, step: Step) -> dict[str, float]:
        """Runs a step as it is; returns how long each of its tasks took, in order."""
        usual: dict[str, float] = {}
        self._stages.begin()
        for task in TASKS[step.dag]:
            begun = time.monotonic()
            for call in self._stages.calls(step, task):
                if told := self._stages.tried(call):
                    raise StackError(f"{step.name}, {task}, failed without any fault: {told}")
            usual[task] = time.monotonic() - begun
        return usual

    def disturbed(
        self, step: Step, faults: Sequence[Fault], usual: Mapping[str, float], outcomes: Sequence[Outcome]
    ) -> int:
        """Runs a step while faults come; returns how often something that had failed for good was run again."""
        self._stages.begin()
        pending, clears = list(zip(faults, outcomes, strict=True)), 0
        injected: list[tuple[Outcome, float]] = []
        for task in TASKS[step.dag]:
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
        self._stages.begin_task(task)

        def meanwhile(process: BaseProcess) -> None:
            if fault is None or fault[1].hit:
                return
            process.join(max(0.0, begun + wait - time.monotonic()))
            if process.is_alive():
                self._inject(fault, process.pid)

        for call in self._stages.calls(step, task):
            for number in range(1, MOST_TRIES + 1):
                told = self._stages.tried(call, meanwhile)
                if told is None:
                    break
                clears += told.startswith("for good")
                if number == MOST_TRIES:
                    raise StackError(f"{step.name}, {task}, still fails at try {number}: {told}")
                self.ground.log(f"      {task}: {told:.200}; again")
                time.sleep(0.5)
        return clears

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
