"""The bench of the whole loop: what it tells of a week is what the truth says of those who are published."""

import datetime as dt

import numpy as np
import pytest

from local.bench import loop
from local.bench.rounds import COSTS, NAMES
from local.simulator import expected, practice_shop
from local.simulator.settings import Settings
from segmentation import strategy_file
from tests.local.simulator.conftest import create, fetch, publish, silent

DAY = dt.date(2026, 7, 1)
SETTINGS = Settings.until(dt.date(2026, 6, 30), 200, customers=600, campaigns_per_block=0, seed=5)


@pytest.fixture(scope="module")
def dsn(new_warehouse):
    with new_warehouse() as dsn:
        create(dsn, SETTINGS, 200)
        publish(dsn, DAY, "case when email_consent then 'coupon' when push_consent then 'flash_sale' end",
                who="customer_id < 'C00000500'")  # fmt: skip
        yield dsn


@pytest.fixture(scope="module")
def week(dsn):
    return loop.Week.of(dsn, DAY)


def test_the_truth_is_what_a_contact_adds_to_the_margin(dsn, week):
    plain, treated = (
        dict(zip(*(told[name].to_pylist() for name in ("customer_id", "expected_spend")), strict=True))
        for told in (expected.customers_on(dsn, DAY, 7, name) for name in (None, "coupon"))
    )
    place, more = NAMES.index("coupon"), week.truth[:, NAMES.index("coupon")] + COSTS[NAMES.index("coupon")]
    ids = week.published["customer_id"]
    assert len(ids) == fetch(dsn, "select count(*) from marketing.customer_segments")[0][0]
    margin = more / [treated[each] - plain[each] or np.nan for each in ids]
    assert 0.3 < np.nanmin(margin) <= np.nanmax(margin) < 0.7
    assert (margin[np.isfinite(margin)] > 0).sum() > 50
    assert week.truth[:, NAMES.index("newsletter")] == pytest.approx(np.full(len(ids), -0.02))
    assert (week.assigned == place).sum() == week.published["email_consent"].sum()


def test_what_is_told_of_a_week(week):
    told = week.told()
    chosen, places = week.assigned, np.arange(len(week.truth))
    assert told["treated"] + told["held_out"] == (chosen >= 0).sum() > told["treated"] > told["held_out"] > 0
    is_treated = (chosen >= 0) & ~week.published["in_holdout"].to_numpy(bool)
    assert told["earned_by_treated"] == pytest.approx(sum(week.truth[n, chosen[n]] for n in places[is_treated]))
    assert told["assigned"] == pytest.approx(sum(week.truth[n, chosen[n]] for n in places[chosen >= 0]) / len(chosen))
    assert told["single"] < told["best"]
    assert told["assigned"] < told["best"]
    assert week.of_everybody(told["which"]) == told["single"]
    assert all(week.of_everybody(name) < told["single"] for name in NAMES if name != told["which"])
    assert loop.share(told, "best") == 1
    assert loop.share(told, "single") == 0


def test_the_table_tells_which_single_strategy_looked_best(week, capsys, monkeypatch):
    monkeypatch.setattr(loop.console, "width", 400)
    told = {"round": 1, **week.told(), "best_single": "coupon", "looked_best": week.of_everybody("coupon")}
    loop.show([{"round": 0, **week.told()}, told], "two weeks")
    before, after = (line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line)
    assert not any("coupon" in cell for cell in before[6:])
    assert any(cell.strip() == f"{told['looked_best']:.3f} coupon" for cell in after)
    assert f"{loop.share(told, 'looked_best'):.0%}" in [cell.strip() for cell in after]


def test_its_strategies_are_those_of_the_simulated_shop_at_their_costs():
    planned = {each.strategy.id: each.strategy for each in strategy_file.read(loop.FILE)}
    assert [planned[name].cost_per_contact for name in NAMES] == COSTS.tolist()
    assert set(planned) == set(NAMES)
    assert len({(each.expected_lift, each.expected_margin, each.who) for each in planned.values()}) == 1


def test_its_campaigns_are_over_when_the_next_week_begins(dsn):
    practice_shop.grow(dsn, loop.WEEK_DAYS, silent, loop.FILE)
    ends = fetch(dsn, "select distinct ends_at from shop.campaigns")
    assert ends == [(dt.datetime(2026, 7, 8, tzinfo=dt.UTC),)]
