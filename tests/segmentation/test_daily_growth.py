"""A shop that is read day by day for 60 days, with late rows, updates and deletions, is known as if read in one go."""

import dataclasses
import datetime as dt

import pyarrow as pa
import pytest

from local.simulator import practice_shop
from segmentation import aggregates, compaction, engine, extract, features, history, lake, tables, validate, warehouse
from tests.local.simulator.conftest import DIRTY, silent

FIRST, DAYS = 45, 60
SHOP = dataclasses.replace(DIRTY, customers=500, span_days=FIRST + DAYS, contact_share=0.6)
LAST = SHOP.first_day + dt.timedelta(days=FIRST + DAYS)


def read(stores, day):
    for name in tables.ENTITIES:
        extract.extract_entity(name, day, stores)
    return validate.accept_raw(day, stores)


def contents(stores, name, day):
    """Every row of an entity as known for a day, as text, in order."""
    known = history.known(stores, name, day)
    columns = ", ".join(known.schema.names)
    found = engine.query(f"select ({columns})::varchar as row from raw.it order by 1", {"raw.it": known})
    return pa.Table.from_batches(found)["row"].to_pylist()


def everything(stores, day):
    return {name: contents(stores, name, day) for name in tables.ENTITIES}


@pytest.fixture(scope="module")
def daily(module_stores):
    """The stores after 60 days; what some of the days knew when they were run; and what the gate said each day."""
    with warehouse.connect(module_stores.warehouse) as connection:
        practice_shop.create(connection, SHOP, FIRST, silent)
    seen, told = {}, []
    for number in range(DAYS + 1):
        day = SHOP.first_day + dt.timedelta(days=FIRST + number)
        told.append(read(module_stores, day)["tables"])
        compaction.compact_history(module_stores)
        if number % 12 == 0:
            seen[day] = everything(module_stores, day)
        if number < DAYS:
            practice_shop.grow(module_stores.warehouse, 1, silent)
    return module_stores, seen, told


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", tables.ENTITIES)
def test_sixty_increments_equal_one_full_extract(daily, name, once):
    stores, _, _ = daily
    rows = contents(stores, name, LAST)
    assert rows
    assert rows == contents(once, name, LAST)


@pytest.mark.timeout(900)
def test_sixty_increments_give_the_features_of_one_full_extract(daily, once):
    """Through sixty differences in the aggregates, or none."""
    told = []
    for stores in (daily[0], once):
        aggregates.build_aggregates(LAST, stores)
        features.build_features(LAST, stores)
        told.append(lake.read(stores.lake, tables.CUSTOMER_FEATURES, LAST))
    assert told[0].num_rows > 300
    for column in told[0].column_names:
        assert told[0][column].equals(told[1][column]), column


@pytest.fixture(scope="module")
def once(daily, new_warehouse, tmp_path_factory):
    """The same shop, read in one go at the end."""
    stores, _, _ = daily
    with new_warehouse() as marketing:
        fresh = dataclasses.replace(stores, marketing=marketing, lake=str(tmp_path_factory.mktemp("lake")))
        read(fresh, LAST)
        yield fresh


def test_a_day_that_is_looked_at_again_knows_what_it_knew(daily):
    stores, seen, _ = daily
    assert len(seen) == 6
    for day, rows in seen.items():
        assert everything(stores, day) == rows


def test_the_days_brought_late_rows_updates_and_deletions(daily):
    """Else the tests above would show little."""
    stores, _, told = daily
    statement = """
        select
            count(*) filter (where not is_deleted and versions > 1) as updates,
            count(*) filter (where is_deleted) as deletions,
            count(*) filter (where first_batch > 1 and arrived - ordered_at > interval 25 hour) as late
        from (
            select *, count(*) over versions as versions, min(_batch) over versions as first_batch,
                min(updated_at) over versions as arrived
            from read.files window versions as (partition by order_id)
        )
    """
    files = [f"{stores.lake}/{file.path}" for file in history.files_of(stores, "orders")]
    rows = pa.concat_tables([pa.Table.from_batches(lake.batches_of(file, 10_000)) for file in files])
    [found] = engine.table_of(engine.query(statement, {"read.files": rows})).to_pylist()
    assert min(found.values()) > 5, found
    assert sum(day["raw.orders"]["rows"] for day in told[1:]) > 500


def test_sound_data_are_not_quarantined_and_the_files_stay_few(daily):
    stores, _, told = daily
    assert {table: sum(day[table]["quarantined"] for day in told) for table in told[0]} == dict.fromkeys(told[0], 0)
    assert len(history.files_of(stores, "orders")) < 24
