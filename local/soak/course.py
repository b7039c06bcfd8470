"""The days of a soak and what happens on them."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local import load, reset
from local.chaos import told
from local.environment import QUICK_TRAINING
from local.simulator import practice_shop
from local.simulator.settings import BLOCK_DAYS, DAYS, LAST_DAY, Settings
from local.soak import measures
from local.stack import Stack
from local.stages import CAMPAIGNS, DAILY, ERASE, POLICY, PRODUCTS, WEEKLY, BareStack, Stages, Step, Usage
from segmentation import warehouse
from segmentation.training_run import code_digest

LEAST_DAYS = 70  # snapshots are kept for 35 days and a week; after that, growth is growth
LATE_ORDERS, LATE_SESSIONS = 0.02, 0.01
ERASE_ON = 3  # the day of the week on which somebody asks to be forgotten
# Day -> what the shop's own developers do to its tables
ADDITIONS = {
    30: "alter table shop.customers add column loyalty_points integer; update shop.customers set loyalty_points = 0",
    60: "alter table shop.orders add column is_gift boolean; update shop.orders set is_gift = order_id ~ '7$'",
}
_SOMEBODY = "select min(customer_id) from marketing.customer_segments"


def soak(
    customers: int,
    days: int,
    seed: int,
    keep: Callable[[dict[str, Any]], None],
    say: Callable[[str], None] = print,
) -> None:
    """Lives through the days.

    :param keep: is given, after each day, all that was measured so far, as docs/soak.json keeps it.
    :raises StackError: a run fails; names its task, and the task's own words.
    """
    for name, value in QUICK_TRAINING.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as home:
        stack = BareStack(Path(home) / "stack")
        try:
            addresses = stack.up(lambda line: None)
            made = Settings.until(
                LAST_DAY, DAYS, customers=customers, seed=seed,
                late_orders_share=LATE_ORDERS, late_sessions_share=LATE_SESSIONS,
            )  # fmt: skip
            load.simulate(addresses.warehouse, made, DAYS, lambda *_: None)
            reset.forget_previous_shop(stack, lambda line: None)
            asked = {
                "made_at": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M}",
                "code": code_digest(),
                "customers": customers,
                "days": days,
                "seed": seed,
            }
            course = _Course(stack, say)
            for number in range(days + 1):
                course.live(number, LAST_DAY + dt.timedelta(days=1 + number))
                keep(asked | course.found())
        finally:
            stack.down(lambda line: None)


class _Course:
    def __init__(self, stack: Stack, say: Callable[[str], None]) -> None:
        self.stack, self.say = stack, say
        self.stages = Stages(stack, self._answered)
        self.is_first_training = True
        self.erased: list[str] = []
        self.there_again: list[str] = []
        self.every_day: list[dict[str, Any]] = []
        self.trainings: list[dict[str, Any]] = []
        self.broken: list[str] = []

    def live(self, number: int, day: dt.date) -> None:
        """The shop's day before, and then the pipeline's."""
        begun = time.monotonic()
        if number:
            practice_shop.grow(self.stack.addresses().warehouse, 1, lambda *_: None)
        self.every_day.append(self._day(number, day))
        if number % 7 == 0:
            found = told.broken(self.stack.addresses(), str(self.stack.folders.lake))
            self.broken += [f"{day}: {each}" for each in found]
        self.there_again = measures.are_in(self.stack, day, self.erased)
        self.say(
            f"day {number:>3}, {day}: {time.monotonic() - begun:.0f} s, "
            f"{sum(self.every_day[-1]['cpu'].values()):.0f} s of CPU"
        )

    def found(self) -> dict[str, Any]:
        """All that was measured so far."""
        return {
            "every_day": self.every_day,
            "trainings": self.trainings,
            "broken": self.broken,
            "promises": measures.promises(self.stack),
            "retrains": measures.retrains(self.stack),
            "erased": len(self.erased),
            "erased_and_there": len(self.there_again),
        }

    def _day(self, number: int, day: dt.date) -> dict[str, Any]:
        """One day of the pipeline's; what it cost, and what there is after it."""
        if number in ADDITIONS:
            with warehouse.connect(self.stack.addresses().warehouse) as connection:
                warehouse.run_script(connection, ADDITIONS[number])
        if number == 0:
            self._trained(day, [])
        self.stages.used.clear()
        reasons = self.stages.run(Step(DAILY, day))["retrain"]
        used = {DAILY: _by_task(self.stages.used)}
        used[CAMPAIGNS] = self._cost(Step(CAMPAIGNS, day))
        if number % 7 == ERASE_ON:
            used[ERASE] = self._cost(Step(ERASE, asks={"ids": _SOMEBODY}), self._noting_who)
        if number and (number % 7 == 0 or reasons):
            used[WEEKLY] = self._trained(day, reasons)
        if number % 7 == 0:
            used[PRODUCTS] = self._cost(Step(PRODUCTS, day))
        if number % BLOCK_DAYS == 0:  # as often as this shop has a campaign
            used[POLICY] = self._cost(Step(POLICY, day))
        measures.age(self.stack)
        return {
            "day": f"{day}",
            "seconds": _flat(used, "seconds"),
            "cpu": _flat(used, "cpu"),
            "peak_mib": _flat(used, "peak_mib"),
            "there": {name: round(value, 2) for name, value in measures.at_rest(self.stack).items()},
            "moved": round(measures.moved(self.stack, day, day - dt.timedelta(days=1)), 5) if number else 0.0,
            "moved_in_a_week": round(measures.moved(self.stack, day, day - dt.timedelta(days=7)), 5)
            if number >= 7
            else None,
            "segments": measures.segments(self.stack),
        }

    def _cost(self, step: Step, before: Callable[[], None] = lambda: None) -> Mapping[str, Usage]:
        before()
        self.stages.used.clear()
        self.stages.run(step)
        return _by_task(self.stages.used)

    def _noting_who(self) -> None:
        with warehouse.connect(self.stack.addresses().warehouse) as connection:
            self.erased.append(warehouse.fetch(connection, _SOMEBODY)[0][0])

    def _trained(self, day: dt.date, reasons: list[str]) -> Mapping[str, Usage]:
        self.stages.used.clear()
        found = self.stages.run(Step(WEEKLY, day))
        self.is_first_training = False
        self.trainings.append({"day": f"{day}", "reasons": reasons, "outcomes": found["promote"]})
        return _by_task(self.stages.used)

    def _answered(self, comparison: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """Somebody looks at the first models, and at none after them."""
        if not self.is_first_training:
            return None
        from segmentation import promote

        return [{"chosen_options": [promote.APPROVE], "responded_by_user": {"name": "soak"}}] * len(comparison["asked"])


def _by_task(used: list[Usage]) -> dict[str, Usage]:
    """Of a task that makes several calls: their sums, and the most memory of one."""
    found: dict[str, Usage] = {}
    for each in used:
        so_far = found.get(each.task, Usage(each.task, 0.0, 0.0, 0.0))
        found[each.task] = Usage(
            each.task,
            so_far.seconds + each.seconds,
            so_far.cpu + each.cpu,
            max(so_far.peak_mib, each.peak_mib),
        )
    return found


def _flat(used: Mapping[str, Mapping[str, Usage]], figure: str) -> dict[str, float]:
    return {
        f"{dag}.{task}": round(getattr(each, figure), 3) for dag, tasks in used.items() for task, each in tasks.items()
    }
