"""A shop that does what is published: who is contacted, what that changes, and that it is remembered."""

import dataclasses
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from local.simulator import answers, campaign_truth, practice_shop
from local.simulator.clock import start_of
from local.simulator.latent_types import MULTIPLIERS, STRATEGIES, TYPE_NAMES, WORKS_LIKE
from local.simulator.settings import Settings
from local.simulator.writing import KEYS
from segmentation import sql, strategy_file, warehouse
from tests.local.simulator.conftest import CONSENTED, DIRTY, create, fetch, publish, silent, what_contacts_did
from tests.local.simulator.test_truth import close

FILE = strategy_file.CONFIG
QUIET = dataclasses.replace(DIRTY, campaigns_per_block=0, deleted_customers_a_year=0.0)
DAYS = 80  # the window of what begins then reaches into the next block of the simulation
MEMORY = ("truth.answers", "truth.answered_campaigns", "truth.answered_contacts")


def contents(dsn, names=(*KEYS, *MEMORY)):
    return {name: sorted(row for (row,) in fetch(dsn, f"select t::text from {name} as t")) for name in names}


def next_day(settings, days):
    return settings.first_day + timedelta(days=days)


def drawn(dsn):
    rows = fetch(
        dsn,
        "select k.strategy_id, c.customer_id, c.arm from shop.campaign_contacts as c "
        "inner join shop.campaigns as k using (campaign_id) order by 1, 2",
    )
    return {(strategy, customer): arm for strategy, customer, arm in rows}


@pytest.fixture
def shop(new_database):
    dsn = new_database()
    create(dsn, QUIET, DAYS)
    return dsn, next_day(QUIET, DAYS)


@pytest.fixture(scope="module")
def answered(new_database):
    """20,000 customers, half of each strategy's held out, a week after two strategies were published for them.

    The week begins four days before a block of the simulation ends.
    """
    settings = Settings.until(date(2026, 6, 30), 168, customers=20_000, campaigns_per_block=0, seed=11)
    dsn = new_database()
    create(dsn, settings, 164)
    publish(
        dsn, date(2026, 6, 27), "case when customer_id < 'C00015000' then 'low_tier_coupon' else 'flash_sale' end",
        held="md5(c.customer_id) < '8'",
    )  # fmt: skip
    practice_shop.grow(dsn, 7, silent, FILE)
    return dsn, settings


def test_campaigns_and_contacts_are_what_is_published(shop):
    dsn, day = shop
    publish(dsn, day, "case when customer_id < 'C00000300' then 'welcome_pack' when customer_id < 'C00000600' "
                      "then 'care' when customer_id < 'C00000700' then 'own_agent' end",
            "case when customer_id >= 'C00000600' then null when customer_id >= 'C00000300' and sms_consent then 'sms' "
            f"when customer_id < 'C00000300' then {CONSENTED} end")  # fmt: skip
    wanted = {
        (strategy, customer): "control" if is_held else "treatment"
        for strategy, customer, is_held in fetch(
            dsn,
            "select strategy_id, customer_id, in_holdout from marketing.customer_segments "
            "where strategy_id is not null and contact_channel is not null",
        )
    }

    grown = practice_shop.grow(dsn, 2, silent, FILE)

    assert drawn(dsn) == wanted
    assert {strategy for strategy, _ in wanted} == {"welcome_pack", "care"}
    assert set(wanted.values()) == {"control", "treatment"}
    assert len(grown.answer.customer_no) == len(wanted)
    found = fetch(dsn, "select campaign_id, strategy_id, channel, cost_per_contact::float8, starts_at, ends_at "
                       "from shop.campaigns order by 1")  # fmt: skip
    begin = datetime.combine(day, datetime.min.time(), UTC)
    span = (begin + timedelta(hours=8), begin + timedelta(days=answers.WINDOW_DAYS))
    assert found == [
        (f"{day}-care", "care", "sms", 0.6, *span),  # not in the file: what a call costs the simulated shop
        (f"{day}-welcome_pack", "welcome_pack", None, 0.05, *span),  # over several channels
    ]
    times = fetch(dsn, "select min(contacted_at), max(contacted_at), bool_or(arm = 'control' and "
                       "(opened_at is not null or unsubscribed_at is not null)), bool_or(opened_at is not null) "
                       "from shop.campaign_contacts")[0]  # fmt: skip
    assert span[0] <= times[0] < times[1] < begin + timedelta(days=1)
    assert times[2:] == (False, True)


def customers(dsn, condition):
    return {name for (name,) in fetch(dsn, f"select customer_id from shop.customers where {condition}")}


def of(dsn, strategy):
    return {customer for name, customer in drawn(dsn) if name == strategy}


def test_who_does_not_allow_it_is_in_neither_arm(shop):
    dsn, day = shop
    publish(dsn, day, "'care'", "'sms'")
    allowed = customers(dsn, "sms_consent")
    practice_shop.grow(dsn, 7, silent, FILE)
    assert of(dsn, "care") == allowed < customers(dsn, "true")
    left = {name for (name,) in fetch(dsn, "select customer_id from shop.campaign_contacts "
                                            "where unsubscribed_at is not null")}  # fmt: skip
    assert left
    publish(dsn, day + timedelta(days=7), "'newsletter'", "'sms'")
    practice_shop.grow(dsn, 1, silent, FILE)
    assert of(dsn, "newsletter")
    assert not of(dsn, "newsletter") & left


def test_who_is_within_a_campaign_is_in_no_other_until_it_is_over(shop):
    dsn, day = shop
    publish(dsn, day, who="customer_id < 'C00000400'")
    practice_shop.grow(dsn, 3, silent, FILE)
    first = of(dsn, "coupon")
    publish(dsn, day + timedelta(days=3), "'newsletter'")
    reachable = customers(dsn, "email_consent or sms_consent or push_consent")
    practice_shop.grow(dsn, 4, silent, FILE)
    second = of(dsn, "newsletter")
    assert second
    assert second == reachable - first
    publish(dsn, day + timedelta(days=7), "'gift_guide'")
    reachable = customers(dsn, "email_consent or sms_consent or push_consent")
    practice_shop.grow(dsn, 1, silent, FILE)
    assert of(dsn, "gift_guide") == reachable - second
    assert of(dsn, "gift_guide") & first


def test_in_two_steps_it_is_the_same_as_in_one(new_database):
    dsns = [new_database() for _ in range(3)]
    for dsn in dsns:
        create(dsn, DIRTY, DAYS)
        publish(dsn, next_day(DIRTY, DAYS))
    once, twice, often = dsns
    practice_shop.grow(once, 40, silent, FILE)
    for days in (5, 35):  # what is published is taken up once
        practice_shop.grow(twice, days, silent, FILE)
    for days in (1, 1, 11, 3, 24):
        practice_shop.grow(often, days, silent, FILE if days == 1 else None)

    wanted = contents(once)
    assert len(wanted["truth.answered_contacts"]) > 200
    for dsn in (twice, often):
        found = contents(dsn)
        for name, rows in wanted.items():
            if name == "truth.campaign_effects":  # sums of floats
                assert [row.split(",")[:6] for row in found[name]] == [row.split(",")[:6] for row in rows]
            else:
                assert found[name] == rows, name


def test_the_size_of_the_chunks_changes_no_row(new_database):
    made = []
    for size in (10_000, 97):
        dsn = new_database()
        create(dsn, dataclasses.replace(DIRTY, chunk_customers=size), DAYS)
        publish(dsn, next_day(DIRTY, DAYS))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                Settings,
                "from_json",
                classmethod(lambda cls, text, of=size: dataclasses.replace(DIRTY, chunk_customers=of)),
            )
            practice_shop.grow(dsn, 14, silent, FILE)
        made.append(contents(dsn, [name for name in (*KEYS, *MEMORY) if "effects" not in name]))
    assert made[0] == made[1]


def test_a_shop_with_nothing_published_just_grows(new_database):
    plain, asked = new_database(), new_database()
    for dsn in (plain, asked):
        create(dsn, DIRTY, DAYS)
    practice_shop.grow(plain, 10, silent)
    assert practice_shop.grow(asked, 5, silent, FILE).answer is None  # there is no such table yet
    with warehouse.connect(asked) as connection:
        warehouse.run_script(connection, sql.read("publish", "schema"))
    assert practice_shop.grow(asked, 5, silent, FILE).answer is None  # and now it is empty
    assert contents(asked) == contents(plain)


def test_a_strategy_that_contacts_nobody_makes_no_campaign(new_database):
    plain, asked = new_database(), new_database()
    for dsn in (plain, asked):
        create(dsn, QUIET, DAYS)
    publish(asked, next_day(QUIET, DAYS), "'own_agent'", "null")
    practice_shop.grow(plain, 5, silent)
    grown = practice_shop.grow(asked, 5, silent, FILE)
    assert (grown.answer.campaigns, len(grown.answer.customer_no)) == ([], 0)
    assert contents(asked, KEYS) == contents(plain, KEYS)


def test_a_shop_that_answers_has_no_campaigns_of_its_own_any_more_and_those_that_have_begun_go_on(new_database):
    dsn, other = new_database(), new_database()
    for each in (dsn, other):
        create(each, DIRTY, 61)  # the campaigns of days 56 to 84 begin on days 58 and 59
    publish(dsn, next_day(DIRTY, 61))
    before = len(fetch(dsn, "select from shop.campaigns"))
    practice_shop.grow(dsn, 60, silent, FILE)
    practice_shop.grow(other, 60, silent)
    ours, theirs = (
        {name for (name,) in fetch(each, "select campaign_id from shop.campaigns")} for each in (dsn, other)
    )
    assert len(ours) == before + 1 < len(theirs)
    assert ours - theirs == {f"{next_day(DIRTY, 61)}-coupon"}
    running = fetch(
        dsn,
        "select count(*) from shop.campaign_contacts as c inner join shop.campaigns as k using (campaign_id) "
        f"where campaign_id like 'CAMPAIGN-%' and k.ends_at > '{next_day(DIRTY, 61)}'",
    )
    both = fetch(
        dsn,
        "select count(*) from shop.campaign_contacts as a "
        "inner join shop.campaigns as k on k.campaign_id = a.campaign_id "
        "inner join shop.campaign_contacts as b on a.customer_id = b.customer_id and a.campaign_id <> b.campaign_id "
        "where b.contacted_at > a.contacted_at and b.contacted_at < k.ends_at",
    )
    assert (running[0][0] > 0, both) == (True, [(0,)])


def test_what_came_is_what_was_to_be_expected_in_either_arm(answered):
    """Conversion and revenue of every contact; and the factors matter: without them it is not."""
    dsn, _ = answered
    told = what_contacts_did(dsn)
    for arm, rows in told.groupby("arm"):
        for brought, wanted in (("bought", "conversion"), ("spend", "revenue")):
            more = rows[f"{wanted}_more"] if arm == "treatment" else 0
            assert close(rows[brought].to_numpy(float), (rows[wanted] + more).to_numpy())
    coupon = told[told["strategy_id"] == "low_tier_coupon"]
    treated = coupon[coupon["arm"] == "treatment"]
    assert not close(treated["bought"].to_numpy(float), treated["conversion"].to_numpy())
    held = coupon[coupon["arm"] == "control"]
    assert not close(held["bought"].to_numpy(float), (held["conversion"] + held["conversion_more"]).to_numpy())


def test_the_treated_of_each_type_order_by_its_factor(answered):
    """Bargain hunters, whom both strategies move: orders of the treated beside those of the held out."""
    dsn, _ = answered
    rows = fetch(
        dsn,
        "select k.strategy_id, c.arm, count(distinct c.customer_id)::int, count(o.*)::int "
        "from shop.campaign_contacts as c inner join shop.campaigns as k using (campaign_id) "
        "inner join truth.customers as t using (customer_id) "
        "left join shop.orders as o on o.customer_id = c.customer_id and o.ordered_at >= c.contacted_at "
        "and o.ordered_at < k.ends_at where t.latent_type = 'bargain_hunter' group by 1, 2",
    )
    found = {(strategy, arm): (customers, orders) for strategy, arm, customers, orders in rows}
    for strategy, like in (("low_tier_coupon", "coupon"), ("flash_sale", "flash_sale")):
        factor = MULTIPLIERS[[one.strategy_id for one in STRATEGIES].index(like), TYPE_NAMES.index("bargain_hunter")]
        (treated, more), (held, plain) = found[strategy, "treatment"], found[strategy, "control"]
        ratio = more / treated / (plain / held)
        error = ratio * np.sqrt(1 / more + 1 / plain)
        assert abs(ratio - factor) < 3 * error
        assert ratio - 1 > 3 * error


def test_the_truth_of_campaigns_is_kept(answered):
    dsn, _ = answered
    rows = fetch(dsn, "select strategy_id, latent_type, rate_multiplier, contacts from truth.campaign_effects")
    for strategy, kind, multiplier, _ in rows:
        like = STRATEGIES[[one.strategy_id for one in STRATEGIES].index(WORKS_LIKE.get(strategy, strategy))]
        assert multiplier == like.multipliers[TYPE_NAMES.index(kind)]
    assert sum(row[3] for row in rows) == fetch(dsn, "select count(*) from truth.answered_contacts")[0][0]
    mine = campaign_truth.of_contacts(dsn).groupby("strategy_id")["revenue_more"].mean()
    theirs = fetch(dsn, "select strategy_id, sum(contacts * effect_on_spend) / sum(contacts) "
                        "from truth.campaign_effects group by 1")  # fmt: skip
    for strategy, effect in theirs:
        assert mine[strategy] == pytest.approx(effect, rel=0.05)


def test_every_strategy_of_the_file_that_contacts_somebody_has_a_true_effect():
    known = {one.strategy_id for one in STRATEGIES}
    contacting = {each.strategy.id for each in strategy_file.read(FILE) if each.strategy.channels}
    assert set(WORKS_LIKE) == contacting
    assert set(WORKS_LIKE.values()) <= known


def test_what_is_published_of_a_day_to_come_is_not_answered_to(shop):
    dsn, day = shop
    publish(dsn, day + timedelta(days=2))
    before = contents(dsn, KEYS)
    with pytest.raises(ValueError, match=f"as of {day + timedelta(days=2)}, but the simulated shop has only come to"):
        practice_shop.grow(dsn, 1, silent, FILE)
    assert contents(dsn, KEYS) == before


def test_campaigns_of_nobody_knows_what_have_no_truth(shop):
    dsn, _ = shop
    with warehouse.connect(dsn) as connection:
        warehouse.run_script(
            connection,
            "insert into shop.campaigns values ('X', 'X', 'mystery', 'email', now(), now(), 0, 0, now()); "
            "insert into shop.campaign_contacts (campaign_id, customer_id, arm, contacted_at, updated_at) "
            "select 'X', customer_id, 'control', now(), now() from shop.customers limit 1",
        )
    with pytest.raises(ValueError, match="nothing in the simulated shop tells what strategy 'mystery' truly changes"):
        campaign_truth.of_contacts(dsn)


def test_midnights_are_those_of_the_shop(shop):
    dsn, day = shop
    publish(dsn, day - timedelta(days=1))  # yesterday's choice is taken up as well
    grown = practice_shop.grow(dsn, 1, silent, FILE)
    assert grown.answer.begins_at == start_of(day)
    assert grown.answer.as_of == day - timedelta(days=1)
