"""Lists that hold in any shop: in stock, not just bought, few of a category, the same again, nothing of the future."""

import datetime as dt
import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from segmentation import history, lake, publish, published_rows, recommend, settings, tables
from tests import frames
from tests.frames import DAY
from tests.segmentation.test_publish import published, put_scores

CATEGORIES = 5


def shop(customers=200, products=40, seed=1, days=200):
    """Customers who each like a category, and buy in it, again and again or not, and elsewhere at times."""
    rng = np.random.default_rng(seed)
    goods = [
        {"product_id": f"p{n:02d}", "category": f"c{n % CATEGORIES}", "stock_on_hand": [None, 0, 3][n % 3]}
        for n in range(products)
    ]
    goods.append({"product_id": "post", "category": "service"})
    orders, items = [], []
    for number in range(customers * 12):
        customer = number % customers
        age = int(rng.integers(1, days))
        orders.append(
            {"order_id": f"o{number}", "customer_id": f"k{customer:03d}", "ordered_at": DAY - dt.timedelta(days=age)}
        )
        for line in range(3):
            liked = customer % CATEGORIES + CATEGORIES * int(rng.integers(0, 3))
            chosen = liked if rng.random() < 0.8 else int(rng.integers(0, products))
            items.append({"order_id": f"o{number}", "line_no": line, "product_id": f"p{chosen:02d}"})
        items.append({"order_id": f"o{number}", "line_no": 3, "product_id": "post"})
    people = [{"customer_id": f"k{n:03d}"} for n in range(customers + 3)]  # the last three have bought nothing
    return {"customers": people, "products": goods, "orders": orders, "order_items": items}


def write(stores, rows, day=DAY):
    frames.write_raw(stores, day, **rows)
    ids = pa.table({"customer_id": sorted(each["customer_id"] for each in rows["customers"])})
    lake.write(stores.lake, tables.CUSTOMER_FEATURES, day, ids.to_batches(), ids.schema)


def lists(stores, day=DAY):
    rows = lake.read(stores.lake, tables.RECOMMENDATIONS, day)
    return dict(zip(rows["customer_id"].to_pylist(), rows["recommended_products"].to_pylist(), strict=True))


def settle(monkeypatch, **changes):
    config = settings.Settings(recommend=settings.Recommend(**changes))
    monkeypatch.setattr(settings, "load", lambda: config)


@pytest.fixture(scope="module")
def made(module_stores):
    rows = shop()
    write(module_stores, rows)
    told = recommend.recommend_products(DAY, module_stores)
    return rows, told, lists(module_stores), module_stores


def test_everyone_gets_a_list_who_bought_nothing_included(made):
    rows, told, found, _ = made
    assert told["rows"] == len(found) == len(rows["customers"])
    assert list(found) == sorted(found)
    assert all(0 < len(each) <= 10 and len(each) == len(set(each)) for each in found.values())


def test_the_weights_are_the_shops_own(made):
    _, told, _, _ = made
    assert told["weights"].keys() == set(recommend.rank_weights.SIGNS)
    assert told["weights"] != recommend.rank_weights.USUAL


def test_only_goods_in_stock_or_of_unknown_stock(made):
    rows, _, found, _ = made
    offered = {p["product_id"] for p in rows["products"] if p.get("stock_on_hand") != 0 and p["category"] != "service"}
    assert {product for each in found.values() for product in each} <= offered


def test_nothing_that_was_just_bought(made):
    rows, _, found, _ = made
    lately = DAY - dt.timedelta(days=settings.Recommend().just_bought_days)
    who = {each["order_id"]: each["customer_id"] for each in rows["orders"] if each["ordered_at"] >= lately}
    bought = {(who[each["order_id"]], each["product_id"]) for each in rows["order_items"] if each["order_id"] in who}
    assert len(bought) > 50
    assert not [pair for pair in bought if pair[1] in found[pair[0]]]


def test_no_more_than_a_few_of_a_category(made):
    rows, _, found, _ = made
    category = {each["product_id"]: each["category"] for each in rows["products"]}
    most = max(max(map([category[p] for p in each].count, category.values())) for each in found.values())
    assert most == settings.Recommend().most_of_category


def test_what_a_customer_likes_comes_first(made):
    """Of those who like a category, the first product is of it, but where all of it was just bought or sold out."""
    rows, _, found, _ = made
    category = {each["product_id"]: each["category"] for each in rows["products"]}
    liked = [category[found[f"k{n:03d}"][0]] == f"c{n % CATEGORIES}" for n in range(60)]
    assert np.mean(liked) > 0.7


def test_a_second_run_writes_the_same(made):
    _, told, found, stores = made
    assert recommend.recommend_products(DAY, stores) == told
    assert lists(stores) == found


def test_parts_make_no_difference(made, monkeypatch):
    _, _, found, stores = made
    settle(monkeypatch, part_rows=7)
    recommend.recommend_products(DAY, stores)
    assert lists(stores) == found


def test_nothing_after_the_day_is_seen(made, tmp_path, new_warehouse):
    """The same shop with orders, products and looks from the day on gives the same lists."""
    rows, told, found, stores = made
    later = shop(seed=2)
    orders = [{**each, "order_id": f"late {n}", "ordered_at": DAY + dt.timedelta(days=n % 5)}
              for n, each in enumerate(later["orders"])]  # fmt: skip
    items = [{**each, "order_id": each["order_id"].replace("o", "late ", 1)} for each in later["order_items"]]
    looks = [{"event_id": f"e{n}", "customer_id": f"k{n:03d}", "product_id": "p00", "occurred_at": DAY,
              "event_type": "product_view"} for n in range(60)]  # fmt: skip
    coming = {"product_id": "coming", "category": "c0", "launched_at": DAY}
    with new_warehouse() as dsn:
        others = replace(stores, warehouse=dsn, marketing=dsn, lake=str(tmp_path / "lake"))
        write(others, {**rows, "orders": rows["orders"] + orders, "order_items": rows["order_items"] + items,
                       "products": [*rows["products"], coming], "events": looks})  # fmt: skip
        assert recommend.recommend_products(DAY, others) == told
        assert lists(others) == found


def test_categories_that_tell_nothing_do_not_bind(stores):
    rows = shop(customers=20)
    rows["products"] = [{**each, "category": "gifts"} for each in rows["products"]]
    write(stores, rows)
    recommend.recommend_products(DAY, stores)
    assert {len(each) for each in lists(stores).values()} == {10}


def test_what_was_looked_at_is_recommended(stores):
    rows = shop(customers=20)
    lately = DAY - dt.timedelta(days=2)
    look = {"customer_id": "k022", "product_id": "p39", "occurred_at": lately, "event_type": "product_view"}
    looks = [{"event_id": f"e{n}", **look} for n in range(50)]
    products = [{**each, "stock_on_hand": None} for each in rows["products"]]
    write(stores, {**rows, "products": products, "events": looks})
    recommend.recommend_products(DAY, stores)
    assert "p39" in lists(stores)["k022"]


@pytest.mark.parametrize("missing", ["products", "order_items"])
def test_without_products_or_items_nobody_gets_a_list_and_the_log_says_so(stores, missing, caplog):
    write(stores, {**shop(customers=5), missing: []})
    with caplog.at_level(logging.WARNING):
        assert recommend.recommend_products(DAY, stores)["rows"] == 0
    assert "nothing to recommend on 2026-01-31" in caplog.text


def test_a_day_that_has_not_passed_the_gate_is_refused(stores):
    ids = pa.table({"customer_id": ["a"]})
    lake.write(stores.lake, tables.CUSTOMER_FEATURES, DAY, ids.to_batches(), ids.schema)
    with pytest.raises(history.NotAcceptedError, match="2026-01-31"):
        recommend.recommend_products(DAY, stores)


def scores(names):
    return [
        {"customer_id": name, "as_of_date": DAY, "segment_id": 1, "segment_name": "s", "lifecycle_stage": "active",
         "value_tier": "low", "model_versions": '{"customer_segments": "1"}', "scored_at": DAY}
        for name in names
    ]  # fmt: skip


def put_lists(stores, rows):
    schema = tables.RECOMMENDATION_COLUMNS
    data = pa.Table.from_pylist([{"as_of_date": DAY, **row} for row in rows], schema=schema)
    lake.write(stores.lake, tables.RECOMMENDATIONS, DAY, data.to_batches(), schema)


def test_publish_fills_the_column_for_who_has_a_list(stores):
    put_scores(stores, DAY, scores(["a", "b", "c"]))
    put_lists(stores, [{"customer_id": "a", "recommended_products": ["p2", "p1"]},
                       {"customer_id": "c", "recommended_products": ["p3"]},
                       {"customer_id": "d", "recommended_products": ["p4"]}])  # fmt: skip
    publish.publish_segments(DAY, stores)
    query = "select customer_id, recommended_products from marketing.customer_segments order by 1"
    assert published(stores, query) == [("a", ["p2", "p1"]), ("b", None), ("c", ["p3"])]


@pytest.mark.parametrize("rows", [None, []])
def test_publish_without_lists_leaves_the_column_null_and_says_so(stores, rows, caplog):
    put_scores(stores, DAY, scores(["a", "b"]))
    if rows is not None:
        put_lists(stores, rows)
    with caplog.at_level(logging.WARNING):
        publish.publish_segments(DAY, stores)
    assert "score.recommendations_daily" in caplog.text
    assert published(stores, "select distinct recommended_products from marketing.customer_segments") == [(None,)]


def test_rows_in_any_order_find_their_lists(stores):
    names = [f"c{n:03d}" for n in range(300)]
    put_lists(stores, [{"customer_id": name, "recommended_products": [name]} for name in names])
    put_scores(stores, DAY, scores(np.random.default_rng(1).permutation(names).tolist()))
    found = pa.Table.from_batches(published_rows.of_day(DAY, stores))
    assert found.num_rows == 300
    assert found["recommended_products"].to_pylist() == [[name] for name in found["customer_id"].to_pylist()]
    assert found.schema == tables.SEGMENT_COLUMNS
