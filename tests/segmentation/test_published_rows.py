"""What is published of a day is what one join of scores, strategies, recommendations and consents would give."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from segmentation import engine, history, lake, ordered_rows, published_rows, tables
from tests import frames

DAY = dt.date(2026, 1, 31)
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
CHANNELS = (None, "email", "sms", "push", "pigeon")
PLAIN = """
    select
        s.* replace (
            t.strategy_id as strategy_id, t.offer as offer, t.in_holdout as in_holdout, t.basis as strategy_basis,
            r.recommended_products as recommended_products,
            case t.contact_channel
                when 'email' then case when n.email_consent then 'email' end
                when 'sms' then case when n.sms_consent then 'sms' end
                when 'push' then case when n.push_consent then 'push' end
            end as contact_channel
        )
    from score.customer_daily as s
    left join score.strategy_daily as t on s.customer_id = t.customer_id
    left join score.recommendations_daily as r on s.customer_id = r.customer_id
    left join raw.customers_now as n on s.customer_id = n.customer_id
    order by s.customer_id
"""


def put(stores, table, rows, schema):
    data = frames.typed(rows, schema)
    lake.write(stores.lake, table, DAY, data.to_batches(max_chunksize=11), schema)


def score(name):
    return {
        "customer_id": name, "as_of_date": DAY, "segment_id": 1, "segment_name": "s", "lifecycle_stage": "active",
        "value_tier": "low", "model_versions": "{}", "scored_at": NOW, "reasons": [f"of {name}", 'a "b"'],
    }  # fmt: skip


def put_day(stores, seed, is_in_order):
    """Some customers with a strategy, some with a list, some with neither, some with both but no scores."""
    rng = np.random.default_rng(seed)
    names = [f"c{n:03d}" for n in range(200)]

    def some(share):
        chosen = [name for name in names if rng.random() < share]
        return chosen if is_in_order else rng.permutation(chosen).tolist()

    put(stores, tables.CUSTOMER_SCORES, [score(name) for name in some(0.8)], tables.SEGMENT_COLUMNS)
    strategies = [
        {"customer_id": name, "as_of_date": DAY, "strategy_id": f"s{rng.integers(3)}", "offer": "an offer",
         "contact_channel": CHANNELS[rng.integers(len(CHANNELS))], "in_holdout": bool(rng.random() < 0.2),
         "basis": "assumed"}
        for name in some(0.6)
    ]  # fmt: skip
    put(stores, tables.STRATEGIES, strategies, tables.STRATEGY_COLUMNS)
    lists = [{"customer_id": name, "as_of_date": DAY, "recommended_products": [name, "p"]} for name in some(0.5)]
    put(stores, tables.RECOMMENDATIONS, lists, tables.RECOMMENDATION_COLUMNS)
    consents = [f"{channel}_consent" for channel in ("email", "sms", "push")]
    customers = [{"customer_id": name} | {each: bool(rng.random() < 0.5) for each in consents} for name in some(0.9)]
    frames.accept(stores, DAY, customers=customers)


def inputs(stores):
    names = (tables.CUSTOMER_SCORES, tables.STRATEGIES, tables.RECOMMENDATIONS)
    found = {name: lake.path(stores.lake, name, DAY) for name in names}
    return found | {tables.CUSTOMERS_NOW: history.latest(stores, tables.CUSTOMERS.name)}


@pytest.mark.parametrize("is_in_order", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_files_read_side_by_side_give_what_a_join_gives(stores, monkeypatch, is_in_order, rows):
    monkeypatch.setattr(ordered_rows, "BATCH_ROWS", rows)
    put_day(stores, rows, is_in_order)
    found = pa.Table.from_batches(published_rows.of_day(DAY, stores))
    wanted = engine.table_of(engine.query(PLAIN, inputs(stores)))
    assert found.schema == tables.SEGMENT_COLUMNS
    assert found.to_pylist() == wanted.select(found.column_names).to_pylist()
    channels = set(found["contact_channel"].to_pylist())
    assert channels == {None, "email", "sms", "push"}
    assert found["recommended_products"].null_count
    assert found["strategy_id"].null_count


def test_what_lies_in_order_is_not_sorted(stores, monkeypatch):
    put_day(stores, 1, is_in_order=True)
    asked = []
    query = engine.query

    def noted(statement, *others):
        asked.append(statement)
        return query(statement, *others)

    monkeypatch.setattr(engine, "query", noted)
    list(published_rows.of_day(DAY, stores))
    assert not [each for each in asked if "order by" in each]
    put_day(stores, 1, is_in_order=False)
    list(published_rows.of_day(DAY, stores))
    assert len([each for each in asked if "order by" in each]) == 3


@pytest.mark.parametrize("rows", [2, 1000])
@pytest.mark.parametrize(
    ("table", "schema"),
    [(tables.STRATEGIES, tables.STRATEGY_COLUMNS), (tables.RECOMMENDATIONS, tables.RECOMMENDATION_COLUMNS)],
)
def test_a_customer_with_two_rows_beside_the_scores_is_refused(stores, monkeypatch, table, schema, rows):
    monkeypatch.setattr(ordered_rows, "BATCH_ROWS", rows)
    put_day(stores, 1, is_in_order=True)
    names = [score["customer_id"] for score in lake.read(stores.lake, tables.CUSTOMER_SCORES, DAY).to_pylist()]
    put(stores, table, [{"customer_id": name, "as_of_date": DAY} for name in (*names, names[3])], schema)
    with pytest.raises(
        ordered_rows.DoubledCustomerError, match=f"{table} of {DAY} has two rows of customer {names[3]}"
    ):
        list(published_rows.of_day(DAY, stores))


def test_the_order_is_seen_across_batches(stores, monkeypatch):
    monkeypatch.setattr(lake, "ROWS_PER_GROUP", 2)
    path = lake.path(stores.lake, tables.CUSTOMER_SCORES, DAY)
    for names, is_so in ((["a", "b", "b", "c"], True), (["a", "c", "b", "d"], False), ([], True), (["b"], True)):
        put(stores, tables.CUSTOMER_SCORES, [score(name) for name in names], tables.SEGMENT_COLUMNS)
        assert ordered_rows.is_by_customer(path) is is_so
