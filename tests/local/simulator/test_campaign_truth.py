"""What contacts were to bring, beside what they brought, at 20,000 customers."""

import numpy as np
import pytest

from local.simulator import campaign_truth
from segmentation import warehouse
from tests.local.simulator.conftest import DIRTY, create, fetch, what_contacts_did
from tests.local.simulator.test_truth import close


@pytest.fixture(scope="module")
def contacts(big_shop):
    dsn, _ = big_shop
    return what_contacts_did(dsn)


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_what_came_is_what_was_to_be_expected_in_either_arm(contacts, arm):
    ours = contacts[contacts["arm"] == arm]
    for brought, expected in (("bought", "conversion"), ("spend", "revenue")):
        wanted = ours[expected] + (ours[f"{expected}_more"] if arm == "treatment" else 0)
        assert close(ours[brought].to_numpy(float), wanted.to_numpy())
        assert not close(ours[brought].to_numpy(float), 1.2 * wanted.to_numpy())


def test_it_is_that_of_the_types_but_for_cancelled_orders(big_shop, contacts):
    """`truth.campaign_effects` also counts contacts of customers who have been deleted, and cancelled orders."""
    dsn, _ = big_shop
    rows = fetch(
        dsn,
        "select campaign_id, sum(contacts * effect_on_purchase_probability) / sum(contacts), "
        "sum(contacts * effect_on_spend) / sum(contacts) from truth.campaign_effects group by 1",
    )
    mine = contacts.groupby("campaign_id")[["conversion_more", "revenue_more"]].mean()
    theirs = np.array([row[1:] for row in sorted(rows) if row[0] in mine.index])
    scale = np.abs(theirs).max(axis=0)
    assert np.all(np.abs(mine.to_numpy() - theirs) < [0.05 * scale[0], 0.02 * scale[1]])


def test_a_newsletter_changes_nothing(contacts):
    newsletter = contacts[contacts["strategy_id"] == "newsletter"]
    assert len(newsletter) > 100
    assert not newsletter[["conversion_more", "revenue_more"]].to_numpy().any()


def test_a_copy_of_a_campaign_has_the_effects_of_its_strategy(new_database):
    dsn = new_database()
    create(dsn, DIRTY, 60)
    with warehouse.connect(dsn) as connection:
        warehouse.run_script(
            connection,
            "insert into shop.campaigns select campaign_id || '-1', name, strategy_id, channel, starts_at, ends_at, "
            "cost_per_contact, fixed_cost, updated_at from shop.campaigns; "
            "insert into shop.campaign_contacts (campaign_id, customer_id, arm, contacted_at, updated_at) "
            "select campaign_id || '-1', customer_id, arm, contacted_at, updated_at from shop.campaign_contacts",
        )
    told = campaign_truth.of_contacts(dsn)
    is_copy = told["campaign_id"].str.endswith("-1")
    assert is_copy.sum() == (~is_copy).sum() > 0
    for name in ("conversion_more", "revenue_more"):
        assert told.loc[is_copy, name].tolist() == told.loc[~is_copy, name].tolist()
    assert told["revenue_more"].any()
