"""
A shop's days, one block of four weeks after the other, for one chunk of customers after the other.

Nearly everything is a pure function of the settings and of whom or what it is about; the rest is the `Memory` and the
`Stock`. To go on from a day, the blocks of the last weeks before it are made again, since what was ordered then may
still be delivered, returned or deleted, and the rows that changed since are handed out. So a shop that grew day by day
is, row for row, the shop that was made in one go; the dirt is no exception.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa

from local.simulator import baskets, browsing, campaigns, customers, purchases, rows, service, truth_tables
from local.simulator.answers import Answers
from local.simulator.catalogue import Catalogue, Shelf
from local.simulator.clock import BLOCK, DAY, Calendar, start_of
from local.simulator.latent_types import TYPES
from local.simulator.population import Memory, Population, chunks
from local.simulator.settings import BLOCK_DAYS, Settings
from local.simulator.stock import Stock

Progress = Callable[[str, int, int], None]
# A table's name, and some of its rows; `vanished.<name>` are keys of rows that are there no more.
Piece = tuple[str, pa.Table]

VANISHED_ORDERS = "vanished.orders"
VANISHED_CUSTOMERS = "vanished.customers"


class Simulation:
    """The way of one shop from `known_until` to `until` (midnights, exclusive, in microseconds).

    `memory` and `stock` are those of `known_until`; while `pieces` is read through, they become those of `until`. What
    is held in memory is some 400 bytes per customer, and the rows of one chunk and block.
    """

    def __init__(
        self,
        settings: Settings,
        known_until: int,
        until: int,
        memory: Memory,
        stock: Stock,
        answers: Answers = Answers(),  # noqa: B008 - frozen
    ) -> None:
        self.settings = settings
        self.until = until
        self.known_until = known_until
        self.start = start_of(settings.first_day)
        # A shop that begins has no rows yet, not even of products that were launched long ago.
        self.since = known_until if known_until > self.start else 0
        self.stock = stock
        self.answers = answers
        self.catalogue = Catalogue(settings, until)
        self.calendar = Calendar(settings, until)
        self._given = memory
        self._effects: list[truth_tables.BlockEffects] = []

    @classmethod
    def new(cls, settings: Settings, days: int) -> "Simulation":
        """A shop from its first day on."""
        start = start_of(settings.first_day)
        return cls(settings, start, start + days * DAY, Memory.blank(0), Stock.blank())

    def pieces(self, progress: Progress) -> Iterator[Piece]:
        """The rows of all tables of `shop` and `truth` that are new or changed, a chunk and block at a time."""
        parts = self._parts(progress)
        before = [Memory(*(getattr(memory, item.name).copy() for item in fields(Memory))) for _, memory in parts]
        self.stock.fill(self.settings, self.catalogue)
        first = first_block(self.settings, self.since)
        blocks = range(first, -(-(self.until - self.start) // BLOCK))
        sold = np.zeros((len(self.catalogue), (self.until - self.known_until) // DAY), np.int64)
        for index in blocks:
            block = (index, self.start + index * BLOCK, self.start + (index + 1) * BLOCK)
            shelf = self.catalogue.shelf(block[1])
            own = campaigns.campaigns_of_block(self.settings, block)
            planned = own + self.answers.campaigns_of_block(block)
            sums = np.zeros((len(planned), len(TYPES), len(campaigns.EFFECTS)))
            for place, (people, memory) in enumerate(parts):
                progress("simulating", (index - first) * len(parts) + place, len(blocks) * len(parts))
                if people.signed_up[0] < block[2]:
                    yield from self._block(people, memory, block, shelf, (own, planned), sums, sold)
            self._effects.append(truth_tables.BlockEffects(planned, sums))
            announced = self.answers.announced(own) + planned[len(own) :]
            yield "shop.campaigns", campaigns.rows(announced, self.since, self.until)
        self.stock.pass_days(self.catalogue, self.known_until // DAY, sold)
        yield from self._people(parts, before)
        yield "shop.products", self._products()
        yield "truth.products", truth_tables.products(self.catalogue, self.stock, self.until)
        yield "truth.campaign_effects", truth_tables.campaign_effects(self._effects, self.until)
        progress("simulating", len(blocks) * len(parts), len(blocks) * len(parts))

    def _parts(self, progress: Progress) -> list[tuple[Population, Memory]]:
        parts, first = [], 0
        for people in chunks(self.settings, self.until):
            parts.append((people, self._given.part(first, len(people))))
            first += len(people)
            progress("drawing customers", first, max(first, self.settings.customers))
        self._given = Memory.blank(0)
        return parts

    def _block(self, people, memory, block, shelf, campaigns_of_it, sums, sold) -> Iterator[Piece]:
        settings, calendar, since, until = self.settings, self.calendar, self.since, self.until
        own, planned = campaigns_of_it
        contacts = self.answers.own(own, campaigns.draw(settings, people, memory, block, own))
        pulls = [campaigns.pull(contacts, own, people), *self.answers.pulls(people, block)]
        orders = purchases.orders_of_block(people, memory, calendar, block, pulls, self.known_until, until)
        contacts = contacts.followed_by(self.answers.contacts(people, block, len(own)))
        campaigns.remember(contacts, memory, until)
        if planned:
            sums += campaigns.effects(contacts, planned, people, memory, calendar, until)
            yield "shop.campaign_contacts", rows.contacts(people, contacts, planned, since, until)
        orders = orders.take(orders.time >= since - baskets.LOOK_BACK_DAYS * DAY)
        channel = baskets.channels(people, orders)
        lived = baskets.lives(settings, people, orders, channel)
        filled = baskets.fill(people, shelf, orders, lived, channel)
        self._count(orders, filled, block, sold)
        order_rows, item_rows = rows.orders(people, orders, lived, filled, since, until)
        yield "shop.orders", order_rows
        yield "shop.order_items", item_rows
        if since:
            yield VANISHED_ORDERS, rows.vanished_orders(people, orders, lived, since, until)
        opened = service.tickets(people, orders, lived, filled)
        yield "shop.support_tickets", rows.tickets(people, orders, opened, since, until)
        yield from self._sessions(people, memory, block, shelf, orders, filled)

    def _sessions(self, people, memory, block, shelf: Shelf, orders, filled) -> Iterator[Piece]:
        since = self.since - browsing.LATEST_DAYS * DAY
        late = self.settings.late_sessions_share
        if self.settings.sessions == 0 or block[2] <= since:
            return
        for sessions in (
            browsing.visits(people, memory, self.calendar, block, since, late),
            browsing.before_orders(people, orders, filled, since, late),
        ):
            happened = browsing.events(people, shelf, sessions)
            yield "shop.events", rows.events(people, sessions, happened, self.since, self.until)

    def _count(self, orders: purchases.Orders, filled: baskets.Baskets, block, sold: np.ndarray) -> None:
        """Adds what was sold since `known_until` to `sold` (p, days)."""
        first = max(block[1], self.known_until)
        day = (orders.time[filled.order] - first) // DAY
        new = (orders.time >= first)[filled.order]
        place = filled.product[new] * BLOCK_DAYS + day[new]
        counts = np.bincount(place, filled.quantity[new], len(sold) * BLOCK_DAYS).reshape(len(sold), BLOCK_DAYS)
        offset = (first - self.known_until) // DAY
        width = min(BLOCK_DAYS, sold.shape[1] - offset)
        sold[:, offset : offset + width] += counts[:, :width].astype(np.int64)

    def _people(self, parts: list[tuple[Population, Memory]], before: list[Memory]) -> Iterator[Piece]:
        for (people, memory), old in zip(parts, before, strict=True):
            yield "shop.customers", customers.rows(people, memory, self.since, self.until)
            changed = people.signed_up >= self.since
            for item in fields(Memory):
                now, then = getattr(memory, item.name), getattr(old, item.name)
                changed |= (now != then) if now.ndim == 1 else (now != then).any(axis=1)
            place = np.flatnonzero(changed)
            kept = Memory(*(getattr(memory, item.name)[place] for item in fields(Memory)))
            yield "truth.customers", truth_tables.customers(people.take(place), kept)
            if self.since:
                gone = (people.deleted_at >= self.since) & (people.deleted_at < self.until)
                yield VANISHED_CUSTOMERS, customers.ids(people, gone)

    def _products(self) -> pa.Table:
        table = self.catalogue.rows(self.until, self.stock.on_hand, self.stock.counted_at)
        changed = table["updated_at"].cast(pa.int64()).to_numpy() >= self.since
        return table.filter(pa.array(changed))


def first_block(settings: Settings, since: int) -> int:
    """The first of the blocks that are lived through anew to go on from a time: what was ordered in them may change."""
    return max(0, (since - baskets.LOOK_BACK_DAYS * DAY - start_of(settings.first_day)) // BLOCK)
