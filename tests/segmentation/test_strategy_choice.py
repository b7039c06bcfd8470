"""Who gets which strategy: never over budget or cap, never over a channel without consent, controls that stay."""

import hashlib
import hmac
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from segmentation import engine, settings, strategy_choice, strategy_columns, tables
from segmentation.conditions import compiled
from segmentation.strategy_choice import Known
from segmentation.strategy_file import Planned, Strategy

KEY = "a key for tests only"
FACTS = pa.schema(
    [("customer_id", pa.string()), *((f"may_{name}", pa.bool_()) for name in ("email", "sms", "push")),
     ("contact_ages", pa.list_(pa.int64())), ("unsubscribed_age_days", pa.int64()), ("anniversary_in_days", pa.int64())]
)  # fmt: skip
PLAIN = {
    "name": {"en": "x", "zh": "x"}, "who": "true", "offer": "an offer", "channels": [], "cost_per_contact": 1.0,
    "expected_margin": 100.0, "expected_lift": 2.0, "budget": 1e6, "holdout_share": 0.0,
}  # fmt: skip


def planned(**told):
    number = told.pop("number", 1)
    strategy = Strategy.model_validate({**PLAIN, "id": f"s{number}", "priority": number, **told})
    return Planned(strategy, compiled(strategy.who, strategy_columns.every()), number)


def _rows(ids, customers, names):
    return [{"customer_id": one, **{n: c.get(n) for n in names}} for one, c in zip(ids, customers, strict=True)]


def choose(strategies, customers, stock=(), key=KEY, day="2026-01-31", uplift=None):
    """What each customer gets. A customer: scores, features and facts by name.

    :param uplift: number of a strategy -> `mean`, `spread`, `draw` of each customer, if its effect has been learnt.
    """
    ids = [f"c{number}" for number in range(len(customers))]
    scores = pa.Table.from_pylist(
        _rows(ids, customers, strategy_columns.scores()),
        schema=pa.schema([("customer_id", pa.string()), *strategy_columns.scores().items()]),
    )  # fmt: skip
    features = ["order_value_mean", "last_complaint_age_days", "category_top", "viewed_category_top"]
    kinds = [pa.float64(), pa.int64(), pa.string(), pa.string()]
    of_features = pa.Table.from_pylist(
        _rows(ids, customers, features),
        schema=pa.schema([("customer_id", pa.string()), *zip(features, kinds, strict=True)]),
    )  # fmt: skip
    facts = _rows(ids, customers, FACTS.names[1:])
    known = Known([*strategy_columns.scores(), *features], bool(stock), 50.0)
    with engine.session("", settings.Settings()) as session:
        session.put(tables.CUSTOMER_SCORES, scores)
        session.put(tables.CUSTOMER_FEATURES, of_features)
        session.put(tables.STRATEGY_FACTS, pa.Table.from_pylist(facts, schema=FACTS))
        kind = pa.schema([("category", pa.string()), ("pieces", pa.int64())])
        session.put(tables.STRATEGY_STOCK, pa.Table.from_pylist(list(stock), schema=kind))
        session.put("strategy.key", strategy_choice.keys(key))
        told = {f"draw_{number}": [0.0] * len(ids) for number in range(len(strategies))}
        for number, learnt in (uplift or {}).items():
            told |= {f"{kind}_{number}": values for kind, values in learnt.items()}
        session.put(tables.STRATEGY_UPLIFT, pa.table({"customer_id": ids, **told}))
        session.create(tables.STRATEGY_CANDIDATES, strategy_choice.candidates(strategies, known, day, uplift or ()))
        strategy_choice.assigned(session, strategies)
        rows = engine.table_of(session.batches(strategy_choice.rows(strategies, day))).to_pylist()
    found = {row["customer_id"]: SimpleNamespace(**row) for row in rows}
    assert len(found) == len(rows) == len(customers)
    return [found[one] for one in ids]


def gain(p, k):
    return p * k / (1 - p + p * k) - p


def test_the_margin_is_what_the_formula_says():
    customers = [{"purchase_probability_30d": p, "order_value_mean": value} for p, value in
                 ((0.25, 40.0), (0.25, None), (0.0, 40.0), (1.0, 40.0), (None, 40.0))]  # fmt: skip
    found = choose([planned(expected_margin="30%", expected_lift=3.0)], customers)
    assert found[0].expected_margin == pytest.approx(gain(0.25, 3) * 0.3 * 40 - 1)
    assert found[1].expected_margin == pytest.approx(gain(0.25, 3) * 0.3 * 50 - 1)  # the shop's mean order
    assert [one.strategy_id for one in found] == ["s1", "s1", None, None, None]
    assert [one.in_holdout for one in found] == [False, False, None, None, None]


def test_everyone_gets_the_best_where_no_budget_runs_out_and_ties_go_by_priority():
    best = planned(number=3, who="churn_risk = 'high'", expected_margin=200.0)
    every = [planned(number=1, who="value_tier = 'high'"), planned(number=2), best]
    kinds = ({"value_tier": "high"}, {"value_tier": "low"}, {"value_tier": "high", "churn_risk": "high"})
    customers = [{"purchase_probability_30d": 0.5, **kind} for kind in kinds]
    assert [one.strategy_id for one in choose(every, customers)] == ["s1", "s2", "s3"]


@pytest.mark.parametrize(
    ("brakes", "customer", "is_braked"),
    [
        ({"service_risk": "high"}, {"service_risk": "high"}, True),
        ({"service_risk": "high"}, {"service_risk": "medium"}, False),
        ({"service_risk": "medium"}, {"service_risk": "medium"}, True),
        ({"service_risk": "medium"}, {}, False),
        ({"complaint_days": 30}, {"last_complaint_age_days": 30}, True),
        ({"complaint_days": 30}, {"last_complaint_age_days": 31}, False),
        ({"complaint_days": 30}, {}, False),
        ({"unsubscribed_days": 60}, {"unsubscribed_age_days": 60}, True),
        ({"unsubscribed_days": 60}, {"unsubscribed_age_days": 61}, False),
        ({"low_stock": 10}, {"category_top": "shoes"}, True),
        ({"low_stock": 10}, {"viewed_category_top": "shoes"}, True),
        ({"low_stock": 10}, {"category_top": "hats", "viewed_category_top": "shoes"}, False),
        ({"low_stock": 10}, {"category_top": "not counted"}, False),
        ({"low_stock": 10}, {}, False),
    ],
)
def test_brakes(brakes, customer, is_braked):
    stock = [{"category": "shoes", "pieces": 9}, {"category": "hats", "pieces": 10}, {"category": None, "pieces": 19}]
    [one] = choose([planned(brakes=brakes)], [{"purchase_probability_30d": 0.5, **customer}], stock)
    assert (one.strategy_id is None) == is_braked


@pytest.mark.parametrize(
    ("may", "preferred", "channel"),
    [
        ("email sms push", None, "sms"),
        ("email sms push", "email", "email"),
        ("sms email", "push", "sms"),
        ("email", "sms", "email"),
        ("push", "push", None),
        ("", "email", None),
    ],
)
def test_a_contact_goes_over_a_channel_that_may_be_used_or_there_is_none(may, preferred, channel):
    cap = {"contacts": 1, "days": 7}
    customer = {"purchase_probability_30d": 0.5, "preferred_channel": preferred}
    customer |= {f"may_{name}": True for name in may.split()}
    [one] = choose([planned(channels=["sms", "email"], frequency_cap=cap)], [customer])
    assert (one.contact_channel, one.strategy_id) == (channel, "s1" if channel else None)


CONSENT = {f"may_{name}": st.none() | st.booleans() for name in ("email", "sms", "push")}
CUSTOMER = st.fixed_dictionaries(
    {
        **CONSENT,
        "purchase_probability_30d": st.none() | st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.9, 1.0]),
        "value_tier": st.sampled_from(["high", "medium", "low"]),
        "preferred_channel": st.sampled_from([None, "email", "sms", "push", "post"]),
        "contact_ages": st.none() | st.lists(st.integers(1, 60), max_size=5).map(sorted),
    }
)
STRATEGY = st.fixed_dictionaries(
    {
        "who": st.sampled_from(["true", "value_tier = 'high'", "value_tier in ('low', 'medium')"]),
        "channels": st.lists(st.sampled_from(["email", "sms", "push"]), unique=True),
        "cost_per_contact": st.sampled_from([0.0, 0.1, 0.3, 1.0]),
        "expected_margin": st.sampled_from([5.0, 20.0, 20.0, 80.0]),
        "expected_lift": st.sampled_from([1.2, 2.0]),
        "budget": st.sampled_from([1.0, 1.7, 3.0, 1000.0]),
        "frequency_cap": st.builds(lambda c, d: {"contacts": c, "days": d}, st.integers(1, 3), st.integers(1, 40)),
        "holdout_share": st.sampled_from([0.0, 0.3, 0.5]),
    }
)


@given(st.lists(STRATEGY, min_size=1, max_size=5), st.lists(CUSTOMER, min_size=1, max_size=30))
@limits(max_examples=60, deadline=None)
def test_never_over_budget_or_cap_never_without_consent_and_as_going_through_the_pairs_one_by_one(told, customers):
    strategies = [planned(number=number, **each) for number, each in enumerate(told, 1)]
    found = choose(strategies, customers)
    assert [vars(one) for one in found] == [vars(one) for one in choose(strategies, customers)]
    by_id = {each.strategy.id: each.strategy for each in strategies}
    for strategy in by_id.values():
        contacted = [one for one in found if one.strategy_id == strategy.id and not one.in_holdout]
        assert len(contacted) * strategy.cost_per_contact <= strategy.budget + 1e-9
    for one, customer in zip(found, customers, strict=True):
        if one.strategy_id is None:
            assert one.contact_channel is one.offer is one.in_holdout is one.expected_margin is None
            continue
        strategy, cap = by_id[one.strategy_id], by_id[one.strategy_id].frequency_cap
        assert sum(age <= cap.days for age in customer["contact_ages"] or []) < cap.contacts
        assert (one.contact_channel is None) == (not strategy.channels)
        if one.contact_channel:
            assert one.contact_channel in strategy.channels
            assert customer[f"may_{one.contact_channel}"]
        assert one.expected_margin > 0
    assert [one.strategy_id for one in found] == one_by_one(strategies, customers, found)


def one_by_one(strategies, customers, found):
    """The greedy choice as the module describes it, in a loop."""
    pairs = []
    for number, customer in enumerate(customers):
        tie = hashlib.md5(f"2026-01-31c{number}".encode()).digest()
        for each in strategies:
            s, p = each.strategy, customer["purchase_probability_30d"]
            tiers = {"true": "high medium low", "value_tier = 'high'": "high"}.get(s.who, "low medium")
            recent = sum(age <= s.frequency_cap.days for age in customer["contact_ages"] or [])
            reachable = not s.channels or any(customer[f"may_{channel}"] for channel in s.channels)
            if p is None or customer["value_tier"] not in tiers or recent >= s.frequency_cap.contacts or not reachable:
                continue
            margin = gain(float(np.float32(p)), s.expected_lift) * s.margin_amount - s.cost_per_contact
            if margin > 0:
                tied = (int.from_bytes(tie[8:], "little"), f"c{number}")
                pairs.append((-margin, s.priority, tied, number, s))
    got, left = {}, {each.strategy.id: each.strategy.most_contacts for each in strategies}
    for *_, number, s in sorted(pairs, key=lambda pair: pair[:3]):
        if number in got or left[s.id] == 0:
            continue
        got[number] = s.id
        if left[s.id] is not None and not held(s, f"c{number}"):
            left[s.id] -= 1
    return [got.get(number) for number in range(len(customers))]


def held(strategy, customer_id, key=KEY):
    digest = hmac.new(key.encode(), f"{strategy.id}/{customer_id}".encode(), hashlib.sha256).hexdigest()
    return int(digest[:13], 16) < int(strategy.holdout_share * 16**13)


def test_the_choice_is_worth_nearly_what_the_best_possible_one_is():
    """Against the Hungarian method, where budgets run out: at least half is certain, 95% is what to expect."""
    rng, shares = np.random.default_rng(5), []
    for _ in range(25):
        customers, seats = 40, rng.integers(2, 12, size=4)
        lifts, margins = rng.uniform(1.2, 3, 4), rng.uniform(20, 90, 4)
        p = rng.uniform(0.02, 0.9, customers).astype("float32").astype(float)
        strategies = [
            planned(number=n + 1, expected_lift=lifts[n], expected_margin=margins[n], budget=float(seats[n]))
            for n in range(4)
        ]
        found = choose(strategies, [{"purchase_probability_30d": each} for each in p])
        worth = np.maximum(
            np.stack([gain(p, lift) * margin - 1 for lift, margin in zip(lifts, margins, strict=True)]), 0
        )
        slots = np.repeat(worth, seats, axis=0)
        best = slots[linear_sum_assignment(slots, maximize=True)].sum()
        shares.append(sum(one.expected_margin or 0 for one in found) / best)
    assert min(shares) >= 0.5
    assert np.mean(shares) >= 0.95


def test_the_control_group_stays_whatever_the_day_and_grows_with_its_share():
    customers = [{"purchase_probability_30d": 0.5}] * 3000
    shares = (0.1, 0.1, 0.3)
    days = ("2026-01-31", "2026-02-01", "2026-02-01")
    groups = [
        {one.customer_id for one in choose([planned(holdout_share=share)], customers, day=day) if one.in_holdout}
        for share, day in zip(shares, days, strict=True)
    ]
    assert groups[0] == groups[1] < groups[2]
    strategy = planned(holdout_share=0.1).strategy
    assert groups[0] == {f"c{n}" for n in range(3000) if held(strategy, f"c{n}")}  # HMAC as Python has it
    assert 0.08 < len(groups[0]) / 3000 < 0.12
    others = [
        {one.customer_id for one in choose([each], customers, key=key) if one.in_holdout}
        for each, key in ((planned(number=2, holdout_share=0.1), KEY), (planned(holdout_share=0.1), KEY[::-1]))
    ]
    for other in others:
        assert len(groups[0] & other) < 60  # of 300 each, 30 by chance


def test_the_held_out_take_nothing_of_the_budget():
    customers = [{"purchase_probability_30d": 0.5}] * 400
    found = choose([planned(holdout_share=0.5, budget=50.0)], customers)
    assert sum(one.in_holdout is False for one in found) == 50
    assert 25 < sum(one.in_holdout is True for one in found) < 85


def test_the_key_is_in_no_statement():
    text = strategy_choice.candidates([planned()], Known([], False, None), "2026-01-31")
    assert KEY not in text


def test_a_key_longer_than_a_block_is_hashed_as_hmac_has_it():
    key = "k" * 100
    [one] = choose([planned(holdout_share=0.5)], [{"purchase_probability_30d": 0.5}], key=key)
    assert one.in_holdout == held(planned(holdout_share=0.5).strategy, "c0", key)


def test_what_was_learnt_decides_and_the_draw_explores():
    both = [planned(number=1, expected_lift=9.0), planned(number=2, expected_lift=5.0)]
    assumed = gain(0.5, 5) * 100 - 1
    learnt = {0: {"mean": [50.0, 5.0, 5.0], "spread": [1.0, 1.0, 1.0], "draw": [0.0, 0.0, 40.0]}}
    found = choose(both, [{"purchase_probability_30d": 0.5}] * 3, uplift=learnt)
    assert [each.strategy_id for each in found] == ["s1", "s2", "s1"]
    # less what a contact costs by the file
    assert [each.expected_margin for each in found] == pytest.approx([49, assumed, 44])
    assert [(each.mean_0, each.spread_0) for each in found] == [(49, 1), (4, 1), (4, 1)]
    assert found[0].spread_1 == 0
    # without it the file's assumption stands
    assert {each.strategy_id for each in choose(both, [{"purchase_probability_30d": 0.5}] * 3)} == {"s1"}


def test_exploring_leaves_budgets_and_control_groups_as_they_are():
    rng = np.random.default_rng(4)
    one = [planned(number=1, holdout_share=0.3, budget=40.0)]
    customers = [{"purchase_probability_30d": 0.5}] * 200
    held = {
        place for place, each in enumerate(choose([planned(number=1, holdout_share=0.3)], customers)) if each.in_holdout
    }
    for _ in range(2):
        learnt = {0: {"mean": [3.0] * 200, "spread": [2.0] * 200, "draw": rng.normal(size=200).tolist()}}
        found = choose(one, customers, uplift=learnt)
        taken = {place for place, each in enumerate(found) if each.strategy_id}
        assert sum(not found[place].in_holdout for place in taken) == 40
        assert {place for place in taken if found[place].in_holdout} == held & taken
