"""`make demo`: from nothing to every customer in a segment, and `make load`, its part that fills the shop."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from local import load, progress, reset
from local.airflow_api import Airflow
from local.errors import StackError
from local.runs import console, run_dag
from local.stack import Addresses, Stack

SEGMENTS_SQL = Path(__file__).with_name("sql") / "segments.sql"
DAGS = ("train_models_weekly", "segment_customers_daily")


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
