"""The programme: runs of each DAG, in the order of some days at a shop, and how one is gone through under faults."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from local import airflow_api
from local.airflow_api import Airflow, AirflowError, Run
from local.chaos.faults import Fault, Ground, Outcome
from local.errors import StackError
from local.stages import CAMPAIGNS, DAILY, ERASE, POLICY, PRODUCTS, WEEKLY, Step
from segmentation import warehouse

FOLLOWED_SECONDS = 900  # a run that has not ended by then stands still
MOST_CLEARS = 4
LOOK_SECONDS = 0.1
LEAST_MOMENT = 0.005
_STATE = "select state from dag_run where dag_id = :dag and run_id = :run"
_TASKS = """
select task_id, map_index, state, pid, extract(epoch from end_date - start_date)::float,
    extract(epoch from end_date)::float
from task_instance where dag_id = :dag and run_id = :run
"""
_PREVIOUS = """
select snapshot_id from marketing.snapshots where status = 'published' and is_kept
and as_of_date < (select max(as_of_date) from marketing.snapshots where status = 'published')
order by as_of_date desc limit 1
"""
_CUSTOMER = "select min(customer_id) from marketing.customer_segments"
_SEGMENT = "select segment_id from marketing.customer_segments group by 1 order by count(*) desc, 1 limit 1"


def steps(first: dt.date, days: int) -> list[Step]:
    """What follows the training and the run of day `first`: some days, the weekly runs, the requests."""
    on = [first + dt.timedelta(days=number) for number in range(1, days + 1)]
    last = [first, *on][-1]
    after = [Step(DAILY, last + dt.timedelta(days=1)), Step("roll_back_segments", asks={"snapshot_id": _PREVIOUS})]
    return [
        *(Step(DAILY, day) for day in on),
        Step(PRODUCTS, last),
        Step(CAMPAIGNS, last),
        Step(POLICY, last),
        Step(WEEKLY, last),
        *(after if days else []),
        Step("roll_back_model", conf={"model": "all"}),
        Step("export_segment", asks={"segment_id": _SEGMENT}),
        Step("export_customer", asks={"id": _CUSTOMER}),
        Step(ERASE, asks={"ids": _CUSTOMER}, listed=frozenset({"ids"})),
    ]


@dataclass(frozen=True)
class Look:
    """A run at one moment: its state, and of each task instance (task, map index) -> (state, pid, seconds, its end)."""

    state: str | None
    tasks: Mapping[tuple[str, int], tuple[str | None, int | None, float | None, float | None]]

    def running(self, task: str) -> tuple[int | None] | None:
        """The pid of a running instance of the task, in a tuple of one; None: none runs."""
        found = [pid for (name, _), (state, pid, *_) in self.tasks.items() if name == task and state == "running"]
        return (found[-1],) if found else None


class Runner:
    """Starts runs, looks at them, and clears what failed."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    @property
    def airflow(self) -> Airflow:
        addresses = self.ground.addresses
        return Airflow(addresses.airflow, addresses.admin_password)

    def start(self, step: Step) -> Run:
        """Has a step begin."""
        if step.day is not None:
            return airflow_api.start(self.airflow, step.dag, step.day, step.conf, self.ground.log)
        conf = dict(step.conf)
        with warehouse.connect(self.ground.addresses.warehouse) as connection:
            for name, query in step.asks.items():
                value = warehouse.fetch(connection, query)[0][0]
                conf[name] = [value] if name in step.listed else value
        return airflow_api.request(self.airflow, step.dag, conf, self.ground.log)

    def look(self, run: Run) -> Look:
        """How the run stands, from Airflow's database: the API would be asked too late for tasks of a second."""
        of_run = {"dag": run.dag_id, "run": run.run_id}
        with warehouse.connect(self.ground.stack.postgres.url("airflow")) as connection:
            state = warehouse.fetch(connection, _STATE, of_run)
            tasks = warehouse.fetch(connection, _TASKS, of_run)
        return Look(state[0][0] if state else None, {(task, index): tuple(rest) for task, index, *rest in tasks})

    def undisturbed(self, step: Step) -> dict[str, float]:
        """Runs a step as it is; returns how long each of its tasks took, in the order in which they ended.

        :raises StackError: it fails, which no fault of ours explains.
        """
        run = self.start(step)
        look = self._ended(run)
        if look.state != "success":
            raise StackError(f"{step.name} ended as {look.state} without any fault: {_states(look)}")
        done = sorted(
            (ended, task, seconds) for (task, _), (state, _, seconds, ended) in look.tasks.items() if state == "success"
        )
        return {task: seconds for _, task, seconds in done}

    def disturbed(
        self, step: Step, faults: Sequence[Fault], usual: Mapping[str, float], outcomes: Sequence[Outcome]
    ) -> int:
        """Runs a step while faults come, and follows it to its end; what went wrong goes to the outcomes.

        A fault comes when its task has run for its share of the usual time. One whose task has ended before comes
        when the run has: the task is cleared then, with those after it, as an operator does to have it run again. But a
        training that has ended well is not: what it has promoted is the champion now, and another training, held
        against that one, leaves other numbers. What has not come by then is left out.
        """
        run = self._start_for_sure(step)
        begun, clears = time.monotonic(), 0
        pending = list(zip(faults, outcomes, strict=True))
        injected: list[tuple[Outcome, float]] = []
        seen: dict[str, float] = {}
        while time.monotonic() - begun < FOLLOWED_SECONDS:
            self.ground.watch_over()
            look = self._look_for_sure(run)
            now = time.monotonic()
            due = None
            for fault, outcome in pending:
                running = look.running(fault.task)
                if not running and fault.kind == "task" and fault.task in seen:  # too late: earlier at the next try
                    place = pending.index((fault, outcome))
                    pending[place : place + 1] = _earlier(fault, outcome)
                    del seen[fault.task]
                    break
                if running:
                    seen.setdefault(fault.task, now)
                if fault.task in seen and (not running or now - seen[fault.task] >= fault.moment * usual[fault.task]):
                    due = (fault, outcome, running)
                    break
            if due:
                fault, outcome, running = due
                pending.remove((fault, outcome))
                seen.clear()  # each fault waits for its own part of a task
                self._inject(fault, outcome, running, look)
                injected.append((outcome, now))
                begun = time.monotonic()
                continue
            if look.state in ("success", "failed"):
                if look.state == "success" and (not pending or run.dag_id in (WEEKLY, POLICY)):
                    if pending:  # what is promoted by now, another training would be held against
                        names = ", ".join(f"{fault.kind} at {fault.task}" for fault, _ in pending)
                        self.ground.log(f"      {run.name} has ended before {names} came: left out")
                    break
                clears += look.state == "failed"
                if clears > MOST_CLEARS + len(faults):
                    self._failed(injected, f"the run still fails after {clears - 1} clearings: {_states(look)}")
                    break
                self._clear(run, None if look.state == "failed" else pending[0][0].task)
                begun = time.monotonic()
            time.sleep(LOOK_SECONDS)
        else:
            self._failed(injected, f"the run stands still for {FOLLOWED_SECONDS} s: {_states(look)}")
        for outcome, since in injected:
            outcome.run_seconds = time.monotonic() - since
        return clears

    def _inject(self, fault: Fault, outcome: Outcome, running: tuple[int | None] | None, look: Look) -> None:
        at = "" if running else " (ended just before)"
        others = sorted({task for (task, _), (state, *_) in look.tasks.items() if state == "running"} - {fault.task})
        begun = time.monotonic()
        try:
            outcome.hit = self.ground.inject(fault, running[0] if running else None)
        except Exception as error:
            outcome.hit = "something"
            outcome.problems.append(f"not brought back: {type(error).__name__}: {error!s:.500}")
        outcome.restored_seconds = time.monotonic() - begun
        beside = f", beside {', '.join(others)}" if others else ""
        self.ground.log(
            f"{outcome.number:>4}  {fault.kind:<12} at {fault.task}{at}, {outcome.step}: {outcome.hit}{beside}; "
            f"all up again in {outcome.restored_seconds:.1f} s"
        )

    def _failed(self, injected: Sequence[tuple[Outcome, float]], words: str) -> None:
        for outcome, _ in injected:
            outcome.problems.append(words)

    def _start_for_sure(self, step: Step) -> Run:
        return self._for_sure(lambda: self.start(step))

    def _look_for_sure(self, run: Run) -> Look:
        return self._for_sure(lambda: self.look(run))

    def _clear(self, run: Run, task: str | None) -> None:
        """What failed, and what waits for it; or a task that was successful, with what comes after it."""
        self.ground.log(f"      clearing {'what failed' if task is None else task} of {run.name}")
        if task is None:
            path, body = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/clear", {"dry_run": False, "only_failed": True}
        else:
            path = f"/dags/{run.dag_id}/clearTaskInstances"
            body = {
                "dry_run": False, "dag_run_id": run.run_id, "task_ids": [task], "include_downstream": True,
                "only_failed": False, "reset_dag_runs": True,
            }  # fmt: skip
        self._for_sure(lambda: self.airflow.send("POST", path, body))

    def _for_sure(self, work):
        """Again, after `make up`, where something is down yet: an operator does no more than that."""
        for number in range(3):
            try:
                return work()
            except (AirflowError, OSError, *warehouse.DOWN) as error:
                if number == 2:
                    raise
                self.ground.log(f"      {type(error).__name__}: {error!s:.200}; `make up`")
                self.ground.up()

    def _ended(self, run: Run) -> Look:
        begun = time.monotonic()
        while time.monotonic() - begun < FOLLOWED_SECONDS:
            look = self.look(run)
            if look.state in ("success", "failed"):
                return look
            time.sleep(LOOK_SECONDS)
        raise StackError(f"{run.name} has not ended within {FOLLOWED_SECONDS} s: {_states(look)}")


def _earlier(fault: Fault, outcome: Outcome) -> list[tuple[Fault, Outcome]]:
    """The same fault for another try of its task; none where it has come too late again and again."""
    return [(replace(fault, moment=fault.moment / 4), outcome)] if fault.moment > LEAST_MOMENT else []


def _states(look: Look) -> str:
    bad = {f"{task}[{index}]": state for (task, index), (state, *_) in look.tasks.items() if state != "success"}
    return ", ".join(f"{name} {state}" for name, state in sorted(bad.items())) or "every task succeeded"
