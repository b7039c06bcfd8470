"""Airflow's own back-fill of a DAG over some days, in order and one at a time, shown until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from local import failures
from local.airflow_api import POLL_SECONDS, Airflow, AirflowError, Run, Say, wait_for_dag
from local.errors import StackError

AGAIN = ("none", "failed", "completed")  # Airflow's words for the days that have been run before and run again
ENDED = ("success", "failed")


@dataclass(frozen=True)
class Day:
    """What became of a day: `success`, `failed`, `left out` (its run was there already), or not yet known."""

    day: date
    state: str
    seconds: float | None = None


def backfill(
    airflow: Airflow, dag_id: str, first: date, last: date, again: str = "failed", say: Say = print
) -> list[Day]:
    """Have Airflow run a DAG for the days from `first` to `last`, and follow it. After a day that fails none begins.

    :param again: which days that have been run before are run again: `none`, `failed` or `completed` (all of them).
    :returns: the days in their order.
    :raises StackError: a day failed; a back-fill of the DAG is going; Airflow refuses the days. Ctrl-C ends nothing.
    """
    if first > last:
        raise StackError(f"FROM must not be later than TO: {first} is after {last}.")
    wait_for_dag(airflow, dag_id, say)
    _refuse_second(airflow, dag_id)
    found = _runs(airflow, dag_id, first, last)
    going = [run for run in found if run["state"] not in ENDED]
    for run in going:
        say(f"{_day(run)}: a run of it is {run['state']}; left out. Run the same command again when it has ended.")
    made = airflow.send(
        "POST",
        "/backfills",
        {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T23:59:59Z",
            "max_active_runs": 1,
            "reprocess_behavior": again,
            "run_backwards": False,
        },
    )
    try:
        return _follow(airflow, dag_id, made["id"], first, last, found, say)
    except KeyboardInterrupt:
        say(f"\nThe back-fill goes on in Airflow, where it can be paused or cancelled: {airflow.address}/dags/{dag_id}")
        raise


def _follow(
    airflow: Airflow,
    dag_id: str,
    backfill_id: int,
    first: date,
    last: date,
    before: Sequence[Mapping[str, Any]],
    say: Say,
) -> list[Day]:
    """Until Airflow calls it complete, which it finds out within half a minute; a line as each day ends.

    To cancel it instead, its days having ended, would be quicker, but Airflow then holds its runs for ever: cleared,
    they stay queued.
    """
    begun = time.monotonic()
    ours = _ours(airflow, dag_id, first, last, before)
    for run in before:
        if run["dag_run_id"] not in ours and run["state"] in ENDED:
            say(f"{_day(run)}: has been run already ({run['state']}); left out. REPROCESS=completed runs it again.")
    say(f"back-fill {backfill_id} of {dag_id}: {len(ours)} days, one at a time, the earliest first")
    told: dict[str, Day] = {}
    while True:
        is_complete = airflow.get(f"/backfills/{backfill_id}")["completed_at"] is not None
        for run in _runs(airflow, dag_id, first, last):
            run_id = run["dag_run_id"]
            if run_id in ours and run_id not in told and run["state"] in ENDED:
                told[run_id] = Day(_day(run), run["state"], _seconds(run))
                say(f"{time.monotonic() - begun:7.1f} s  {_day(run)}  {run['state']}  {told[run_id].seconds:.1f} s")
                if run["state"] == "failed":
                    _give_up(airflow, backfill_id, Run(dag_id, run_id, _day(run)), last)
        if is_complete:
            break
        time.sleep(POLL_SECONDS)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    of_day = {each.day: each for each in told.values()}
    left_out = {_day(run) for run in before} - of_day.keys()
    return [of_day.get(day) or Day(day, "left out") for day in days if day in of_day or day in left_out]


def _ours(
    airflow: Airflow, dag_id: str, first: date, last: date, before: Iterable[Mapping[str, Any]]
) -> Mapping[str, date]:
    """The runs that the back-fill has made or cleared. Airflow does not tell a run's back-fill: these are new, or were
    over and no longer are."""
    ended = {run["dag_run_id"] for run in before if run["state"] in ENDED}
    going = {run["dag_run_id"] for run in before} - ended
    runs = _runs(airflow, dag_id, first, last)
    return {
        run["dag_run_id"]: _day(run)
        for run in runs
        if run["dag_run_id"] not in going and not (run["dag_run_id"] in ended and run["state"] in ENDED)
    }


def _give_up(airflow: Airflow, backfill_id: int, run: Run, last: date) -> None:
    """What was not begun is not; a day after the failed one may have begun meanwhile, and ends by itself."""
    airflow.send("PUT", f"/backfills/{backfill_id}/cancel")
    instances = airflow.pages(f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", "task_instances")
    causes = "\n".join(str(failure) for failure in failures.of_run(airflow, run, instances))
    raise StackError(
        f"{run.name} failed, so the days after it are not run: {airflow.page_of(run)}\n{causes}\n"
        f"When the cause is mended: make backfill DAG={run.dag_id} FROM={run.day} TO={last}"
    )


def _refuse_second(airflow: Airflow, dag_id: str) -> None:
    for each in (airflow.get("/backfills", dag_id=dag_id, limit=100, order_by="-id") or {}).get("backfills", []):
        if each["completed_at"] is None:
            raise AirflowError(
                f"Back-fill {each['id']} of {dag_id}, from {each['from_date'][:10]} to {each['to_date'][:10]}, is "
                f"{'paused' if each['is_paused'] else 'going'}; Airflow runs one a DAG. Wait for its end, or cancel it "
                f"on {airflow.address}/dags/{dag_id}"
            )


def _runs(airflow: Airflow, dag_id: str, first: date, last: date) -> list[dict[str, Any]]:
    """The runs for these days, whoever asked for them, in the order of the days."""
    bounds = {"logical_date_gte": f"{first}T00:00:00Z", "logical_date_lte": f"{last}T23:59:59Z"}
    return airflow.pages(f"/dags/{dag_id}/dagRuns", "dag_runs", order_by="logical_date", **bounds)


def _day(run: Mapping[str, Any]) -> date:
    return datetime.fromisoformat(run["logical_date"]).date()


def _seconds(run: Mapping[str, Any]) -> float:
    if not run["start_date"] or not run["end_date"]:
        return 0.0
    return (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])).total_seconds()
