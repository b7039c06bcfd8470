"""What campaigns changed, on a shop small enough to count by hand: real Postgres, real lake."""

import datetime as dt
import json

import pyarrow as pa
import pytest

from segmentation import (
    campaign_results,
    choice_days,
    effects,
    evaluate,
    history,
    lake,
    settings,
    snapshots,
    tables,
    warehouse,
)
from tests import frames

DAY = frames.DAY
SENT = dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC)
ARMS = ("control", "mail", "sms")
CUSTOMERS = [f"c{n:03d}" for n in range(180)]


def arm_of(number: int) -> str:
    return ARMS[number % 3]


def campaign(key: str = "k1", ends=dt.date(2026, 1, 25), **other) -> dict:
    return {"campaign_id": key, "name": f"Campaign {key}", "starts_at": dt.date(2026, 1, 5), "ends_at": ends, **other}


def order(number: int, customer: str, when, amount: float, **other) -> dict:
    return {"order_id": f"o{number}-{customer}", "customer_id": customer, "ordered_at": when, "total_amount": amount,
            **other}  # fmt: skip


# Who was mailed buys for 30 in one of two cases, who got a text message in one of four, who was held out in one of four
BUYERS = {"control": 4, "mail": 2, "sms": 4}
BOUGHT = [
    order(1, customer, SENT + dt.timedelta(days=2 + n % 5), 30)
    for n, customer in enumerate(CUSTOMERS)
    if (n // 3) % BUYERS[arm_of(n)] == 0
]
EARLIER = [order(0, customer, dt.date(2025, 11, 1 + n % 20), 10 + n) for n, customer in enumerate(CUSTOMERS) if n % 2]
CONTACTS = [
    {"campaign_id": "k1", "customer_id": customer, "arm": arm_of(n), "contacted_at": SENT,
     "satisfaction": 3 + (n // 3) % 3 if (n // 3) % 2 else None,
     "unsubscribed_at": SENT + dt.timedelta(days=1) if arm_of(n) == "sms" and n < 9 else None,
     "updated_at": SENT + dt.timedelta(days=3)}
    for n, customer in enumerate(CUSTOMERS)
]  # fmt: skip
ITEMS = [{"order_id": each["order_id"], "quantity": 3, "unit_price": 10} for each in BOUGHT]
SHOP = {
    "customers": [{"customer_id": customer, "signed_up_at": dt.date(2025, 3, 1)} for customer in CUSTOMERS],
    "products": [{"product_id": "p1", "unit_cost": 4}],
    "orders": EARLIER + BOUGHT,
    "order_items": ITEMS,
    "campaigns": [campaign(cost_per_contact=0.5, fixed_cost=120, strategy_id="s1")],
    "campaign_contacts": CONTACTS,
}


def put_segments(stores, segments: list[int]) -> None:
    """Who was in which segment since long ago."""
    snapshots.ensure_schema(stores.marketing)
    table = pa.table(
        {
            "customer_id": CUSTOMERS,
            "segment_id": segments,
            "segment_name": [f"s{segment}" for segment in segments],
            "value_tier": ["low"] * len(CUSTOMERS),
            "valid_from": [dt.date(2025, 6, 1)] * len(CUSTOMERS),
        }
    )
    with warehouse.connect(stores.marketing) as connection:
        warehouse.copy_in(connection, "marketing.segment_history", [table], table.column_names)


def results(stores, where: str = "true", relation: str = "marketing.campaign_results") -> dict[tuple, dict]:
    with warehouse.connect(stores.marketing) as connection:
        rows = warehouse.fetch_dicts(connection, f"select * from {relation} where {where}")
    keys = ("campaign_id", "design", "arm", "metric", "segment_id")
    found = {tuple(row[key] for key in keys): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture
def shop(stores):
    frames.accept(stores, DAY, **SHOP)
    return stores


def test_treatment_against_control(shop):
    told = evaluate.evaluate_campaigns(DAY, shop)
    found = results(shop, "design = 'randomised'")
    assert told["campaigns"] == 1
    assert set(found) == {("k1", "randomised", arm, metric, None) for arm in ("mail", "sms")
                          for metric in ("conversion", "revenue", "margin", "satisfaction", "unsubscribe")}  # fmt: skip
    mail = found["k1", "randomised", "mail", "conversion", None]
    assert (mail["treatment_customers"], mail["control_customers"]) == (60, 60)
    assert (mail["treatment_mean"], mail["control_mean"], mail["difference"]) == (0.5, 0.25, 0.25)
    assert (mail["relative_lift"], mail["status"], mail["as_of_date"]) == (1, "closed", DAY)
    by_hand = effects.of_shares([1] * 30 + [0] * 30, [1] * 15 + [0] * 45)
    assert mail["p_value"] == pytest.approx(by_hand.p_value)
    assert (mail["difference_low"], mail["difference_high"]) == pytest.approx((by_hand.low, by_hand.high))
    assert mail["is_trusted"]
    # two arms are looked at
    sms = found["k1", "randomised", "sms", "conversion", None]
    assert (sms["difference"], sms["p_value"]) == (0, 1)
    assert mail["corrected_p_value"] == pytest.approx(2 * mail["adjusted_p_value"])
    assert mail["adjusted_low"] < mail["adjusted_difference"] < mail["adjusted_high"]


def test_money_and_what_it_cost(shop):
    evaluate.evaluate_campaigns(DAY, shop)
    found = results(shop, "design = 'randomised'")
    revenue, margin = (found["k1", "randomised", "mail", metric, None] for metric in ("revenue", "margin"))
    assert (revenue["treatment_mean"], revenue["control_mean"]) == (15, 7.5)
    # 30 paid for three things that cost 4 each: 18 of margin
    assert (margin["treatment_mean"], margin["control_mean"]) == (9, 4.5)
    # 60 contacts at 0.50, and half of 120: two arms of the same size
    assert float(margin["cost"]) == 90
    assert margin["roi"] == pytest.approx((60 * margin["adjusted_difference"] - 90) / 90)
    assert margin["roi_low"] == pytest.approx((60 * margin["adjusted_low"] - 90) / 90)
    assert margin["roi_low"] < margin["roi"] < margin["roi_high"]
    assert found["k1", "randomised", "mail", "conversion", None]["roi"] is None


def test_satisfaction_and_unsubscribes(shop):
    evaluate.evaluate_campaigns(DAY, shop)
    found = results(shop)
    satisfaction = found["k1", "randomised", "sms", "satisfaction", None]
    assert (satisfaction["treatment_customers"], satisfaction["control_customers"]) == (30, 30)
    assert (satisfaction["treatment_mean"], satisfaction["control_mean"]) == (4, 4)
    assert "answered" in satisfaction["note"]
    unsubscribe = found["k1", "randomised", "sms", "unsubscribe", None]
    assert (unsubscribe["treatment_mean"], unsubscribe["control_mean"]) == (3 / 60, 0)
    assert unsubscribe["relative_lift"] is None
    assert found["k1", "randomised", "mail", "unsubscribe", None]["treatment_mean"] == 0


def test_without_unit_costs_there_is_no_margin_and_it_says_why(shop):
    frames.accept(shop, DAY, products=[{"product_id": "p1", "unit_cost": None, "updated_at": dt.date(2025, 2, 1)}])
    evaluate.evaluate_campaigns(DAY, shop)
    row = results(shop)["k1", "randomised", "mail", "margin", None]
    assert (row["treatment_mean"], row["difference"], row["roi"]) == (None, None, None)
    assert row["note"] == "unit costs are known for 0% of the revenue, 95% are needed"


def test_segments_are_those_before_the_contact_and_small_ones_are_not_told(shop):
    # of segment 3 and 4 there are 9 in each arm; of 5 many
    put_segments(shop, [3] * 27 + [4] * 27 + [5] * 66 + [6] * 60)
    evaluate.evaluate_campaigns(DAY, shop)
    found = results(shop, "design = 'randomised' and metric = 'conversion'")
    assert {key[4] for key in found} == {None, 5, 6}
    inside = found["k1", "randomised", "mail", "conversion", 5]
    assert (inside["segment_name"], inside["treatment_customers"], inside["control_customers"]) == ("s5", 22, 22)
    # four arms and segments are looked at: the smallest p-value counts fourfold
    segments = [row for key, row in found.items() if key[4]]
    best = min(segments, key=lambda row: row["adjusted_p_value"] or row["p_value"])
    assert best["corrected_p_value"] == pytest.approx(min(1, 4 * (best["adjusted_p_value"] or best["p_value"])))
    everyone = found["k1", "randomised", "mail", "conversion", None]
    checks = everyone["checks"]
    assert checks["segments_not_told"] == 2
    assert checks["customers"] == {"control": 60, "mail": 60, "sms": 60}
    assert all(each["is_met"] for each in checks["draw"])
    # the segments' parts of the cost are those of their customers
    assert float(inside["cost"]) == 22 * 1.5


def test_one_small_segment_takes_the_next_with_it(shop):
    put_segments(shop, [3] * 27 + [4] * 63 + [5] * 90)
    evaluate.evaluate_campaigns(DAY, shop)
    assert {key[4] for key in results(shop, "design = 'randomised'")} == {None, 5}


def test_arms_of_other_sizes_than_intended_are_not_trusted(shop, monkeypatch):
    intended = {"s1": {"control": 0.6, "mail": 0.2, "sms": 0.2}}
    monkeypatch.setattr(settings, "load", lambda: settings.Settings(evaluate={"intended_shares": intended}))
    evaluate.evaluate_campaigns(DAY, shop)
    for row in results(shop, "design = 'randomised'").values():
        assert not row["is_trusted"]
        assert row["note"].startswith("sizes of the arms: not as drawn at random")
        assert row["checks"]["draw"][0]["p_value"] < 1e-6
    assert all(row["is_trusted"] for row in results(shop, "design = 'before_after'").values())


def test_arms_that_were_not_intended_are_named(shop, monkeypatch):
    intended = {"s1": {"control": 0.5, "letter": 0.5}}
    monkeypatch.setattr(settings, "load", lambda: settings.Settings(evaluate={"intended_shares": intended}))
    evaluate.evaluate_campaigns(DAY, shop)
    row = results(shop)["k1", "randomised", "mail", "conversion", None]
    assert row["note"].startswith("sizes of the arms: the arms are control, mail, sms, those intended control, letter")


def keep_choice(stores, share: float, day: dt.date) -> None:
    """The strategies of a day, of which s1 was to hold out so many."""
    rows = frames.typed([{"customer_id": "c000", "as_of_date": day, "strategy_id": "s1"}], tables.STRATEGY_COLUMNS)
    told = choice_days.notes({"s1": share, "s2": 0.9})
    lake.write(stores.lake, tables.STRATEGIES, day, rows.to_batches(), rows.schema, lambda: told)


@pytest.mark.parametrize(("share", "is_trusted"), [(0.5, True), (0.1, False)])
def test_the_arms_of_a_strategy_are_held_against_the_share_that_was_to_be_held_out(stores, share, is_trusted):
    two = [each for each in CONTACTS if each["arm"] != "sms"]
    frames.accept(stores, DAY, **{**SHOP, "campaign_contacts": two})
    keep_choice(stores, share, SENT.date())
    keep_choice(stores, 0.01, SENT.date() + dt.timedelta(days=1))  # an edit after the draw
    evaluate.evaluate_campaigns(DAY, stores)
    row = results(stores)["k1", "randomised", "mail", "conversion", None]
    assert row["is_trusted"] == is_trusted
    assert row["checks"]["intended_shares"] == {"control": share, "mail": 1 - share}
    assert row["checks"]["draw"][0]["check"] == "sizes of the arms"


@pytest.mark.parametrize("day", [SENT.date() + dt.timedelta(days=1), SENT.date() - dt.timedelta(days=8)])
def test_a_choice_after_the_contact_or_long_before_it_says_nothing_of_the_arms(stores, day):
    frames.accept(stores, DAY, **{**SHOP, "campaign_contacts": [each for each in CONTACTS if each["arm"] != "sms"]})
    keep_choice(stores, 0.1, day)
    evaluate.evaluate_campaigns(DAY, stores)
    row = results(stores)["k1", "randomised", "mail", "conversion", None]
    assert row["checks"]["intended_shares"] is None
    assert row["is_trusted"]


def test_a_campaign_in_which_nobody_bought_lost_what_it_cost(stores):
    frames.accept(stores, DAY, **{**SHOP, "orders": EARLIER, "order_items": []})
    evaluate.evaluate_campaigns(DAY, stores)
    row = results(stores)["k1", "randomised", "mail", "margin", None]
    assert (row["treatment_mean"], row["control_mean"], row["difference"], row["roi"]) == (0, 0, 0, -1)


def test_arms_that_were_chosen_by_spend_are_not_trusted(stores):
    chosen = [{**each, "arm": "mail" if n % 2 else "control"} for n, each in enumerate(CONTACTS)]
    frames.accept(stores, DAY, **{**SHOP, "campaign_contacts": chosen})
    evaluate.evaluate_campaigns(DAY, stores)
    row = results(stores)["k1", "randomised", "mail", "conversion", None]
    assert not row["is_trusted"]
    assert "share of the arms by spend before" in row["note"]


def test_before_and_after_are_marked_as_what_they_are(shop):
    early = [order(9, customer, SENT - dt.timedelta(days=3), 50) for customer in CUSTOMERS[1::3][:12]]
    frames.accept(shop, DAY, orders=early)
    evaluate.evaluate_campaigns(DAY, shop)
    found = results(shop, "design = 'before_after'")
    row = found["k1", "before_after", "mail", "conversion", None]
    assert (row["treatment_customers"], row["treatment_mean"], row["control_mean"]) == (60, 0.5, 0.2)
    assert row["difference"] == pytest.approx(0.3)
    assert (row["roi"], row["adjusted_difference"]) == (None, None)
    assert row["note"].startswith("a change, not an effect")
    assert {key[3] for key in found} == {"conversion", "revenue"}


def test_a_running_campaign_is_marked_and_sees_nothing_of_later(shop):
    with_later = [order(5, customer, DAY, 1_000) for customer in CUSTOMERS]
    frames.accept(shop, DAY, campaigns=[campaign(ends=dt.date(2026, 2, 20), updated_at=dt.date(2026, 1, 2))],
                  orders=with_later)  # fmt: skip
    told = evaluate.evaluate_campaigns(DAY, shop)
    assert told["running"] == 1
    row = results(shop)["k1", "randomised", "mail", "revenue", None]
    assert (row["status"], row["treatment_mean"]) == ("running", 15)


def test_a_day_again_gives_the_same_rows_and_readers_see_the_latest(shop):
    def everything():
        return results(shop, relation="evaluation.campaign_results")

    evaluate.evaluate_campaigns(DAY, shop)
    first = everything()
    evaluate.evaluate_campaigns(DAY, shop)
    assert everything() == first
    later = DAY + dt.timedelta(days=40)
    frames.accept(shop, later, orders=[order(7, "c001", SENT + dt.timedelta(days=9), 60)])
    evaluate.evaluate_campaigns(later, shop)
    seen = results(shop)
    assert {(row["as_of_date"], row["status"]) for row in seen.values()} == {(later, "final")}
    assert seen["k1", "randomised", "mail", "revenue", None]["treatment_mean"] == pytest.approx(16)
    # the earlier day still knows what it knew, and does not become what readers see
    evaluate.evaluate_campaigns(DAY, shop)
    assert results(shop, f"as_of_date = '{DAY}'", "evaluation.campaign_results") == first
    assert results(shop) == seen
    # what is final is not evaluated any more
    last = later + dt.timedelta(days=1)
    frames.accept(shop, last)
    assert evaluate.evaluate_campaigns(last, shop)["campaigns"] == 0
    assert results(shop) == seen


def test_days_without_campaigns_and_days_that_are_not_accepted(stores):
    with pytest.raises(history.NotAcceptedError, match="2026-01-31"):
        evaluate.evaluate_campaigns(DAY, stores)
    frames.accept(stores, DAY, customers=SHOP["customers"])
    told = evaluate.evaluate_campaigns(DAY, stores)
    assert (told["campaigns"], told["running"], told["rows"]) == (0, 0, 0)


def test_few_customers_tell_nothing(stores):
    frames.accept(stores, DAY, **{**SHOP, "campaign_contacts": CONTACTS[:12]})
    evaluate.evaluate_campaigns(DAY, stores)
    for row in results(stores).values():
        assert row["difference"] is None
        assert "fewer than 10 customers" in row["note"] or row["metric"] == "margin"


def test_everything_is_told_in_json_that_postgres_reads(shop):
    evaluate.evaluate_campaigns(DAY, shop)
    assert all(isinstance(json.loads(json.dumps(row["checks"])), dict) for row in results(shop).values())
    campaign_results.ensure_schema(shop.marketing)


# Without a control arm: whoever ordered much was mailed, and the mail changes nothing
CROWD = [f"d{n:04d}" for n in range(900)]
SPENT = {customer: n % 30 for n, customer in enumerate(CROWD)}
MAILED = [customer for n, customer in enumerate(CROWD) if (n * 7919) % 997 < 100 + 20 * SPENT[customer]]
CROWD_SHOP = {
    "customers": [{"customer_id": customer, "signed_up_at": dt.date(2025, 1 + n % 9, 1)}
                  for n, customer in enumerate(CROWD)],
    "campaigns": [campaign(cost_per_contact=0.1)],
    "campaign_contacts": [{"campaign_id": "k1", "customer_id": customer, "arm": "mail", "contacted_at": SENT,
                           "satisfaction": 4, "updated_at": SENT} for customer in MAILED],
    "orders": [order(0, customer, dt.date(2025, 12, 1), 10 + 10 * SPENT[customer]) for customer in CROWD]
    + [order(1, customer, SENT + dt.timedelta(days=5), 50) for n, customer in enumerate(CROWD)
       if (n * 104_729) % 1_009 < 20 * SPENT[customer]],
}  # fmt: skip


def test_without_a_control_arm_the_contacted_are_compared_with_their_like(stores):
    frames.accept(stores, DAY, **CROWD_SHOP)
    evaluate.evaluate_campaigns(DAY, stores)
    found = results(stores)
    assert {key[1] for key in found} == {"observational", "before_after"}
    row = found["k1", "observational", "mail", "conversion", None]
    mailed = sum((n * 104_729) % 1_009 < 20 * SPENT[customer] for n, customer in enumerate(CROWD)
                 if customer in set(MAILED)) / len(MAILED)  # fmt: skip
    others = sum((n * 104_729) % 1_009 < 20 * SPENT[customer] for n, customer in enumerate(CROWD)
                 if customer not in set(MAILED)) / (len(CROWD) - len(MAILED))  # fmt: skip
    assert mailed - others > 0.12  # a naive comparison is far off
    assert row["difference_low"] < 0 < row["difference_high"]
    assert abs(row["difference"]) < 0.06
    assert row["difference"] == pytest.approx(row["treatment_mean"] - row["control_mean"])
    assert row["adjusted_difference"] is None
    assert row["note"].startswith("nobody was held out")
    assert row["checks"]["comparison"]["unlike"] < 0.1
    assert row["is_trusted"]
    satisfaction = found["k1", "observational", "mail", "satisfaction", None]
    assert (satisfaction["difference"], satisfaction["note"]) == (None, "not known of customers who were not contacted")


def test_nobody_left_to_compare_with_is_told(stores):
    everyone = [{**CROWD_SHOP["campaign_contacts"][0], "customer_id": customer} for customer in CROWD]
    frames.accept(stores, DAY, **{**CROWD_SHOP, "campaign_contacts": everyone})
    evaluate.evaluate_campaigns(DAY, stores)
    row = results(stores)["k1", "observational", "mail", "revenue", None]
    assert (row["difference"], row["is_trusted"]) == (None, False)
    assert row["note"].startswith("too few customers")
