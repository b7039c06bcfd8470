"""The commands that have Airflow run a DAG: for a day, or on request; each is shown until it ends."""

from __future__ import annotations

import sys
from datetime import date

from rich.console import Console
from rich.table import Table

from local import airflow_api
from local.airflow_api import Airflow
from local.errors import StackError
from local.follow import RunResult, follow
from local.stack import Addresses

# The task of a DAG whose answer, in words, is worth reading at its end
TELLING = {
    "erase_customers": "erase",
    "export_customer": "export",
    "roll_back_model": "roll_back",
    "roll_back_segments": "roll_back",
    "train_models_weekly": "promote",
}

# Where there is no terminal, rich would squeeze tables into 80 columns.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)


def run_dag(airflow: Airflow, dag_id: str, day: date, conf: dict[str, object]) -> RunResult:
    """Run a DAG for a day and show it until it ends.

    :raises StackError: it failed; the message holds the tasks that caused it, with their errors.
    """
    run = airflow_api.start(airflow, dag_id, day, conf, console.print)
    try:
        return _watched(airflow, run)
    except KeyboardInterrupt:
        console.print(f"\nThe run goes on in Airflow: {airflow.page_of(run)}\nThe same command follows it again.")
        raise


def print_why_slow(warehouse_dsn: str, dag_id: str, day: date) -> None:
    """Each stage of a day's latest run against its own median: include/sql/runs/slow.sql.

    :raises StackError: there was no run of that day.
    """
    from segmentation import sql, warehouse

    with warehouse.connect(warehouse_dsn) as connection:
        found = warehouse.fetch_dicts(connection, sql.read("runs", "slow"), {"dag_id": dag_id, "day": day})
    if not found:
        raise StackError(f"ops.runs knows of no run of {dag_id} for {day}.")
    table = Table(title=f"{dag_id} of {day}: seconds, and the median of up to 14 runs before", title_justify="left")
    for name in found[0]:
        table.add_column(name.replace("_", " "), justify="left" if name in ("stage", "state") else "right")
    for row in found:
        table.add_row(*("" if value is None else f"{value}" for value in row.values()))
    console.print(table)


def roll_back(airflow: Airflow, model: str, version: str | None) -> RunResult:
    """Put an earlier version of a model back into use, or of `all`, and show what was done.

    :param version: None: the one before the champion.
    :raises StackError: there is no such model or version, or nothing to go back to; nothing was changed.
    """
    return _watched(airflow, airflow_api.request(airflow, "roll_back_model", {"model": model, "version": version}))


def roll_back_segments(airflow: Airflow, snapshot: int) -> RunResult:
    """Have `marketing.customer_segments` show an earlier snapshot, and say what that changed.

    :raises StackError: there is no such kept snapshot; nothing was changed.
    """
    return _watched(airflow, airflow_api.request(airflow, "roll_back_segments", {"snapshot_id": snapshot}))


def erase_customer(airflow: Airflow, addresses: Addresses, customer_id: str) -> RunResult:
    """Have a person forgotten. The id goes by table `privacy.requests`: Airflow keeps the parameters of its runs.

    :raises StackError: it failed; run again, it goes on.
    """
    from segmentation import erasures, warehouse

    erasures.ensure_schema(addresses.marketing)
    with warehouse.connect(addresses.marketing) as connection:
        statement = "insert into privacy.requests (customer_id) values (:id) on conflict do nothing"
        warehouse.execute(connection, statement, {"id": customer_id})
    return _watched(airflow, airflow_api.request(airflow, "erase_customers", {}))


def export_customer(airflow: Airflow, customer_id: str) -> RunResult:
    """Have all that is kept of a person written to a file, and say where it is.

    :raises StackError: nothing is kept of such a customer.
    """
    return _watched(airflow, airflow_api.request(airflow, "export_customer", {"id": customer_id}))


def _watched(airflow: Airflow, run: airflow_api.Run) -> RunResult:
    result = follow(airflow, run, console.print)
    if not result.is_success:
        causes = "\n".join(str(failure) for failure in result.failures)
        raise StackError(
            f"{run.name} ended as {result.state} after {result.seconds:.1f} s: {airflow.page_of(run)}\n"
            + (causes or "No task failed by itself; the page shows what became of each.")
        )
    console.print(f"{run.name}: success in {result.seconds:.1f} s")
    told = airflow_api.returned(airflow, run, TELLING[run.dag_id]) if run.dag_id in TELLING else None
    for name, words in (told or {}).items():
        parts = words.items() if isinstance(words, dict) else [(None, words)]
        for part, value in parts:
            console.print(f"  {name:<19}{value if part is None else f'{value:>10,}  {part}'}")
    return result
