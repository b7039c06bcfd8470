"""From campaigns to the next strategies, on a real Postgres: learnt, compared, promoted, chosen by, published."""

import datetime as dt
import json

import numpy as np
import pytest
from mlflow import MlflowClient

from segmentation import (
    aggregates,
    choice_days,
    compare,
    contact_features,
    features,
    lake,
    learn_policy,
    promote,
    publish,
    randomised,
    rollback,
    strategy,
    tables,
    validate,
    warehouse,
)
from segmentation.effect_shapes import EffectShape
from segmentation.registry import Registry
from segmentation.strategy_uplift import StrategyUplift
from tests import frames
from tests.segmentation.test_strategy_file import GOOD

DAY, FIRST = frames.DAY, dt.date(2026, 1, 5)
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
KEY = "a key for tests only"
IDS = [f"c{number:03d}" for number in range(480)]
SENT = {"coupon": dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC), "news": dt.datetime(2026, 1, 7, 9, tzinfo=dt.UTC)}
# The strategies of the file: whoever is active gets one of them; by what they assume it would be news for all
FILE = "".join(
    GOOD.replace("coupon", name).replace("priority: 1", f"priority: {number}")
    .replace("value_tier = 'low'", "lifecycle_stage = 'active'").replace("expected_lift: 1.2", f"expected_lift: {lift}")
    .replace("0.1\n", "0.25\n")
    for number, (name, lift) in enumerate({"coupon": 1.1, "news": 1.9}.items(), start=1)
)  # fmt: skip


def rows_of(name: str, half: int) -> tuple[list, list, list]:
    """(contacts, orders, items) of a campaign: who gets a coupon buys three times as often as who is held out; news
    change nothing."""
    rng = np.random.default_rng(half)
    contacts, orders, items = [], [], []
    for number, customer in enumerate(IDS):
        if number % 2 != half:
            continue
        is_held = (number // 2) % 3 == 0
        sent = SENT[name]
        contacts.append({"campaign_id": f"k-{name}", "customer_id": customer, "arm": "control" if is_held else "mail",
                         "contacted_at": sent, "updated_at": sent})  # fmt: skip
        if rng.random() < (0.75 if name == "coupon" and not is_held else 0.25):
            order = f"o-{customer}"
            orders.append({"order_id": order, "customer_id": customer, "ordered_at": sent + dt.timedelta(days=3),
                           "total_amount": 30, "updated_at": sent + dt.timedelta(days=3)})  # fmt: skip
            items.append({"order_id": order, "quantity": 3, "unit_price": 10})
    return contacts, orders, items


@pytest.fixture
def shop(stores):
    """A shop with a campaign of each of two strategies, to 240 customers each, a third of them held out."""
    both = [rows_of(name, half) for half, name in enumerate(SENT)]
    earlier = [
        {"order_id": f"e-{customer}", "customer_id": customer, "ordered_at": dt.date(2025, 11, 1 + n % 20),
         "total_amount": 10 + n % 7}
        for n, customer in enumerate(IDS) if n % 5
    ]  # fmt: skip
    frames.write_raw(
        stores, DAY,
        customers=[{"customer_id": customer, "email_consent": True} for customer in IDS],
        products=[{"product_id": "p1", "unit_cost": 4}],
        orders=[*earlier, *both[0][1], *both[1][1]],
        order_items=[*({"order_id": each["order_id"]} for each in earlier), *both[0][2], *both[1][2]],
        campaigns=[{"campaign_id": f"k-{name}", "strategy_id": name, "channel": "email", "cost_per_contact": 0.02,
                    "starts_at": sent, "ends_at": dt.date(2026, 1, 25)} for name, sent in SENT.items()],
        campaign_contacts=[*both[0][0], *both[1][0]],
    )  # fmt: skip
    return stores


def fetched(shop, query):
    with warehouse.connect(shop.marketing) as connection:
        return warehouse.fetch(connection, query)


def chosen(shop, tmp_path) -> tuple[dict, dict]:
    """(what the stage says, the rows by customer) of the day's choice."""
    path = tmp_path / "strategies.yaml"
    path.write_text(FILE, encoding="utf-8")
    scores = [
        {"customer_id": one, "as_of_date": DAY, "segment_id": 1, "segment_name": "s1", "lifecycle_stage": "active",
         "value_tier": "low", "purchase_probability_30d": 0.5, "model_versions": "{}", "scored_at": NOW,
         "service_risk": "low", "reasons": ["bought lately"]}
        for one in IDS
    ]  # fmt: skip
    table = frames.typed(scores, tables.SEGMENT_COLUMNS)
    lake.write(shop.lake, tables.CUSTOMER_SCORES, DAY, table.to_batches(), table.schema)
    told = strategy.choose_strategies(DAY, shop, KEY, path)
    return told, {row["customer_id"]: row for row in lake.read(shop.lake, tables.STRATEGIES, DAY).to_pylist()}


def test_from_campaigns_to_the_next_strategies(shop, tmp_path):
    features.build_features(DAY, shop)
    before, rows = chosen(shop, tmp_path)
    assert (before["model"], before["assumed_because"]) == (None, "nothing has been learnt from campaigns yet")
    assert {(row["strategy_id"], row["basis"], row["chance"]) for row in rows.values()} == {("news", "assumed", 1.0)}
    assert rows["c000"]["open_to"] == ["coupon", "news"]
    held_of_news = {one for one, row in rows.items() if row["in_holdout"]}

    # what was known then, and not what came of it
    assert contact_features.build_contact_features(DAY, shop) == {"2026-01-05": 240, "2026-01-07": 240}
    known = lake.read(shop.lake, tables.CONTACT_EXAMPLES, DAY, ["customer_id", "orders_count"]).to_pylist()
    assert {row["customer_id"]: row["orders_count"] for row in known} == {
        one: int(n % 5 > 0) for n, one in enumerate(IDS)
    }

    learnt = learn_policy.learn_strategies(DAY, shop)
    assert learnt["left_out"] == {}
    assert learnt["best_single"] == "coupon"
    numbers = learnt["metrics"]
    # margin of 18 for half of the customers more
    assert numbers["value_single_low"] < 9 < numbers["value_single_high"]
    assert numbers["value_single_low"] > 0
    assert numbers["chosen_share_coupon"] > 0.95
    registry = Registry(shop.registry, shop.marketing)
    version = registry.version(tables.UPLIFT_MODEL, learnt["version"])
    assert registry.pictures(version) == ["qini.png", "uplift.png", "value.png"]
    assert registry.metrics(version)["value_advantage"] == pytest.approx(numbers["value_advantage"])
    comparison = compare.compare_models(DAY, [learnt], shop)
    assert comparison["verdicts"]["strategy_uplift"]["verdict"] == "pass"
    text = MlflowClient().download_artifacts(version.run_id, "strategies.md", f"{tmp_path}")
    with open(text, encoding="utf-8") as file:
        told = file.read()
    assert "everybody coupon, over nobody" in told
    assert "champion" in promote.promote_models(DAY, comparison, None, shop)["strategy_uplift"]

    after, rows = chosen(shop, tmp_path)
    assert (after["model"], after["assumed_because"]) == ("1", None)
    assert sum(row["strategy_id"] == "coupon" for row in rows.values()) > 470
    assert {row["basis"] for row in rows.values() if row["strategy_id"] == "coupon"} <= {"learnt", "explored"}
    assert all(0 < row["chance"] <= 1 for row in rows.values() if row["strategy_id"])
    assert after["bases"]["learnt"] > 400
    assert chosen(shop, tmp_path)[1] == rows  # a rerun draws the same
    # control groups are those that they were: of coupon's none was drawn before, of news' nobody is touched
    held_of_coupon = {one for one, row in rows.items() if row["strategy_id"] == "coupon" and row["in_holdout"]}
    assert 60 < len(held_of_coupon) < 180
    assert {one for one, row in rows.items() if row["strategy_id"] == "news" and row["in_holdout"]} <= held_of_news

    assert validate.validate_table(tables.STRATEGIES, DAY, shop)["rows"] == 480
    publish.publish_segments(DAY, shop)
    query = "select distinct strategy_basis from marketing.customer_segments where strategy_id = 'coupon'"
    found = fetched(shop, query)
    assert {basis for (basis,) in found} <= {"learnt", "explored"}
    # what comes of this choice will be known by its chances
    assert choice_days.choice_day(DAY, lake.days_of(shop.lake, tables.STRATEGIES), 7) == DAY
    # without a version to go back to there is nothing to roll back, and it says so
    with pytest.raises(Exception, match="strategy_uplift has no previous version"):
        rollback.roll_back("strategy_uplift", None, "a test", shop)


def test_chances_that_were_kept_are_learnt_from(shop, tmp_path):
    """The choice of the day before the campaigns is taken for theirs, and what it knew."""
    rows = [
        {"customer_id": one, "as_of_date": FIRST, "strategy_id": "coupon" if n % 2 == 0 else None,
         "chance": 0.4, "open_to": ["coupon"] if n % 4 == 0 else ["coupon", "news"]}
        for n, one in enumerate(IDS)
    ]  # fmt: skip
    table = frames.typed(rows, tables.STRATEGY_COLUMNS)
    lake.write(shop.lake, tables.STRATEGIES, FIRST, table.to_batches(), table.schema)
    assert contact_features.build_contact_features(DAY, shop) == {"2026-01-05": 480}
    found, left_out = randomised.collect(DAY, shop)
    assert left_out == {}
    coupon = found.strategy == found.strategies.index("coupon")
    assert (found.drawn[coupon] == 0.4).all()
    assert np.isnan(found.drawn[~coupon]).all()
    assert found.open_to[coupon].mean(axis=0).tolist() == [1.0, 0.5]
    assert found.open_to[~coupon].all()
    assert found.treated == pytest.approx(np.full(480, 2 / 3))
    # what began on different days is not held against each other
    assert set(found.period[coupon]) == {"2026-01-05 09:00:00/2026-01-25 00:00:00"}
    assert set(found.period[~coupon]) == {"2026-01-07 09:00:00/2026-01-25 00:00:00"}
    assert "gender" not in found.known
    assert "age_years" not in found.known
    assert found.outcome.max() == pytest.approx(18)
    assert randomised.window_days(found) == pytest.approx((19.625 + 17.625) / 2)


def test_a_champion_of_an_earlier_release_is_told_apart_and_replaced(shop, tmp_path):
    features.build_features(DAY, shop)
    contact_features.build_contact_features(DAY, shop)
    registry = Registry(shop.registry, shop.marketing)
    earlier = StrategyUplift()
    earlier.strategies_, earlier.shapes_ = ["coupon", "news"], [EffectShape(), EffectShape()]
    known = randomised.collect(DAY, shop)[0].known
    with registry.training(tables.UPLIFT_MODEL, FIRST) as run:
        metadata = {"columns": list(known.columns), "strategies": earlier.strategies_, "costs": {}}
        version = run.register(tables.UPLIFT_MODEL, earlier, known.head(), np.zeros((5, 2)), metadata)
    registry.promote(tables.UPLIFT_MODEL, version, "as it was then")
    told, rows = chosen(shop, tmp_path)
    because = "version 1 is of an earlier release: learn_policy_weekly makes a new one"
    assert (told["model"], told["assumed_because"]) == (None, because)
    assert {row["basis"] for row in rows.values()} == {"assumed"}
    assert "changed_share_strategy" not in learn_policy.learn_strategies(DAY, shop)["metrics"]


def test_a_campaign_in_which_nobody_bought_is_learnt_from_like_any_other(stores):
    contacts = [contact for half, name in enumerate(SENT) for contact in rows_of(name, half)[0]]
    orders = [{"order_id": "o1", "customer_id": "c001", "ordered_at": dt.date(2026, 1, 9), "total_amount": 30}]
    frames.write_raw(
        stores, DAY,
        customers=[{"customer_id": customer, "email_consent": True} for customer in IDS],
        products=[{"product_id": "p1", "unit_cost": 4}], orders=orders, order_items=[{"order_id": "o1"}],
        campaigns=[{"campaign_id": f"k-{name}", "strategy_id": name, "channel": "email", "cost_per_contact": 0.02,
                    "starts_at": sent, "ends_at": dt.date(2026, 1, 25)} for name, sent in SENT.items()],
        campaign_contacts=contacts,
    )  # fmt: skip
    contact_features.build_contact_features(DAY, stores)
    found, left_out = randomised.collect(DAY, stores)
    assert left_out == {}
    coupon = found.strategy == found.strategies.index("coupon")
    assert (found.outcome[coupon] == 0).all()
    assert coupon.sum() == 240


def test_what_cannot_be_learnt_from_is_said_and_changes_nothing(shop):
    later = dt.date(2026, 1, 20)
    without_costs = [{"product_id": "p1", "unit_cost": None, "updated_at": later}]
    frames.accept(shop, DAY, products=without_costs)
    aggregates.build_aggregates(DAY, shop)
    contact_features.build_contact_features(DAY, shop)
    told = learn_policy.learn_strategies(DAY, shop)
    assert told["left_out"] == {
        f"k-{name}": "unit costs are known for 0% of the revenue, 95% are needed" for name in ("coupon", "news")
    }
    assert told["skipped"].startswith("none of 2 campaigns and strategies has results to learn from; k-")
    comparison = compare.compare_models(DAY, [told], shop)
    assert promote.promote_models(DAY, comparison, None, shop)["strategy_uplift"].startswith("skipped: none of 2")
    assert json.dumps(told)
