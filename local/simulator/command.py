"""`make simulate`: a new practice shop of a wanted size, or some more days of the one that is there."""

import resource
import sys
import time
from datetime import timedelta

from rich.console import Console

from local import load, progress, reset
from local.errors import StackError
from local.simulator import practice_shop
from local.simulator.settings import DAYS, LAST_DAY, Settings
from local.stack import Stack
from segmentation import strategy_file, warehouse

console = Console(highlight=False, soft_wrap=True)


def simulate(
    stack: Stack, customers: int | None, days: int | None, seed: int | None, *, is_answering: bool = False
) -> None:
    """Adds `days` days (1) to the simulated shop in the stack's warehouse; or makes a new one.

    A new one is made where there is none, and where `customers` or `seed` is given: it replaces what is in the shop,
    what was derived from that is forgotten, and its `days` days (546) end with LAST_DAY.

    :param is_answering: the shop that grows does what `marketing.customer_segments` says; see `answers`.
    :raises StackError: the stack is down; the shop that is there cannot grow; a number is out of its range; a new shop
        should answer.
    """
    dsn = stack.addresses().warehouse
    begun = time.monotonic()
    try:
        if customers is None and seed is None and _is_there(dsn):
            _grow(dsn, 1 if days is None else days, is_answering)
        elif is_answering:
            raise ValueError("a new shop has nothing published to answer to: make it first, run the day, then ANSWER=1")
        else:
            _create(stack, dsn, customers, DAYS if days is None else days, seed)
    except ValueError as error:
        raise StackError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    console.print(
        f"  {time.monotonic() - begun:.1f} s, {_peak_gib():.2f} GiB of memory at most, the database's left out"
    )


def _peak_gib() -> float:
    units_a_gib = 1024**3 if sys.platform == "darwin" else 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_a_gib


def _is_there(dsn: str) -> bool:
    with warehouse.connect(dsn) as connection:
        return practice_shop.find(connection) is not None


def _grow(dsn: str, days: int, is_answering: bool) -> None:
    with progress.shown(console) as show:
        shop = practice_shop.grow(dsn, days, show, strategy_file.CONFIG if is_answering else None)
    console.print(f"The simulated shop is {days} day{'s' * (days != 1)} older: its last day is {shop.last_day}")
    if shop.answer:
        contacted = int(shop.answer.is_treated.sum())
        console.print(
            f"  it answered to {shop.answer.as_of}: {len(shop.answer.campaigns)} campaigns, {contacted:,} customers "
            f"contacted, {len(shop.answer.customer_no) - contacted:,} held out"
        )
    elif is_answering:
        console.print("  nothing new is published: no campaign began")
    console.print(f"  the first day that knows them all: {shop.last_day + timedelta(days=1)}")


def _create(stack: Stack, dsn: str, customers: int | None, days: int, seed: int | None) -> None:
    wanted = {"customers": customers, "seed": seed}
    settings = Settings.until(LAST_DAY, days, **{name: value for name, value in wanted.items() if value is not None})
    with progress.shown(console) as show:
        report = load.simulate(dsn, settings, days, show)
    console.print(f"Simulated {days:,} days of a shop: {report.customers:,} customers, {report.orders:,} orders")
    console.print(f"  the first day that knows them all: {report.day}")
    reset.forget_previous_shop(stack, console.print)
