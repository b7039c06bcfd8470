"""
Accepted invoice lines as the shop's tables: customers, products, orders and order_items.

Money is added up exactly and rounded once, half up, at the order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

import numpy as np
import pandas as pd
import pyarrow as pa

from local.readings import EXACT, Coded, cents, fits_money
from segmentation import tables

_MONEY = pa.decimal128(14, 2)


@dataclass(frozen=True)
class Lines:
    """The n readable lines of a file, column by column.

    Texts are stripped; `customer` is '' where there is none. `quantity` (n,) in pieces, `price` the exact unit price,
    `time` (n,) in microseconds since 1970 UTC; where a text could not be read they are 0, None and 0. `paid`, if
    given, is the exact amount of each line; otherwise it is quantity * price.
    """

    line_no: np.ndarray
    invoice: Coded
    stock_code: Coded
    description: Coded
    customer: Coded
    country: Coded
    quantity: np.ndarray
    price: Coded
    time: np.ndarray
    paid: Coded | None = None


@dataclass(frozen=True)
class Invoices:
    """The m accepted of n lines, in k orders.

    (n,) `accepted`; (m,) `rows` into the lines, `order_of` into the orders, `line_no` within the order, from 1,
    `returned` pieces, `updated_at` in microseconds; (k,) `order_ids`, `customer_of` as the lines code it,
    `ordered_at` in microseconds, `totals` in cents.
    """

    lines: Lines
    accepted: np.ndarray
    rows: np.ndarray
    order_of: np.ndarray
    line_no: np.ndarray
    order_ids: list[str]
    customer_of: np.ndarray
    ordered_at: np.ndarray
    totals: list[Decimal]
    returned: np.ndarray = field(init=False)
    updated_at: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "returned", np.zeros(len(self.rows), np.int64))
        object.__setattr__(self, "updated_at", self.ordered_at[self.order_of])

    def take_back(self, parts: list[tuple[int, int]], wanted: int, time: int) -> str:
        """Books the return of `wanted` pieces at `time`, as (accepted line, pieces); says which order lines it hit."""
        said = []
        for item, pieces in parts:
            self.returned[item] += pieces
            self.updated_at[item] = max(time, self.updated_at[item])
            said.append(f"{pieces} of order {self.order_ids[self.order_of[item]]} line {self.line_no[item]}")
        left = wanted - sum(pieces for _, pieces in parts)
        return f"returned {', '.join(said)}" + (f"; found no order for {left} more" if left else "")

    def tables(self, category: Callable[[str], str]) -> dict[str, pa.Table]:
        """The contract's tables by entity name; `category` tells that of a stock code."""
        return {
            "customers": self._customers(),
            "products": self._products(category),
            "orders": self._orders(),
            "order_items": self._order_items(),
        }

    def _orders(self) -> pa.Table:
        ordered_at = _times(self.ordered_at)
        return complete(
            tables.ORDERS,
            order_id=self.order_ids,
            customer_id=_texts(self.lines.customer.values, self.customer_of),
            ordered_at=ordered_at,
            status=["delivered"] * len(self.order_ids),
            discount_amount=[Decimal(0)] * len(self.order_ids),
            total_amount=self.totals,
            updated_at=ordered_at,
        )

    def _order_items(self) -> pa.Table:
        price = self.lines.price
        used = np.bincount(price.codes[self.rows], minlength=len(price.values)) > 0
        rounded = [cents(value) if is_used else None for value, is_used in zip(price.values, used, strict=True)]
        return complete(
            tables.ORDER_ITEMS,
            order_id=_texts(self.order_ids, self.order_of),
            line_no=self.line_no,
            product_id=_texts(self.lines.stock_code.values, self.lines.stock_code.codes[self.rows]),
            quantity=self.lines.quantity[self.rows],
            unit_price=pa.array(rounded, _MONEY).take(pa.array(price.codes[self.rows])),
            returned_quantity=self.returned,
            updated_at=_times(self.updated_at),
        )

    def _customers(self) -> pa.Table:
        """Signed up with the first order; the country is that of the latest."""
        customer_of, codes = pd.factorize(self.customer_of)
        signed_up = np.full(len(codes), np.iinfo(np.int64).max)
        np.minimum.at(signed_up, customer_of, self.ordered_at)
        by_time = np.argsort(self.ordered_at, kind="stable")
        latest_order, last_line = np.zeros(len(codes), int), np.zeros(len(self.order_ids), int)
        latest_order[customer_of[by_time]] = by_time  # of repeated places the last one stays
        last_line[self.order_of] = self.rows
        countries = [country or None for country in self.lines.country.values]
        return complete(
            tables.CUSTOMERS,
            customer_id=_texts(self.lines.customer.values, codes),
            signed_up_at=_times(signed_up),
            country=_texts(countries, self.lines.country.codes[last_line[latest_order]]),
            # A file of purchases says nothing of consent: analysed, but not to be written to.
            email_consent=np.zeros(len(codes), bool),
            sms_consent=np.zeros(len(codes), bool),
            push_consent=np.zeros(len(codes), bool),
            profiling_consent=np.ones(len(codes), bool),
            updated_at=_times(signed_up),
        )

    def _products(self, category: Callable[[str], str]) -> pa.Table:
        """Named by the most frequent description, listed at the median price, launched with the first sale."""
        stock, codes = pd.factorize(self.lines.stock_code.codes[self.rows])
        ids = [self.lines.stock_code.values[code] for code in codes]
        launched = np.full(len(codes), np.iinfo(np.int64).max)
        np.minimum.at(launched, stock, self.lines.time[self.rows])
        names = _most_frequent(stock, self.lines.description.codes[self.rows], self.lines.description.values)
        return complete(
            tables.PRODUCTS,
            product_id=ids,
            name=[names.get(index, ids[index]) for index in range(len(ids))],
            category=[category(code) for code in ids],
            list_price=_medians(stock, self.lines.price.codes[self.rows], self.lines.price.values),
            launched_at=_times(launched),
            updated_at=_times(launched),
        )


def group(lines: Lines, accepted: np.ndarray) -> Invoices:
    """One order per invoice and customer out of the accepted lines.

    Orders whose total does not fit the warehouse's money are left out: their lines are no longer `accepted`.
    """
    rows = np.flatnonzero(accepted)
    customers = max(len(lines.customer.values), 1)
    order_of, keys = pd.factorize(lines.invoice.codes[rows].astype(np.int64) * customers + lines.customer.codes[rows])
    totals = _totals(lines, rows, order_of, len(keys))
    fits = np.array([fits_money(total) for total in totals], bool)
    if not fits.all():
        fitting = accepted.copy()
        fitting[rows[~fits[order_of]]] = False
        return group(lines, fitting)
    ordered_at = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(ordered_at, order_of, lines.time[rows])
    return Invoices(
        lines=lines,
        accepted=accepted,
        rows=rows,
        order_of=order_of,
        line_no=pd.Series(order_of).groupby(order_of).cumcount().to_numpy() + 1,
        order_ids=_order_ids(lines, keys // customers, keys % customers),
        customer_of=keys % customers,
        ordered_at=ordered_at,
        totals=[cents(total) for total in totals],
    )


def complete(entity: tables.Entity, **columns) -> pa.Table:
    """The entity's table out of the columns given; the others are null. All columns have the same length."""
    length = len(next(iter(columns.values())))
    arrays = []
    for column in entity.schema:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(length, column.type))
        else:
            arrays.append(values if isinstance(values, pa.Array) else pa.array(values, column.type))
    return pa.table(arrays, schema=entity.schema)


def _order_ids(lines: Lines, invoices: np.ndarray, customers: np.ndarray) -> list[str]:
    """The invoice number; with the customer's id behind it where several customers share the number."""
    is_shared = np.bincount(invoices, minlength=1)[invoices] > 1
    taken = {lines.invoice.values[code] for code in invoices[~is_shared]}
    ids = []
    for invoice, customer, shared in zip(invoices, customers, is_shared, strict=True):
        name = lines.invoice.values[invoice]
        if shared:
            name = f"{name}-{lines.customer.values[customer]}"
            while name in taken:
                name += "+"
            taken.add(name)
        ids.append(name)
    return ids


def _totals(lines: Lines, rows: np.ndarray, order_of: np.ndarray, orders: int) -> list[Decimal]:
    """The exact amount of each order."""
    totals = [Decimal(0)] * orders
    amounts = lines.paid or lines.price
    pieces = np.ones(len(rows), int) if lines.paid else lines.quantity[rows]
    with localcontext(EXACT):
        for order, code, count in zip(order_of.tolist(), amounts.codes[rows].tolist(), pieces.tolist(), strict=True):
            totals[order] += amounts.values[code] * count
    return totals


def _most_frequent(groups: np.ndarray, codes: np.ndarray, texts: list[str]) -> dict[int, str]:
    """Group -> its most frequent text that is not empty; of equally frequent ones the first in the file."""
    pairs, first, counts = np.unique(groups * np.int64(len(texts)) + codes, return_index=True, return_counts=True)
    best = {}
    for index in np.lexsort((first, -counts)):
        group, code = divmod(int(pairs[index]), len(texts))
        if texts[code]:
            best.setdefault(group, texts[code])
    return best


def _medians(groups: np.ndarray, codes: np.ndarray, values: list[Decimal]) -> list[Decimal]:
    """The median value of each group, in cents; the groups are 0..k-1, none of them empty."""
    size = np.array([float(value or 0) for value in values])
    by_size = codes[np.lexsort((size[codes], groups))]
    counts = np.bincount(groups)
    start = np.cumsum(counts) - counts
    low, high = by_size[start + (counts - 1) // 2], by_size[start + counts // 2]
    with localcontext(EXACT):
        return [cents((values[one] + values[other]) / 2) for one, other in zip(low, high, strict=True)]


def _texts(values: list[str] | list[str | None], codes: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(codes))


def _times(microseconds: np.ndarray) -> pa.Array:
    return pa.array(microseconds, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
