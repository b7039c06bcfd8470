"""`make demo`: from nothing to every customer in a segment, and `make load`, its part that fills the shop."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from local import airflow_api, load, progress, reset
from local.airflow_api import Airflow
from local.errors import StackError
from local.follow import RunResult, follow
from local.stack import Addresses, Stack

SEGMENTS_SQL = Path(__file__).with_name("sql") / "segments.sql"
DAGS = ("train_models_weekly", "segment_customers_daily")
# The task of a DAG whose answer, in words per model, is worth reading at its end
TELLING = {"train_models_weekly": "promote", "roll_back_model": "roll_back", "roll_back_segments": "roll_back"}

# Where there is no terminal, rich would squeeze tables into 80 columns.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)


def demo(stack: Stack, data: str | None) -> None:
    """Start the stack, load the shop, train, segment, and show the result; all of it is reused the next time.

    :raises load.WrongFile: the file is not one of a known kind; the shop that was there is untouched.
    :raises StackError: a part failed; the message is the cause.
    """
    clock = _Clock()
    with clock.part("Starting the stack"):
        addresses = stack.up(console.print)
    with clock.part("Loading the shop"):
        report = fill(stack, data)
    airflow = Airflow(addresses.airflow, addresses.admin_password)
    for dag_id in DAGS:
        with clock.part(f"Running {dag_id} for {report.day}"):
            run_dag(airflow, dag_id, report.day, {})
    _print_segments(addresses)
    clock.show()
    print_addresses(addresses)


def fill(stack: Stack, data: str | None) -> load.Report:
    """Load the shop from a file (or see to a simulated one), and forget what was derived from another one."""
    with progress.shown(console) as show:
        report = load.load(data, stack.addresses().warehouse, show)
    if report.is_new:
        console.print(f"Loaded {report.source}: {report.lines:,} lines")
    else:
        console.print(f"The shop holds {report.source} already: {report.lines:,} lines")
    console.print(
        f"  accepted     {report.order_items:>10,}  as {report.orders:,} orders of {report.customers:,} customers"
    )
    for reason, lines in sorted(report.quarantined.items(), key=lambda item: -item[1]):
        console.print(f"  quarantined  {lines:>10,}  {reason}")
    console.print(f"  day after the last order: {report.day}")
    reset.forget_previous_shop(stack, console.print)
    return report


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
    for model, words in (told or {}).items():
        console.print(f"  {model:<19}{words}")
    return result


def print_addresses(addresses: Addresses) -> None:
    """Where to look next."""
    console.print(f"\n  Airflow     {addresses.airflow}   user admin, password {addresses.admin_password}")
    console.print(f"  MLflow      {addresses.mlflow}")
    console.print("  database    make psql          stop everything    make down\n")


def _print_segments(addresses: Addresses) -> None:
    from segmentation import warehouse

    with warehouse.connect(addresses.warehouse) as connection:
        rows = warehouse.fetch(connection, SEGMENTS_SQL.read_text(encoding="utf-8"))
    if not rows:
        raise StackError("The runs succeeded, but marketing.customer_segments is empty.")
    total = sum(row[2] for row in rows)
    table = Table(
        title=f"marketing.customer_segments on {rows[0][9]}: {total:,} customers",
        title_justify="left",
        caption="churn: no order within 90 days; buys: an order within 30 days; value: tiers high / medium / low",
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    for heading in ("id", "segment", "customers", "share", "churn", "buys", "value"):
        table.add_column(heading, justify="left" if heading == "segment" else "right", no_wrap=True)
    for segment_id, name, customers, share, churn, purchase, high, medium, low, _ in rows:
        tiers = " / ".join(f"{_percent(value):>4}" for value in (high, medium, low))
        averages = (_percent(share), _percent(churn), _percent(purchase))
        table.add_row(str(segment_id), name, f"{customers:,}", *averages, tiers)
    console.print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"


class _Clock:
    """How long each part took."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, float]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        console.print(f"\n[bold]{name}[/bold]")
        begun = time.monotonic()
        yield
        self._parts.append((name, time.monotonic() - begun))

    def show(self) -> None:
        console.print()
        installed = Path(sys.prefix) / ".install-seconds"
        if installed.exists():
            console.print(f"  {installed.read_text().strip():>7} s  Installing, when it was done")
        for name, seconds in self._parts:
            console.print(f"  {seconds:7.1f} s  {name}")
