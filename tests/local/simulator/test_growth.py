"""A shop that grows day by day is, row for row, the shop that was made in one go."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from local.simulator import practice_shop
from local.simulator.writing import KEYS
from segmentation import warehouse
from tests.local.simulator.conftest import DIRTY, create, fetch, silent

DAYS = 75


def contents(dsn):
    return {name: sorted(row for (row,) in fetch(dsn, f"select t::text from {name} as t")) for name in KEYS}


@pytest.fixture(scope="module")
def at_once(new_database):
    dsn = new_database()
    create(dsn, DIRTY, DAYS)
    return contents(dsn)


@pytest.fixture(scope="module")
def states(new_database):
    """The shop's rows by key on each of its last days, and its DSN."""
    dsn = new_database()
    create(dsn, DIRTY, DAYS - 9)
    states = [contents(dsn)]
    for _ in range(9):
        practice_shop.grow(dsn, 1, silent)
        states.append(contents(dsn))
    return states


@pytest.mark.parametrize("name", KEYS)
def test_day_by_day_equals_in_one_go(states, at_once, name):
    if name != "truth.campaign_effects":  # sums of floats
        assert states[-1][name] == at_once[name]


def test_in_long_steps_it_is_the_same(new_database, at_once):
    dsn = new_database()
    create(dsn, DIRTY, 3)
    for days in (1, 40, 31):
        practice_shop.grow(dsn, days, silent)

    grown = contents(dsn)

    assert {name: rows for name, rows in grown.items() if "effects" not in name} == {
        name: rows for name, rows in at_once.items() if "effects" not in name
    }
    assert [row.split(",")[:3] for row in grown["truth.campaign_effects"]] == [
        row.split(",")[:3] for row in at_once["truth.campaign_effects"]
    ]


@pytest.mark.parametrize("size", [1, 90, 799, 10_000])
def test_the_size_of_the_chunks_changes_no_row(new_database, at_once, size):
    days = DAYS if size > 1 else 3
    dsn = new_database()
    settings = dataclasses.replace(DIRTY, chunk_customers=size, customers=800 if size > 1 else 200)
    create(dsn, settings, days)
    if size == 1:
        other = new_database()
        create(other, dataclasses.replace(settings, chunk_customers=500), days)
        at_once = contents(other)

    assert {name: rows for name, rows in contents(dsn).items() if "effects" not in name} == {
        name: rows for name, rows in at_once.items() if "effects" not in name
    }


def test_rows_that_are_untouched_keep_their_updated_at_and_the_others_are_of_the_day(new_database):
    dsn = new_database()
    create(dsn, DIRTY, 60)
    seen = {"new": 0, "late": 0, "changed": 0, "vanished": 0}
    for day in range(61, 67):
        old = rows_of(dsn)
        practice_shop.grow(dsn, 1, silent)
        new = rows_of(dsn)
        end = datetime.combine(DIRTY.first_day, datetime.min.time(), UTC) + timedelta(days=day)
        for key, (happened, updated, content) in new.items():
            if key in old and old[key][2] == content:
                assert updated == old[key][1]
                continue
            assert end - timedelta(days=1) <= updated < end
            seen["changed" if key in old else "late" if happened < end - timedelta(days=1) else "new"] += 1
        seen["vanished"] += len(old.keys() - new.keys())

    assert min(seen.values()) > 0


def rows_of(dsn):
    """Orders by id: when they happened, when they were updated, and all else."""
    rows = fetch(dsn, "select order_id, ordered_at, updated_at, status, total_amount from shop.orders")
    return {key: (happened, updated, rest) for key, happened, updated, *rest in rows}


def test_a_failure_leaves_the_shop_as_it_was(new_database):
    dsn = new_database()
    create(dsn, DIRTY, 20)
    before = contents(dsn)
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, "alter table truth.campaign_effects add check (contacts < 0) not valid")

    with pytest.raises(Exception, match="violates check constraint"):
        practice_shop.grow(dsn, 30, silent)

    assert contents(dsn) == before
    assert practice_shop_of(dsn).last_day == DIRTY.first_day + timedelta(days=19)


def practice_shop_of(dsn):
    with warehouse.connect(dsn) as connection:
        return practice_shop.find(connection)


def test_only_a_simulated_shop_grows(new_database):
    dsn = new_database()
    with pytest.raises(ValueError, match="no simulated shop"):
        practice_shop.grow(dsn, 1, silent)
    create(dsn, DIRTY, 3)
    with pytest.raises(ValueError, match="1 to 20,000 days, not by 0"):
        practice_shop.grow(dsn, 0, silent)
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, "update truth.settings set parameters = parameters || '{\"version\": 0}'")
    with pytest.raises(ValueError, match="another version"):
        practice_shop.grow(dsn, 1, silent)
