"""
A small shop out of thin air, the same each time: for trying things without a data set.

Customers buy at rates of their own (Gamma), each purchase may be the last, spend is log-normal; some never buy. What
the pipeline has to cope with is in it: refused consent, missing demographics, cancelled orders, returns.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from local.invoices import complete
from local.readings import microseconds
from local.shop import Shop
from local.source_file import Progress
from segmentation import tables

SOURCE = "generated shop"
CUSTOMERS = 2_000
LAST_DAY = date(2026, 6, 30)
SEED = 20_260_630
DAYS = 546

# Raise it when the same arguments give another shop, so that a new version replaces an old one's.
_VERSION = 1
_MOST_ORDERS = 80
_DAY_US = 86_400 * 1_000_000

_TYPICAL_PRICE = {"clothing": 160, "home": 90, "beauty": 70, "sports": 140, "toys": 60, "food": 35}
_NAMES = {
    "clothing": "linen shirt,wool jumper,rain jacket,denim jeans,summer dress,scarf,socks,tights,down vest,straw hat",
    "home": "oak tray,bowl,linen napkins,reading lamp,blanket,carafe,bread knife,candle set,wall clock,tea pot",
    "beauty": "day cream,hand balm,face oil,lip balm,sun lotion,clay mask,shampoo bar,rose water,hair brush,bath salt",
    "sports": "yoga mat,trail shoes,water bottle,skipping rope,goggles,bike light,chalk,tennis balls,poles,gym bag",
    "toys": "wooden train,puzzle,kite,board game,plush bear,blocks,marble run,paint box,spinning top,card game",
    "food": "green tea,olive oil,dark chocolate,honey,rice crackers,chilli sauce,coffee,dried mango,sea salt,walnuts",
}
_BRANDS = ["Hearth", "Northwind", "Lantern", "Willow", "Plain & Co", None]
_CITIES = ["Shanghai", "Beijing", "Chengdu", "Hangzhou", "Guangzhou", "Wuhan", None]
_CITY_SHARES = [0.24, 0.2, 0.14, 0.13, 0.12, 0.07, 0.1]
_SOURCES = ["organic", "search_ad", "social_ad", "referral", "store"]
_CHANNELS = ["web", "app", "store", "social"]


def fingerprint(customers: int = CUSTOMERS, last_day: date = LAST_DAY, seed: int = SEED) -> str:
    """Stands for the sha256 of a file: two shops with the same one are the same."""
    return hashlib.sha256(f"{SOURCE} {_VERSION}: {customers} {last_day} {seed}".encode()).hexdigest()


def shop(progress: Progress) -> Shop:
    """The generated shop as the loader takes it: each order line is a line of its source."""
    progress("generating a shop", 0, CUSTOMERS)
    made = generate()
    progress("generating a shop", CUSTOMERS, CUSTOMERS)
    return Shop(SOURCE, made["order_items"].num_rows, made)


def generate(customers: int = CUSTOMERS, last_day: date = LAST_DAY, seed: int = SEED) -> dict[str, pa.Table]:
    """The contract's tables by entity name; the same arguments give the same rows.

    :param last_day: the last day with orders, UTC; the shop goes back DAYS days from there.
    """
    rng = np.random.default_rng(seed)
    end = microseconds(datetime.combine(last_day + timedelta(days=1), datetime.min.time(), UTC))
    start = end - DAYS * _DAY_US
    products = _products(rng, start)
    people = _people(rng, customers, start, end)
    orders = _orders(rng, people, end)
    items = _items(rng, people, orders, products, end)
    _settle(rng, orders, items)
    return {
        "customers": complete(tables.CUSTOMERS, **people["columns"]),
        "products": complete(tables.PRODUCTS, **products["columns"]),
        "orders": complete(tables.ORDERS, **_order_columns(people, orders)),
        "order_items": complete(tables.ORDER_ITEMS, **_item_columns(orders, items, products)),
    }


def _products(rng: np.random.Generator, start: int) -> dict[str, Any]:
    names = [(category, name) for category, listed in _NAMES.items() for name in listed.split(",")]
    typical = np.array([_TYPICAL_PRICE[category] for category, _ in names])
    cents = np.round(typical * 100 * rng.lognormal(0, 0.4, len(names))).astype(np.int64)
    cost = np.round(cents * rng.uniform(0.35, 0.65, len(names))).astype(np.int64)
    launched = start + (rng.uniform(-400, 0, len(names)) * _DAY_US).astype(np.int64)
    ids = [f"P{index:03d}" for index in range(1, len(names) + 1)]
    columns = {
        "product_id": ids,
        "name": [name.capitalize() for _, name in names],
        "category": [category for category, _ in names],
        "brand": _pick(rng, _BRANDS, len(names)),
        "list_price": _money(cents),
        "unit_cost": _money(cost),
        "launched_at": _times(launched),
        "stock_on_hand": rng.poisson(40, len(names)) * (rng.random(len(names)) > 0.05),
        "updated_at": _times(launched),
    }
    categories = np.array([list(_NAMES).index(category) for category, _ in names])
    return {"columns": columns, "cents": cents, "category": categories, "ids": ids}


def _people(rng: np.random.Generator, count: int, start: int, end: int) -> dict[str, Any]:
    """Customers as columns, and what drives them: rate (orders a day), spend, drop-out, tastes, channel."""
    signed_up = (start + rng.uniform(0, 1, count) ** 1.3 * (end - start - _DAY_US)).astype(np.int64)
    consent = {"email": 0.7, "sms": 0.4, "push": 0.5, "profiling": 0.97}
    income = np.where(rng.random(count) < 0.35, 3, rng.choice(3, count, p=[0.3, 0.5, 0.2]))
    columns = {
        "customer_id": [f"C{index:05d}" for index in range(1, count + 1)],
        "signed_up_at": _times(signed_up),
        "birth_year": pa.array(rng.integers(1950, 2007, count), pa.int16(), mask=rng.random(count) < 0.25),
        "gender": _pick(rng, ["female", "male", "other", None], count, [0.5, 0.32, 0.02, 0.16]),
        "income_band": [["low", "middle", "high", None][band] for band in income],
        "city": _pick(rng, _CITIES, count, _CITY_SHARES),
        "country": ["China"] * count,
        "acquisition_channel": _pick(rng, _SOURCES, count, [0.35, 0.25, 0.2, 0.12, 0.08]),
        **{f"{name}_consent": rng.random(count) < share for name, share in consent.items()},
        "updated_at": _times(signed_up),
    }
    return {
        "columns": columns,
        "signed_up": signed_up,
        "is_prospect": rng.random(count) < 0.08,
        "rate": rng.gamma(0.9, 1 / 30, count) + 0.001,
        "drop_out": rng.beta(0.8, 6, count),
        "spend": rng.lognormal(0, 0.5, count) * np.array([0.8, 1, 1.4, 1])[income],
        "taste": rng.dirichlet(np.full(len(_NAMES), 0.5), count),
        "channel": rng.dirichlet(np.full(len(_CHANNELS), 0.4), count),
    }


def _orders(rng: np.random.Generator, people: Mapping[str, Any], end: int) -> dict[str, Any]:
    """Orders in order of time: the first soon after the sign-up, the next at the customer's rate, until drop-out."""
    count = len(people["rate"])
    gaps = rng.exponential(1, (count, _MOST_ORDERS)) / people["rate"][:, None]
    gaps[:, 0] = np.minimum(gaps[:, 0], rng.exponential(2, count))
    times = people["signed_up"][:, None] + (np.cumsum(gaps, axis=1) * _DAY_US).astype(np.int64)
    alive = np.arange(_MOST_ORDERS) < rng.geometric(people["drop_out"])[:, None]
    customer, index = np.nonzero(alive & (times < end) & ~people["is_prospect"][:, None])
    time = times[customer, index] // 1_000_000 * 1_000_000
    in_time = np.argsort(time, kind="stable")
    customer, time = customer[in_time], time[in_time]
    age_days = (end - time) / _DAY_US
    status = np.select([age_days < 0.5, age_days < 1, age_days < 4], ["placed", "paid", "shipped"], "delivered")
    status = np.where(rng.random(len(time)) < 0.03, "cancelled", status)
    taste = people["channel"][customer].cumsum(axis=1)
    return {
        "customer": customer,
        "time": time,
        "status": status,
        "channel": (rng.random((len(time), 1)) > taste[:, :-1]).sum(axis=1),
        "has_coupon": rng.random(len(time)) < 0.18,
        "spend": people["spend"][customer] * rng.lognormal(0, 0.45, len(time)),
    }


def _items(
    rng: np.random.Generator,
    people: Mapping[str, Any],
    orders: Mapping[str, Any],
    products: Mapping[str, Any],
    end: int,
) -> dict[str, Any]:
    """One to a few different products an order, of the categories that the customer likes; some pieces come back."""
    lines = 1 + rng.poisson(1.1, len(orders["time"])).clip(max=5)
    order = np.repeat(np.arange(len(lines)), lines)
    liked = people["taste"][orders["customer"][order]].cumsum(axis=1)
    category = (rng.random((len(order), 1)) > liked[:, :-1]).sum(axis=1)
    a_category = len(products["cents"]) // len(_NAMES)
    product = category * a_category + np.minimum(rng.geometric(0.18, len(order)) - 1, a_category - 1)
    order, product = np.unique(np.column_stack([order, product]), axis=0).T
    spend = orders["spend"][order]
    quantity = np.maximum(1, np.round(spend * rng.lognormal(-0.1, 0.3, len(order)))).astype(np.int64)
    returned_at = orders["time"][order] + (rng.uniform(3, 25, len(order)) * _DAY_US).astype(np.int64)
    comes_back = (orders["status"][order] == "delivered") & (returned_at < end) & (rng.random(len(order)) < 0.05)
    return {
        "order": order,
        "line_no": np.arange(len(order)) - np.searchsorted(order, order) + 1,
        "product": product,
        "quantity": quantity,
        "price": np.round(products["cents"][product] * rng.choice([1, 1, 1, 0.9, 0.8], len(order))).astype(np.int64),
        "returned": np.where(comes_back, rng.integers(1, quantity + 1), 0),
        "updated": np.where(comes_back, returned_at, orders["time"][order]),
    }


def _settle(rng: np.random.Generator, orders: dict[str, Any], items: Mapping[str, Any]) -> None:
    """What each order costs: its lines, less ten per cent with a coupon."""
    gross = np.bincount(items["order"], items["quantity"] * items["price"], len(orders["time"])).astype(np.int64)
    orders["discount"] = np.where(orders["has_coupon"], gross // 10, 0)
    orders["total"] = gross - orders["discount"]
    orders["coupon"] = np.where(orders["has_coupon"], rng.integers(1, 5, len(gross)), 0)


def _order_ids(orders: Mapping[str, Any]) -> list[str]:
    return [f"O{index:06d}" for index in range(1, len(orders["time"]) + 1)]


def _order_columns(people: Mapping[str, Any], orders: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "order_id": _order_ids(orders),
        "customer_id": [people["columns"]["customer_id"][index] for index in orders["customer"]],
        "ordered_at": _times(orders["time"]),
        "status": orders["status"].tolist(),
        "channel": [_CHANNELS[index] for index in orders["channel"]],
        "coupon_code": [f"SAVE10-{number}" if number else None for number in orders["coupon"]],
        "discount_amount": _money(orders["discount"]),
        "total_amount": _money(orders["total"]),
        "updated_at": _times(orders["time"]),
    }


def _item_columns(orders: Mapping[str, Any], items: Mapping[str, Any], products: Mapping[str, Any]) -> dict[str, Any]:
    ids = _order_ids(orders)
    return {
        "order_id": [ids[index] for index in items["order"]],
        "line_no": items["line_no"],
        "product_id": [products["ids"][index] for index in items["product"]],
        "quantity": items["quantity"],
        "unit_price": _money(items["price"]),
        "returned_quantity": items["returned"],
        "updated_at": _times(items["updated"]),
    }


def _pick(rng: np.random.Generator, values: list, count: int, shares: list[float] | None = None) -> list:
    return [values[index] for index in rng.choice(len(values), count, p=shares)]


def _money(cents: np.ndarray) -> list[Decimal]:
    return [Decimal(amount).scaleb(-2) for amount in cents.tolist()]


def _times(since_1970: np.ndarray) -> pa.Array:
    return pa.array(since_1970, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
