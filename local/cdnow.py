"""
CDNOW: one purchase of CDs per line, blanks between the fields, as a shop with one product.

Both layouts: the 1/10 sample (master id, sample id, date, CDs, dollars) and the master file (id, date, CDs, dollars).
A purchase of 0.00 dollars is a purchase, as the publisher counts it.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa

from local import shop
from local.invoices import Lines, group
from local.readings import EXACT, YEARS, Coded, cents, fits_integer, fits_money, microseconds, number, time_reader
from local.shop import LONGEST_KEY, Refused, Shop, no_orders
from local.source_file import Progress, SourceFile, WrongFile

EXPECTED = "the blank-separated purchases of CDNOW (customer id, date as 19970131, CDs, dollars)"
SAMPLE = ("master_id", "sample_id", "date", "cds", "dollars")
MASTER = ("customer_id", "date", "cds", "dollars")
PRODUCT = "cd"

_LINE = re.compile(r"\s*\d+\s+(\d+\s+)?\d{8}\s+\d+\s+-?\d+\.\d+\s*", re.ASCII)
_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_LINES_TO_KNOW = 20


def layout(lines: Iterable[str]) -> tuple[str, ...] | None:
    """The columns, SAMPLE or MASTER, as most of the first lines have them; None if this is no CDNOW file."""
    first = list(islice((line for line in lines if line.strip()), _LINES_TO_KNOW))
    widths = [len(line.split()) for line in first if _LINE.fullmatch(line)]
    if not widths or len(widths) * 2 < len(first):
        return None
    return SAMPLE if widths.count(len(SAMPLE)) * 2 >= len(widths) else MASTER


def read(source: SourceFile, columns: tuple[str, ...], progress: Progress) -> Shop:
    """The whole file as a shop: order 'cdnow-<line>' per accepted line, at 00:00 UTC of its day.

    :raises WrongFile: no line of the file can be an order.
    """
    line_no, rows, broken = _split(source.lines(progress), len(columns))
    total = len(line_no) + len(broken)
    progress("checking every line", 0, total)
    fields = zip(*rows, strict=True) if rows else [()] * len(columns)
    texts = {
        name: Coded.of(pa.chunked_array([pa.array(values, pa.string())]))
        for name, values in zip(columns, fields, strict=True)
    }
    lines, flags = _assess(np.array(line_no, np.int64), texts, customer=columns[0])
    acceptable = ~np.logical_or.reduce(list(flags.values()))
    purchases = group(lines, acceptable)
    reasons = shop.reasons_of(flags)
    progress("checking every line", total, total)
    if not purchases.order_ids:
        raise WrongFile(no_orders(source.name, total, [*reasons, *[(shop.WRONG_WIDTH,)] * len(broken)]))
    refused = Refused()
    for row, why in enumerate(reasons):
        if why:
            refused.add(line_no[row], why, dict(zip(columns, rows[row], strict=True)))
    for number_of_line, values in broken:
        refused.add(number_of_line, (shop.WRONG_WIDTH,), values)
    return Shop(source.name, total, purchases.tables(lambda _: "music"), refused)


def _split(lines: Iterable[str], width: int) -> tuple[list[int], list[list[str]], list[tuple[int, list[str]]]]:
    """Line numbers and fields of the lines of the right width; (line number, fields) of the others.

    Blank lines at the end, where old systems also leave a Ctrl-Z, are no lines.
    """
    line_no, rows, broken, blank = [], [], [], []
    for at, line in enumerate(lines, start=1):
        fields = line.split()
        if not "".join(fields).strip("\x1a"):
            blank.append((at, fields))
            continue
        broken += blank
        blank.clear()
        if len(fields) == width:
            line_no.append(at)
            rows.append(fields)
        else:
            broken.append((at, fields))
    return line_no, rows, broken


def _assess(line_no: np.ndarray, texts: dict[str, Coded], customer: str) -> tuple[Lines, dict[str, np.ndarray]]:
    """The lines as values, and for each reason the lines that it applies to."""
    ids, pieces, dollars = texts[customer], texts["cds"].map(number), texts["dollars"].map(number)
    read_time = time_reader("year-month-day")
    time = texts["date"].map(lambda text: read_time(_DAY.sub(r"\1-\2-\3", text)) if _DAY.fullmatch(text) else None)
    unholdable = [coded.where(lambda text: "\0" in text) for coded in texts.values()]
    unholdable += [ids.where(lambda key: len(key) > LONGEST_KEY)]
    unholdable += [time.where(lambda value: value is not None and value.year not in YEARS)]
    unholdable += [pieces.where(lambda value: value is not None and not fits_integer(value))]
    unholdable += [dollars.where(lambda value: value is not None and not fits_money(value))]
    flags = {
        shop.QUANTITY: pieces.where(lambda value: value is not None and value <= 0),
        shop.PRICE: dollars.where(lambda value: value is not None and value < 0),
        shop.BAD_DATE: time.where(lambda value: value is None),
        shop.BAD_NUMBER: pieces.where(lambda value: value is None) | dollars.where(lambda value: value is None),
        shop.DUPLICATE: pd.DataFrame({name: coded.codes for name, coded in texts.items()}).duplicated().to_numpy(),
        shop.OUT_OF_RANGE: np.logical_or.reduce(unholdable),
    }
    everywhere = np.zeros(len(line_no), np.int32)
    quantity = pieces.array(np.int64, lambda value: int(value) if value is not None and fits_integer(value) else 0)
    lines = Lines(
        line_no=line_no,
        invoice=Coded(np.arange(len(line_no)), [f"cdnow-{at}" for at in line_no]),
        stock_code=Coded(everywhere, [PRODUCT]),
        description=Coded(everywhere, ["CD"]),
        customer=ids,
        country=Coded(everywhere, [""]),
        quantity=quantity,
        price=_price_each(dollars, quantity),
        time=time.array(np.int64, lambda value: 0 if value is None else microseconds(value)),
        paid=dollars,
    )
    return lines, flags


def _price_each(dollars: Coded, quantity: np.ndarray) -> Coded:
    """Dollars for one CD in cents; None where the line does not tell."""

    def each(amount: Decimal | None, pieces: int) -> Decimal | None:
        if amount is None or not fits_money(amount) or pieces < 1:
            return None
        return cents(EXACT.divide(amount, Decimal(pieces)))

    pairs = zip(dollars.codes.tolist(), quantity.tolist(), strict=True)
    prices = [each(dollars.values[code], pieces) for code, pieces in pairs]
    return Coded(np.arange(len(prices)), prices).map(lambda price: price)
