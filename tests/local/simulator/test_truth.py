"""What the shop shows is what its truth says: within the error that chance allows, at 20,000 customers."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from local.simulator import expected
from local.simulator.latent_types import STRATEGIES, TYPES
from segmentation import warehouse
from tests.local.simulator.conftest import DIRTY, create, everything, fetch

STANDARD_ERRORS = 4  # chance alone goes beyond once in 16,000


@pytest.fixture(scope="module")
def then(big_shop):
    """The truth of a day 90 days before the end, and what each of these customers did since: orders, and spend."""
    dsn, settings = big_shop
    day = settings.first_day + timedelta(days=168 - 90)
    truth = expected.customers_on(dsn, day)
    did = fetch(
        dsn,
        "select c.customer_id, count(o.*)::int, "
        "coalesce(sum(o.total_amount) filter (where o.status != 'cancelled'), 0)::float8 "
        "from shop.customers as c left join shop.orders as o "
        f"on o.customer_id = c.customer_id and o.ordered_at >= timestamptz '{day} 00:00+00' "
        f"where c.signed_up_at < timestamptz '{day} 00:00+00' group by 1 order by 1",
    )
    ids, orders, spend = zip(*did, strict=True)
    assert truth["customer_id"].to_pylist() == list(ids)
    return {name: truth[name].to_numpy(zero_copy_only=False) for name in truth.column_names} | {
        "orders": np.array(orders),
        "spend": np.array(spend),
    }


@pytest.fixture(scope="module")
def untouched(big_shop, then):
    """Those of them whom no campaign has treated since."""
    dsn, settings = big_shop
    day = settings.first_day + timedelta(days=168 - 90)
    treated = fetch(
        dsn,
        "select distinct customer_id from shop.campaign_contacts join shop.campaigns using (campaign_id) "
        f"where arm != 'control' and ends_at >= timestamptz '{day} 00:00+00'",
    )
    chosen = ~np.isin(then["customer_id"], [key for (key,) in treated])
    return {name: values[chosen] for name, values in then.items()}


def close(seen, wanted):
    """Whether the mean of what was seen is that of what was wanted, customer by customer."""
    difference = seen - wanted
    return abs(difference.mean()) <= STANDARD_ERRORS * difference.std() / np.sqrt(len(difference))


@pytest.mark.parametrize("of", ["", *(kind.name for kind in TYPES)])
@pytest.mark.parametrize("prefix", ["expected", "foreseeable"])
def test_orders_and_spend_are_as_expected(untouched, of, prefix):
    chosen = untouched["latent_type"] == of if of else slice(None)
    assert close(untouched["orders"][chosen], untouched[f"{prefix}_orders"][chosen])
    assert close(untouched["spend"][chosen], untouched[f"{prefix}_spend"][chosen])
    name = "purchase_probability" if prefix == "expected" else "foreseeable_purchase_probability"
    assert close((untouched["orders"] > 0)[chosen], untouched[name][chosen])


def test_probabilities_are_calibrated_in_every_tenth(untouched):
    for name, outcome in (("alive_probability", "is_alive"), ("foreseeable_purchase_probability", "orders")):
        for tenth in np.array_split(np.argsort(untouched[name], kind="stable"), 10):
            assert close((untouched[outcome] > 0)[tenth], untouched[name][tenth]), name


def test_the_lost_never_order_again(then):
    assert then["orders"][~then["is_alive"]].sum() == 0
    assert (then["alive_probability"][then["is_alive"]] > 0).all()
    assert 0.3 < then["is_alive"].mean() < 0.9


def test_order_values_and_cancellations_have_the_customers_own_mean(big_shop):
    rows = fetch(
        big_shop[0],
        "select total_amount::float8, order_value_mean, (status = 'cancelled')::int, cancelled_share "
        "from shop.orders join truth.customers using (customer_id) "
        "where ordered_at < timestamptz '2026-06-20 00:00+00'",
    )
    amount, mean, cancelled, share = np.array(rows).T

    assert close(amount / mean, np.ones(len(rows)))
    assert close(cancelled, share)


@pytest.mark.parametrize("where", ["event_type = 'product_view' and right(session_id, 3) < '800'", "true"])
def test_tastes_show_in_what_is_looked_at_and_bought(big_shop, where):
    looked = where != "true"
    source = "shop.events" if looked else "shop.order_items join shop.orders using (order_id)"
    rows = fetch(
        big_shop[0],
        f"select taste[1], count(*) filter (where category = 'clothing'), count(*) from {source} "
        "join shop.products using (product_id) join truth.customers using (customer_id) "
        f"where {where} group by customer_no, taste having count(*) >= 10",
    )
    taste, clothes, count = np.array(rows, float).T

    assert np.corrcoef(clothes / count, taste)[0, 1] > 0.8
    if looked:  # what is bought depends on prices too
        assert close(clothes / count, taste)


def test_returns_and_complaints_are_the_customers_own(big_shop):
    rows = fetch(
        big_shop[0],
        "select returned_share, (returned_quantity > 0)::int from shop.order_items join shop.orders using (order_id) "
        "join truth.customers using (customer_id) "
        "where status = 'delivered' and ordered_at < timestamptz '2026-06-01 00:00+00'",
    )
    share, returned = np.array(rows).T

    assert close(returned, share)


def test_fast_products_move_faster(big_shop):
    sold = dict(
        fetch(
            big_shop[0],
            "select movement, coalesce(sum(quantity), 0)::float8 / count(distinct product_id) "
            "from truth.products left join shop.order_items using (product_id) group by 1",
        )
    )
    assert sold["fast"] > sold["steady"] > sold["slow"] > sold["dead"]


def test_demographics_tell_the_type_only_in_part(big_shop):
    rows = fetch(
        big_shop[0],
        "select latent_type, acquisition_channel, count(*)::int from shop.customers "
        "join truth.customers using (customer_id) group by 1, 2",
    )
    kinds, sources = sorted({row[0] for row in rows}), sorted({row[1] or "" for row in rows})
    counts = np.zeros((len(kinds), len(sources)))
    for kind, source, count in rows:
        counts[kinds.index(kind), sources.index(source or "")] = count
    expected_counts = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    cramers_v = np.sqrt(((counts - expected_counts) ** 2 / expected_counts).sum() / counts.sum() / 5)

    assert 0.1 < cramers_v < 0.4


def test_arms_are_drawn_by_a_coin_that_knows_nothing(big_shop):
    dsn, settings = big_shop
    rows = fetch(
        dsn,
        "select (arm = 'control')::int, latent_type, orders_a_day, extract(epoch from t.signed_up_at)::float8 "
        "from shop.campaign_contacts join truth.customers as t using (customer_id)",
    )
    is_control = np.array([row[0] for row in rows], bool)

    assert close(is_control.astype(float), np.full(len(rows), settings.control_share))
    for values in (
        *(np.array([row[1] == kind.name for row in rows], float) for kind in TYPES),
        np.array([row[2] for row in rows]),
        np.array([row[3] for row in rows]),
    ):
        held, treated = values[is_control], values[~is_control]
        error = np.sqrt(held.var() / len(held) + treated.var() / len(treated))
        assert abs(held.mean() - treated.mean()) <= STANDARD_ERRORS * error


LIFT = """
with outcomes as (
    select
        c.campaign_id,
        t.latent_type,
        c.arm,
        count(o.order_id)::float8 as orders,
        (count(o.order_id) > 0)::int as is_buyer
    from shop.campaign_contacts as c
    inner join shop.campaigns as g on c.campaign_id = g.campaign_id
    inner join truth.customers as t on c.customer_id = t.customer_id
    left join shop.orders as o
        on c.customer_id = o.customer_id and o.ordered_at >= c.contacted_at and o.ordered_at < g.ends_at
    where g.ends_at <= timestamptz '2026-06-27 00:00+00'
    group by c.campaign_id, c.customer_id, t.latent_type, c.arm
)

select
    e.strategy_id,
    e.latent_type,
    e.effect_on_{what},
    e.contacts,
    avg({value}) filter (where r.arm = 'treatment') - avg({value}) filter (where r.arm = 'control'),
    var_samp({value}) filter (where r.arm = 'treatment') / count(*) filter (where r.arm = 'treatment')
    + var_samp({value}) filter (where r.arm = 'control') / count(*) filter (where r.arm = 'control')
from outcomes as r
inner join truth.campaign_effects as e on r.campaign_id = e.campaign_id and r.latent_type = e.latent_type
where e.is_complete
group by 1, 2, 3, 4, r.campaign_id
having count(*) filter (where r.arm = 'control') > 30 and var_samp({value}) > 0
"""


@pytest.mark.parametrize(("what", "value"), [("purchase_probability", "is_buyer"), ("orders", "orders")])
def test_the_lift_of_campaigns_is_the_truth(big_shop, what, value):
    rows = fetch(big_shop[0], LIFT.format(what=what, value=value))
    truth, lift, variance = (np.array([row[place] for row in rows], float) for place in (2, 4, 5))
    away = (lift - truth) / np.sqrt(variance)

    assert len(rows) > 35
    assert abs(away.mean()) < STANDARD_ERRORS / np.sqrt(len(rows))
    assert (np.abs(away) < 1.96).mean() > 0.85
    for strategy in STRATEGIES:
        for kind, multiplier in zip(TYPES, strategy.multipliers, strict=True):
            chosen = [row for row in rows if row[:2] == (strategy.strategy_id, kind.name)]
            assert all(np.sign(row[2]) == np.sign(multiplier - 1) for row in chosen)


def test_effects_have_both_signs_and_none(big_shop):
    signs = fetch(big_shop[0], "select distinct sign(effect_on_orders)::int from truth.campaign_effects")

    assert {sign for (sign,) in signs} == {-1, 0, 1}


def test_uplift_is_the_difference_of_two_expectations(big_shop):
    dsn, settings = big_shop
    day = settings.first_day + timedelta(days=100)
    plain = expected.customers_on(dsn, day, 18)
    treated = expected.customers_on(dsn, day, 18, "flash_sale")
    uplift = pc.subtract(treated["expected_orders"], plain["expected_orders"]).to_numpy()
    kinds = plain["latent_type"].to_numpy(zero_copy_only=False)

    assert uplift[kinds == "bargain_hunter"].max() > 0
    assert uplift[kinds == "loyalist"].min() < 0
    assert not uplift[kinds == "gifter"].any()
    with pytest.raises(ValueError, match=r"no strategy 'none' .* coupon, care"):
        expected.customers_on(dsn, day, 18, "none")


def test_playing_gives_what_is_expected(big_shop):
    dsn, settings = big_shop
    day = settings.first_day + timedelta(days=100)
    truth = expected.customers_on(dsn, day, 30, "coupon")
    settled = truth["foreseeable_purchase_probability"].to_numpy() < 1
    played = expected.play(dsn, day, np.zeros(truth.num_rows, int), 30, seed=1)

    assert close(played["spend"].to_numpy()[settled], truth["expected_spend"].to_numpy()[settled])
    assert played.equals(expected.play(dsn, day, np.zeros(truth.num_rows, int), 30, seed=1))
    assert not played.equals(expected.play(dsn, day, np.zeros(truth.num_rows, int), 30, seed=2))


def test_the_truth_is_of_the_shops_days_only(big_shop, warehouse_dsn):
    dsn, settings = big_shop
    assert expected.customers_on(dsn, settings.first_day + timedelta(days=168)).num_rows > 19_000
    for days in (-1, 169):
        with pytest.raises(ValueError, match="goes from 2026-01-14 to 2026-06-30"):
            expected.customers_on(dsn, settings.first_day + timedelta(days=days))
    with pytest.raises(ValueError, match="no simulated shop"):
        expected.customers_on(warehouse_dsn, settings.first_day)


def test_no_other_role_can_read_the_truth(big_shop, postgres_server):
    dsn, _ = big_shop
    with warehouse.connect(dsn) as connection:
        warehouse.run_script(
            connection,
            "create role simulated_pipeline login password 'p'; grant usage on schema shop to simulated_pipeline; "
            "grant select on all tables in schema shop to simulated_pipeline; "
            "grant create on database " + warehouse.identifier(dsn.rsplit("/", 1)[1]) + " to simulated_pipeline",
        )
    name = dsn.rsplit("/", 1)[1]
    try:
        with warehouse.connect(postgres_server.url(name, "simulated_pipeline", "p")) as connection:
            assert warehouse.fetch(connection, "select count(*) > 0 from shop.orders") == [(True,)]
        for table in ("settings", "customers", "products", "campaign_effects"):
            with (
                pytest.raises(Exception, match="permission denied for schema truth"),
                warehouse.connect(postgres_server.url(name, "simulated_pipeline", "p")) as connection,
            ):
                warehouse.fetch(connection, f"select * from truth.{table}")
    finally:
        with warehouse.connect(dsn) as connection:
            warehouse.run_script(connection, "drop owned by simulated_pipeline; drop role simulated_pipeline")


def test_another_seed_is_another_shop_of_the_same_kind():
    one, other = (everything(dataclasses.replace(DIRTY, seed=seed), 60) for seed in (1, 2))

    assert one["shop.orders"] != other["shop.orders"]
    assert one["shop.orders"].equals(everything(dataclasses.replace(DIRTY, seed=1), 60)["shop.orders"])
    assert abs(one["shop.orders"].num_rows / other["shop.orders"].num_rows - 1) < 0.3


def test_without_campaigns_there_are_no_contacts(new_database):
    dsn = new_database()
    counts = create(dsn, dataclasses.replace(DIRTY, campaigns_per_block=0, sessions=0), 40)

    assert counts["shop.campaign_contacts"] == counts["truth.campaign_effects"] == counts["shop.events"] == 0
    assert expected.customers_on(dsn, datetime(2025, 10, 1, tzinfo=UTC).date()).num_rows > 0
