"""Which order line a cancellation reverses: a data set of invoices does not say, so it is worked out."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# How many of a customer's purchases of one product are looked back through: keeps the work in proportion to the
# lines, even where one "customer" stands for a whole till.
LOOK_BACK = 1_000


@dataclass(frozen=True, slots=True)
class Movement:
    """A sale or a cancellation of `quantity` (> 0) pieces at `price`.

    `key` names customer and product; `row` is whatever the caller knows it by; `time` and then `line_no` order them.
    """

    key: Any
    time: int
    line_no: int
    row: int
    quantity: int
    price: Decimal


@dataclass(slots=True)
class _Kept:
    row: int
    price: Decimal
    quantity: int


def match(sales: Iterable[Movement], cancellations: Iterable[Movement]) -> dict[int, list[tuple[int, int]]]:
    """For each cancellation's row the sales it takes back, as (sale's row, pieces); it is missing if there are none.

    A cancellation takes back the same customer's latest earlier purchase of the product with enough pieces left, of
    the same price if there is one. If no purchase is big enough it is spread over several, the latest first; pieces
    that nobody bought are left over. No sale is taken back beyond its quantity.
    """
    events = [(sale.time, sale.line_no, False, sale) for sale in sales]
    events += [(movement.time, movement.line_no, True, movement) for movement in cancellations]
    events.sort(key=lambda event: event[:2])
    kept: dict[Any, list[_Kept]] = defaultdict(list)
    taken: dict[int, list[tuple[int, int]]] = {}
    for _, _, is_cancellation, movement in events:
        if not is_cancellation:
            kept[movement.key].append(_Kept(movement.row, movement.price, movement.quantity))
        elif parts := _take_back(kept[movement.key], movement.quantity, movement.price):
            taken[movement.row] = parts
    return taken


def _take_back(kept: list[_Kept], quantity: int, price: Decimal) -> list[tuple[int, int]]:
    """Takes up to `quantity` pieces out of the latest of `kept`, which are in order of time."""
    latest = kept[-LOOK_BACK:]
    newest_first = latest[::-1]
    preferred = [sale for sale in newest_first if sale.price == price]
    preferred += [sale for sale in newest_first if sale.price != price]
    enough = [sale for sale in preferred if sale.quantity >= quantity][:1]
    parts = []
    for sale in enough or preferred:
        pieces = min(quantity, sale.quantity)
        sale.quantity -= pieces
        quantity -= pieces
        parts.append((sale.row, pieces))
        if not quantity:
            break
    kept[-LOOK_BACK:] = [sale for sale in latest if sale.quantity]
    return parts
