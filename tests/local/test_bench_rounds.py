"""The bench of weekly rounds: its shop lives by the simulator, and its truth is what contacts change."""

import copy

import numpy as np
import pytest

from local.bench import rounds
from local.simulator.latent_types import STRATEGIES, TYPE_NAMES
from local.simulator.settings import LAST_DAY, Settings


@pytest.fixture(scope="module")
def shop():
    """A shop of 3,000 customers after half a year."""
    made = rounds.Shop(Settings(seed=3, customers=3000, first_day=LAST_DAY, span_days=182), 30)
    for _ in range(26):
        made.live()
    return made


def test_a_contact_changes_what_the_truth_says_it_does(shop):
    truth, names = shop.truth(), [one.strategy_id for one in STRATEGIES]
    assert truth[:, names.index("newsletter")] == pytest.approx(np.full(len(truth), -0.02))
    bargain = shop.people.kind == TYPE_NAMES.index("bargain_hunter")
    is_alive = ~shop.people.is_prospect & (shop.memory.lost_at > shop.now) & shop.there()
    coupon = truth[:, names.index("coupon")]
    assert (coupon[bargain & is_alive] > -0.08).all()
    assert coupon[~is_alive] == pytest.approx(np.full((~is_alive).sum(), -0.08))
    # nobody is contacted, everybody is: the same customers, the same week, and more of its orders
    state, orders, week = copy.deepcopy(shop.memory), len(shop.orders), shop.week
    plain = shop.live().sum()
    shop.memory, shop.week, shop.orders = state, week, shop.orders[:orders]
    more = shop.live(np.full(len(shop.people), names.index("coupon"))).sum()
    assert more > plain


def test_features_are_of_what_had_been_ordered(shop):
    known = shop.features()
    assert len(known) == len(shop.people)
    assert np.isfinite(known.to_numpy()).all()
    spent = np.bincount(np.concatenate([each["customer"] for each in shop.orders]),
                        np.concatenate([each["amount"] for each in shop.orders]), len(known))  # fmt: skip
    assert known["spend_365"].sum() == pytest.approx(spent.sum())


def test_a_policy_earns_only_where_it_may_contact():
    truth = np.array([[1.0, 2.0], [3.0, -1.0], [5.0, 5.0]])
    open_to = np.array([[True, True], [True, True], [False, True]])
    assert rounds.earned(truth, open_to, np.array([1, -1, 0])) == pytest.approx(2 / 3)
    assert rounds.earned(truth, open_to, np.array([0, 1, 1])) == pytest.approx(5 / 3)
