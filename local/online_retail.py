"""
UCI Online Retail and Online Retail II: invoice lines of a gift wholesaler, as a shop.

Both spellings of the columns, in any order, among any others. A line becomes one row of order_items, or it is refused
with every reason that applies. A cancelled invoice is refused too, but reverses the order line it belongs to.
"""

import csv
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from local import shop
from local.delimited import Records, read_records
from local.invoices import Invoices, Lines, group
from local.readings import YEARS, Coded, date_style, fits_integer, fits_money, microseconds, number, time_reader
from local.returns import Movement, match
from local.shop import LONGEST_KEY, Refused, Shop, no_orders
from local.source_file import Progress, SourceFile, WrongFile

# What a column is called here -> how files call it, in lower case without anything but letters.
SPELLINGS = {
    "invoice": ("invoiceno", "invoice"),
    "stock_code": ("stockcode",),
    "description": ("description",),
    "quantity": ("quantity",),
    "date": ("invoicedate",),
    "price": ("unitprice", "price"),
    "customer": ("customerid",),
    "country": ("country",),
}
AS_PUBLISHED = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
EXPECTED = f"the columns {', '.join(AS_PUBLISHED)} (Online Retail II calls them Invoice, Price and Customer ID)"
_ENOUGH_TO_KNOW = 4

_NOBODY = {"", "nan", "null", "none", "na", "n/a", "<na>"}
_WHOLE = re.compile(r"(\d+)\.0+", re.ASCII)
_ENDLESS = {"infinity", "inf"}
_SERVICES = re.compile(
    r"POST|DOT|D|M|S|C2|B|CRUK|BANK CHARGES|AMAZONFEE|ADJUST\d*|TEST\d+|GIFT(_\w+)?", re.ASCII | re.IGNORECASE
)
_OF_A_RETURN = {shop.CANCELLED, shop.QUANTITY, shop.PRICE}


@dataclass(frozen=True)
class Layout:
    """Where the columns are: `names` of all columns, made unique; `of` maps ours to those."""

    names: tuple[str, ...]
    of: dict[str, str]


def layout(header: str, file: str) -> Layout | None:
    """The columns as a header line names them, or None if this is no Online Retail file.

    :raises WrongFile: it is one, but wrongly delimited, or without a column that is needed.
    """
    known = {separator: _positions(_fields(header, separator)) for separator in (",", ";", "\t", "|")}
    separator = max(known, key=lambda candidate: len(known[candidate]))
    positions = known[separator]
    if len(positions) < _ENOUGH_TO_KNOW:
        return None
    if separator != ",":
        called = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}[separator]
        raise WrongFile(f"expected columns parted by commas, found them parted by {called} in {file}")
    missing = [published for ours, published in zip(SPELLINGS, AS_PUBLISHED, strict=True) if ours not in positions]
    if missing:
        raise WrongFile(f"expected {EXPECTED}, found no {' and no '.join(missing)} in {file}")
    names: list[str] = []
    for position, name in enumerate(_fields(header, ","), start=1):
        names.append(name if name and name not in names else f"{name or 'column'} ({position})")
    return Layout(tuple(names), {ours: names[position] for ours, position in positions.items()})


def read(source: SourceFile, columns: Layout, progress: Progress) -> Shop:
    """The whole file as a shop, returns applied.

    :raises WrongFile: nothing follows the header, or no line of the file can be an order's.
    """
    lines = source.lines(progress)
    next(lines)
    records = read_records(lines, columns.names)
    total = len(records.line_no) + len(records.broken)
    if not total:
        raise WrongFile(f"expected lines after the header, found the header only in {source.name}")
    progress("checking every line", 0, total)
    texts = {ours: Coded.of(records.columns[name]) for ours, name in columns.of.items()}
    style = date_style(texts["date"].values)
    lines, flags = _assess(records, texts, style)
    acceptable = ~np.logical_or.reduce(list(flags.values()))
    invoices = group(lines, acceptable)
    flags[shop.OUT_OF_RANGE] |= acceptable & ~invoices.accepted
    reasons = shop.reasons_of(flags)
    progress(f"checking every line (dates: {style})", total, total)
    if not invoices.order_ids:
        raise WrongFile(no_orders(source.name, total, [*reasons, *[(shop.WRONG_WIDTH,)] * len(records.broken)]))
    notes = _take_back(lines, invoices, reasons)
    progress("matching returns", total, total)
    refused = _refuse(records, columns, reasons, notes)
    applied = sum(note.startswith("returned") for note in notes.values())
    return Shop(source.name, total, invoices.tables(category), refused, returns_applied=applied)


def category(stock_code: str) -> str:
    """'service' for postage, fees, vouchers and adjustments, 'gifts' for everything else: the data tell no more."""
    return "service" if _SERVICES.fullmatch(stock_code) else "gifts"


def _assess(records: Records, texts: dict[str, Coded], style: str) -> tuple[Lines, dict[str, np.ndarray]]:
    """The lines as values, and for each reason the lines that it applies to."""
    invoice, stock_code = texts["invoice"].map(str.strip), texts["stock_code"].map(str.strip)
    customer = texts["customer"].map(_customer_id)
    quantity, price = texts["quantity"].map(number), texts["price"].map(number)
    time = texts["date"].map(time_reader(style))
    endless = texts["date"].where(lambda text: text.strip().lower().lstrip("+-") in _ENDLESS)
    unholdable = [coded.where(lambda text: "\0" in text) for coded in texts.values()]
    unholdable += [coded.where(lambda key: not key or len(key) > LONGEST_KEY) for coded in (invoice, stock_code)]
    unholdable += [customer.where(lambda key: len(key) > LONGEST_KEY), endless]
    unholdable += [time.where(lambda value: value is not None and value.year not in YEARS)]
    unholdable += [quantity.where(lambda value: value is not None and not fits_integer(value))]
    unholdable += [price.where(lambda value: value is not None and not fits_money(value))]
    flags = {
        shop.NO_CUSTOMER: customer.where(lambda key: not key),
        shop.CANCELLED: invoice.where(lambda key: key[:1] in ("C", "c")),
        shop.QUANTITY: quantity.where(lambda value: value is not None and value <= 0),
        shop.PRICE: price.where(lambda value: value is not None and value <= 0),
        shop.BAD_DATE: time.where(lambda value: value is None) & ~endless,
        shop.BAD_NUMBER: quantity.where(lambda value: value is None) | price.where(lambda value: value is None),
        shop.DUPLICATE: pd.DataFrame({name: coded.codes for name, coded in texts.items()}).duplicated().to_numpy(),
        shop.OUT_OF_RANGE: np.logical_or.reduce(unholdable),
    }
    lines = Lines(
        line_no=np.array(records.line_no, np.int64),
        invoice=invoice,
        stock_code=stock_code,
        description=texts["description"].map(str.strip),
        customer=customer,
        country=texts["country"].map(str.strip),
        quantity=quantity.array(np.int64, lambda value: int(value) if value is not None and fits_integer(value) else 0),
        price=price,
        time=time.array(np.int64, lambda value: 0 if value is None else microseconds(value)),
    )
    return lines, flags


def _customer_id(text: str) -> str:
    """The id, '' for nobody; '17850.0', as a column with gaps is often written, is '17850'."""
    text = text.strip()
    if text.lower() in _NOBODY:
        return ""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _take_back(lines: Lines, invoices: Invoices, reasons: list[tuple[str, ...]]) -> dict[int, str]:
    """Books what cancelled lines return; a note for each of those lines, whether it found its order or not."""
    usable = np.array([shop.CANCELLED in why and set(why) <= _OF_A_RETURN for why in reasons], bool)
    returns = np.flatnonzero(usable & (lines.quantity < 0))
    keys = lines.customer.codes.astype(np.int64) * len(lines.stock_code.values) + lines.stock_code.codes
    items = np.flatnonzero(np.isin(keys[invoices.rows], keys[returns]))

    def movement(row: int, known_as: int) -> Movement:
        return Movement(
            key=int(keys[row]),
            time=int(lines.time[row]),
            line_no=int(lines.line_no[row]),
            row=known_as,
            quantity=abs(int(lines.quantity[row])),
            price=lines.price.values[lines.price.codes[row]],
        )

    taken = match(
        [movement(invoices.rows[item], int(item)) for item in items], [movement(row, int(row)) for row in returns]
    )
    notes = {}
    for row in returns.tolist():
        if row in taken:
            notes[row] = invoices.take_back(taken[row], -int(lines.quantity[row]), int(lines.time[row]))
        else:
            notes[row] = "found no earlier order to return it to"
    return notes


def _refuse(records: Records, columns: Layout, reasons: list[tuple[str, ...]], notes: dict[int, str]) -> Refused:
    refused = Refused()
    rows = [row for row, why in enumerate(reasons) if why]
    fields = [records.columns[name].take(pa.array(rows, pa.int64())).to_pylist() for name in columns.names]
    for row, values in zip(rows, zip(*fields, strict=True), strict=True):
        named = dict(zip(columns.names, values, strict=True))
        refused.add(records.line_no[row], reasons[row], named, notes.get(row))
    for line_no, values in records.broken:
        refused.add(line_no, (shop.WRONG_WIDTH,), values)
    return refused


def _positions(fields: list[str]) -> dict[str, int]:
    """Our column names -> their position, as far as the fields are known names; of two alike the first."""
    plain = [re.sub(r"[^a-z]", "", field.lower()) for field in fields]
    return {
        ours: min(plain.index(name) for name in spellings if name in plain)
        for ours, spellings in SPELLINGS.items()
        if any(name in plain for name in spellings)
    }


def _fields(header: str, separator: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([header.rstrip("\r\n")], delimiter=separator), [])]
