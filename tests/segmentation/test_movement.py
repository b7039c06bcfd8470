"""A run replaces its day, readers see the latest, and no product is cleared or restocked whose stock nobody knows."""

import datetime as dt
import logging

import pytest

from segmentation import history, movement, settings, snapshots, warehouse
from tests import frames
from tests.frames import DAY
from tests.segmentation.test_roles import MAKE_ROLE

LATER = DAY + dt.timedelta(days=7)
FIRST = DAY - dt.timedelta(days=150)


def shop(extra=0):
    """p0 sells every day, p1 once a week, p2 only long ago; of unknown stock, but for p2, of which there are 5."""
    days = [DAY - dt.timedelta(days=n) for n in range(1, 151)]
    sold = [("p0", day) for day in days] + [("p1", day) for day in days[::7]] + [("p2", FIRST)] + [("p0", DAY)] * extra
    return {
        "customers": [{"customer_id": "a"}],
        "products": [{"product_id": "p0"}, {"product_id": "p1"}, {"product_id": "p2", "stock_on_hand": 5}],
        "orders": [{"order_id": f"o{n}", "customer_id": "a", "ordered_at": day} for n, (_, day) in enumerate(sold)],
        "order_items": [{"order_id": f"o{n}", "product_id": product} for n, (product, _) in enumerate(sold)],
    }


def fetch(stores, query="select product_id, movement, action from marketing.product_movement order by 1"):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(connection, query)


def days(stores):
    query = "select as_of_date, count(*) from marketing_internal.product_movement_rows group by 1 order by 1"
    return fetch(stores, query)


CLASSES = [("p0", "fast", "hold"), ("p1", "steady", "hold"), ("p2", "dead", "clear")]


def test_products_are_classified(stores):
    frames.write_raw(stores, **shop())
    assert movement.classify_products(DAY, stores) == {"clear": 1, "hold": 2}
    assert fetch(stores) == CLASSES
    rates = fetch(stores, "select round(units_per_week) from marketing.product_movement order by product_id")
    assert rates == [(7,), (1,), (0,)]


def test_a_second_run_replaces_its_day_with_the_same_rows(stores):
    frames.write_raw(stores, **shop())
    movement.classify_products(DAY, stores)
    before = fetch(stores, "select * from marketing_internal.product_movement_rows order by product_id")
    movement.classify_products(DAY, stores)
    assert fetch(stores, "select * from marketing_internal.product_movement_rows order by product_id") == before


def test_nothing_from_the_day_on_is_seen(stores):
    frames.write_raw(stores, **shop(extra=50))
    movement.classify_products(DAY, stores)
    assert fetch(stores, "select units_per_week from marketing.product_movement where product_id = 'p0'") == [(7,)]


def test_a_back_fill_leaves_readers_the_latest_day(stores):
    frames.write_raw(stores, LATER, **shop())
    frames.write_raw(stores, DAY)
    movement.classify_products(LATER, stores)
    current = fetch(stores, "select * from marketing.product_movement order by product_id")
    movement.classify_products(DAY, stores)
    assert fetch(stores, "select * from marketing.product_movement order by product_id") == current
    assert days(stores) == [(DAY, 3), (LATER, 3)]


def test_readers_see_the_day_before_until_the_new_one_is_whole(stores, monkeypatch):
    frames.write_raw(stores, **shop())
    movement.classify_products(DAY, stores)
    seen = []
    execute = warehouse.execute

    def watched(connection, *statement):
        seen.append(len(fetch(stores)))
        return execute(connection, *statement)

    monkeypatch.setattr(movement.warehouse, "execute", watched)
    movement.classify_products(DAY, stores)
    assert set(seen) == {3}


def test_a_run_that_fails_half_way_changes_nothing(stores, monkeypatch):
    frames.write_raw(stores, **shop())
    movement.classify_products(DAY, stores)
    monkeypatch.setattr(movement.warehouse, "copy_in", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        movement.classify_products(DAY, stores)
    assert fetch(stores) == CLASSES


def test_old_classifications_go_but_not_the_one_just_made(stores, monkeypatch):
    config = settings.Settings(movement=settings.Movement(keep_days=3))
    monkeypatch.setattr(settings, "load", lambda: config)
    frames.write_raw(stores, LATER, **shop())
    frames.write_raw(stores, DAY)
    for day in (DAY, LATER):
        movement.classify_products(day, stores)
    assert days(stores) == [(LATER, 3)]
    movement.classify_products(DAY, stores)
    assert days(stores) == [(DAY, 3), (LATER, 3)]


@pytest.mark.parametrize("missing", ["products", "order_items"])
def test_without_products_or_items_nothing_is_classified_and_the_log_says_so(stores, missing, caplog):
    frames.write_raw(stores, **{**shop(), missing: []})
    with caplog.at_level(logging.WARNING):
        assert movement.classify_products(DAY, stores) == {}
    assert "no products are classified on 2026-01-31" in caplog.text


def test_a_day_that_has_not_passed_the_gate_is_refused(stores):
    with pytest.raises(history.NotAcceptedError, match="2026-01-31"):
        movement.classify_products(DAY, stores)


@pytest.mark.parametrize("role", snapshots.READERS)
def test_both_roles_read_it_and_not_what_is_behind(stores, postgres_server, role):
    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(connection, MAKE_ROLE.format(role=role, options="nologin"))
        login = MAKE_ROLE.format(role=f"{role}_login", options=f"login password 'secret' in role {role}")
        warehouse.run_script(connection, login)
    frames.write_raw(stores, **shop())
    movement.classify_products(DAY, stores)
    dsn = postgres_server.url(stores.marketing.rsplit("/", 1)[-1].split("?")[0], f"{role}_login", "secret")
    with warehouse.connect(dsn) as connection:
        assert len(warehouse.fetch(connection, "select * from marketing.product_movement")) == 3
    with warehouse.connect(dsn) as connection, pytest.raises(Exception, match="permission denied"):
        warehouse.fetch(connection, "select * from marketing_internal.product_movement_rows")


@pytest.mark.parametrize(
    "wrong", [{"fast_share": 0.6, "slow_share": 0.5}, {"restock_days": 200}, {"weeks": 4, "least_weeks": 5}]
)
def test_settings_that_cannot_be_right_are_refused(wrong):
    with pytest.raises(ValueError, match=r"share|rise|least_weeks"):
        settings.Movement(**wrong)
