"""Checks the file of strategies as the daily run would, and counts whom each condition meets: `make strategies`."""

from __future__ import annotations

import datetime as dt

from rich.console import Console

from local.state import Folders
from segmentation import lake, strategy, strategy_file, tables
from segmentation.settings import Stores

console = Console(width=110, highlight=False)


def check() -> int:
    """Prints every problem with its line, or per strategy how many customers of the last day its condition meets.

    :returns: 0, or 1 if the file has a problem or a condition meets nobody.
    """
    try:
        planned = strategy_file.read()
    except strategy_file.StrategiesError as error:
        console.print(str(error), markup=False)
        return 1
    console.print(f"{strategy_file.CONFIG.name}: {len(planned)} strategies, nothing wrong with them")
    folders = Folders.default()
    postgres = folders.postgres()
    days = _scored_days(str(folders.lake)) if folders.lake.is_dir() else []
    if not (days and postgres.is_running()):
        console.print("Whom they meet is counted once the stack runs and a day has been scored: `make demo`.")
        return 0
    url = postgres.url("warehouse")
    met = strategy.matched(days[-1], Stores(url, url, str(folders.lake), ""))
    return told(met, {each.strategy.id: each.line for each in planned}, f"{days[-1]}")


def told(met: dict[str, int | str], lines: dict[str, int], day: str) -> int:
    """Prints what was counted; 1 if a condition meets nobody."""
    console.print(f"Customers of {day} whom the condition meets, brakes and caps apart:")
    for name, count in met.items():
        text = f"{count:>10,}" if isinstance(count, int) else f"{'off':>10}: {count}"
        problem = f"  line {lines[name]}: its condition meets nobody" if count == 0 else ""
        console.print(f"  {name:<24}{text}{problem}", markup=False)
    return int(any(count == 0 for count in met.values()))


def _scored_days(place: str) -> list[dt.date]:
    return [
        day for day in lake.days_of(place, tables.CUSTOMER_SCORES) if lake.has(place, tables.CUSTOMER_FEATURES, day)
    ]
