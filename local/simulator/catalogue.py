"""
What is on the shelves: products with a life of their own, their prices, and how well they sell.

A product is launched at the start of a block, or before the first day; its sales grow, stay, and die away, each at its
own pace, and its price is marked down twice on the way. The movement class sets how well it sells at its best.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from local.simulator import columns, draws
from local.simulator.clock import BLOCK, DAY, FOREVER, start_of
from local.simulator.latent_types import CATEGORIES
from local.simulator.population import BRANDS
from local.simulator.settings import Settings

MOVEMENTS = ("fast", "steady", "slow", "dead")
PRODUCT_DIGITS = 6
_MOVEMENT_SUMS = np.cumsum([0.15, 0.45, 0.30, 0.10])
APPEAL = np.array([8.0, 2.0, 0.3, 0.004])
_MARKDOWNS = np.array([1.0, 0.8, 0.6])
_ADDED_EVERY_BLOCK = 150  # one for so many of the first products
_TYPICAL_PRICE = np.array([60, 38, 32, 55, 30, 16, 24, 85])
_NOUNS = (
    "shirt,jumper,jacket,jeans,dress,scarf,socks,tights,vest,hat",
    "tray,bowl,napkins,lamp,blanket,carafe,knife,candle,clock,pot",
    "cream,balm,oil,lotion,mask,shampoo,soap,brush,perfume,salt",
    "mat,shoes,bottle,rope,goggles,light,gloves,balls,poles,bag",
    "train,puzzle,kite,game,bear,blocks,run,paints,top,cards",
    "tea,oil,chocolate,honey,crackers,sauce,coffee,mango,rice,nuts",
    "novel,atlas,diary,poems,primer,guide,comic,cookbook,history,songbook",
    "charger,headset,speaker,keyboard,mouse,torch,fan,kettle,radio,camera",
)
_ADJECTIVES = ("plain", "fine", "soft", "bright", "small", "large", "classic", "red", "blue", "green", "wild", "quiet")


@dataclass(frozen=True)
class Shelf:
    """What can be bought in one block, of p products: (p,) `cents`, `category`, `brand` (-1: none).

    `products` and `sums` of those on sale, by category: `sums` rises from c to c + 1 by their appeal within category c.
    """

    cents: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    products: np.ndarray
    sums: np.ndarray

    def choose(self, category: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Products (n,) of the given categories, by appeal."""
        return self.products[np.searchsorted(self.sums, category + uniforms)]


class Catalogue:
    """All p products that are launched before `until`: (p,) `number` from 1, `category`, `brand`, `movement`,
    `launched_at`, `cost` in cents, and how they sell."""

    def __init__(self, settings: Settings, until: int) -> None:
        self._start = start_of(settings.first_day)
        a_block = max(1, settings.products // _ADDED_EVERY_BLOCK)
        blocks = max(0, -(-(until - self._start) // BLOCK))
        count = settings.products + a_block * max(0, blocks - 1)
        index = np.arange(count)
        self.number = index + 1
        self.key = key = draws.child(draws.root(settings.seed, "product"), "number", index)
        self.category = index % len(CATEGORIES)
        self.brand = np.where(
            draws.uniform(key, "brandless") < 0.15, -1, (draws.uniform(key, "brand") * len(BRANDS)).astype(np.int64)
        )
        self.movement = draws.pick(draws.uniform(key, "movement"), _MOVEMENT_SUMS)
        before = -(draws.uniform(key, "launch") * 1000).astype(np.int64) * DAY
        since = (1 + (index - settings.products) // a_block) * BLOCK
        self.launched_at = self._start + np.where(index < settings.products, before, since)
        self._grows = (20 + 100 * draws.uniform(key, "growth")) * DAY
        self._lasts = draws.exponential(draws.uniform(key, "maturity"), 900.0) * DAY + self._grows
        self._fades = (60 + 150 * draws.uniform(key, "decline")) * DAY
        price = _TYPICAL_PRICE[self.category] * np.exp(0.45 * draws.normal(draws.uniform(key, "price")))
        self._cents = np.rint(price).astype(np.int64).clip(3, None) * 100 - 10
        self.cost = (self._cents * (0.3 + 0.25 * draws.uniform(key, "cost"))).astype(np.int64)
        # Markdowns come with the block in which the sales have fallen to a half, and to a fifth.
        self.marked_down_at = np.stack([self._next_block(self._lasts + self._fades * np.log(fall)) for fall in (2, 5)])

    def __len__(self) -> int:
        return len(self.number)

    def appeal(self, time: int) -> np.ndarray:
        """How well each product sells at a time (p,): 0 before its launch."""
        age = time - self.launched_at
        rise = (0.15 + 0.85 * age / self._grows).clip(0, 1)
        fall = np.exp(-((age - self._lasts) / self._fades).clip(0, 30))
        return np.where(age >= 0, APPEAL[self.movement] * rise * fall, 0.0)

    def cents(self, time: int) -> np.ndarray:
        """The prices at a time (p,)."""
        level = (self.marked_down_at <= time).sum(axis=0)
        return (self._cents * _MARKDOWNS[level]).astype(np.int64)

    def shelf(self, start: int) -> Shelf:
        """What can be bought in the block that begins at `start`."""
        appeal = self.appeal(start)
        products = np.flatnonzero(appeal > 0)
        products = products[np.argsort(self.category[products], kind="stable")]
        category = self.category[products]
        sums = appeal[products].cumsum()
        ends = np.searchsorted(category, np.arange(len(CATEGORIES)), side="right")
        totals = np.concatenate([[0.0], sums[ends - 1]])
        sums = category + (sums - totals[category]) / np.diff(totals)[category]
        sums[ends - 1] = np.arange(len(CATEGORIES)) + 1
        return Shelf(self.cents(start), self.category, self.brand, products, sums)

    def rows(self, until: int, stock: np.ndarray, counted_at: np.ndarray) -> pa.Table:
        """shop.products as of `until`. `stock` (p,) in pieces, `counted_at` (p,) when it last changed."""
        known = np.flatnonzero(self.launched_at < until)
        marked_down = np.where(self.marked_down_at < until, self.marked_down_at, 0).max(axis=0)
        updated = np.maximum.reduce([self.launched_at, marked_down, counted_at])[known]
        nouns = [noun for nouns in _NOUNS for noun in nouns.split(",")]
        adjective = (draws.uniform(self.key[known], "adjective") * len(_ADJECTIVES)).astype(np.int64)
        noun = self.category[known] * 10 + (draws.uniform(self.key[known], "noun") * 10).astype(np.int64)
        names = [
            f"{_ADJECTIVES[first].capitalize()} {nouns[second]} {number}"
            for first, second, number in zip(adjective, noun, self.number[known], strict=True)
        ]
        return pa.table(
            {
                "product_id": self.ids(known),
                "name": names,
                "category": columns.words(CATEGORIES, self.category[known]),
                "brand": columns.words((*BRANDS, None), self.brand[known] % (len(BRANDS) + 1)),
                "list_price": columns.money(self.cents(until - 1)[known]),
                "unit_cost": columns.money(self.cost[known]),
                "launched_at": columns.times(self.launched_at[known]),
                "stock_on_hand": pa.array(stock[known], pa.int32()),
                "updated_at": columns.times(updated),
            }
        )

    def ids(self, products: np.ndarray) -> pa.Array:
        """The product_ids of the products at the given places."""
        return columns.fixed("P", (self.number[products], PRODUCT_DIGITS))

    def _next_block(self, age: np.ndarray) -> np.ndarray:
        blocks = np.ceil((self.launched_at - self._start + age) / BLOCK).clip(-(10**4), 10**5)
        return np.minimum(self._start + blocks.astype(np.int64) * BLOCK, FOREVER)
