"""Every past day's customers by kind, and who of them ordered: against a count by hand, and as the day knew it."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from segmentation import demand, engine, settings, tables

FIRST = dt.date(2026, 1, 1)


def on(n: int) -> dt.date:
    return FIRST + dt.timedelta(days=n)


def counted(signed_up: list[int], orders: list[list[int]], until: int, horizons=(5,)) -> list[dict]:
    """What is counted of customers who signed up and ordered on days by number."""
    days = pa.table(
        {
            "place": pa.array([n for n, each in enumerate(orders) for _ in each or [0]], pa.int64()),
            "signed_up_on": pa.array([on(signed_up[n]) for n, each in enumerate(orders) for _ in each or [0]]),
            "ordered_on": pa.array([on(day) if each else None for each in orders for day in each or [0]], pa.date32()),
        }
    )

    class Session:
        def batches(self, statement, parameters):
            return days.to_batches()

    return pa.Table.from_batches(list(demand.count(Session(), on(until), horizons))).to_pylist()


def test_days_are_counted_whose_horizon_has_passed():
    rows = counted([0, 0], [[1, 4, 9], [1]], until=12)
    assert sorted({row["counted_on"] for row in rows}) == [on(n) for n in range(1, 8)]
    assert {row["horizon_days"] for row in rows} == {5}


def test_a_day_knows_what_lay_before_it_and_counts_who_orders_within_the_horizon():
    rows = counted([0, 0, 6], [[1, 4, 9], [1], []], until=12)
    found = {(row["counted_on"], row["kind"]): (row["customers"], row["buyers"]) for row in rows}
    kinds = len(demand._AGES) + 1
    assert found[on(1), 0] == (2, 2)  # neither has ordered before; both do on the day itself
    assert found[on(2), kinds] == (2, 1)  # one of those with one day behind them orders on day 4
    assert found[on(5), 2 * kinds] == (1, 1)  # on day 9, the last of the five
    assert found[on(5), kinds] == (1, 0)
    assert found[on(7), 0] == (1, 0)  # who signed up on day 6 is known the day after
    assert (on(6), 0) not in found


@pytest.mark.parametrize("horizon_days", [1, 5, 30])
def test_it_counts_as_one_counts_by_hand(horizon_days):
    rng = np.random.default_rng(horizon_days)
    signed_up = rng.integers(0, 40, 60).tolist()
    orders = [sorted({int(n) for n in rng.integers(up + 1, 100, rng.integers(0, 6))}) for up in signed_up]
    found: dict[dt.date, list[int]] = {}
    for row in counted(signed_up, orders, 100, (horizon_days,)):
        here = found.setdefault(row["counted_on"], [0, 0])
        here[0], here[1] = here[0] + row["customers"], here[1] + row["buyers"]
    first = min(each[0] for each in orders if each)
    wanted = {
        on(day): [
            sum(up < day for up in signed_up),
            sum(
                up < day and any(day <= each < day + horizon_days for each in own)
                for up, own in zip(signed_up, orders, strict=True)
            ),
        ]
        for day in range(first, 100 - horizon_days + 1)
    }
    assert found == {day: counts for day, counts in wanted.items() if counts[0]}


def test_a_shop_without_orders_has_no_days():
    assert counted([0, 1], [[], []], until=30) == []


def test_the_statement_gives_what_is_counted():
    """The real session: population and order days in, rows of the lake's table out."""
    population = pa.table(
        {"customer_id": ["a", "b"], "signed_up_at": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 2)}
    )
    lines = [("a", on(2), "web", on(2), 1), ("a", on(2), "web", on(3), -1), ("b", on(3), "web", on(3), 1)]
    order_days = pa.table(
        dict(
            zip(("customer_id", "ordered_on", "channel", "changed_on", "orders"), zip(*lines, strict=True), strict=True)
        )
    )
    with engine.session("", settings.Settings()) as session:
        session.put(tables.POPULATION, population)
        session.put(tables.ORDER_DAYS.table, order_days)
        found = pa.Table.from_batches(list(demand.count(session, on(8), (2, 3))))
    assert found.schema == demand.SCHEMA
    rows = found.to_pylist()
    assert {row["counted_on"] for row in rows if row["horizon_days"] == 3} == {on(3), on(4), on(5)}
    assert sum(row["buyers"] for row in rows if row["counted_on"] == on(3)) == 2  # b, in either horizon
    assert sum(row["buyers"] for row in rows) == 2  # what a cancelled does not count
