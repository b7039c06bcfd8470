"""
Hillstrom's MineThatData e-mail test (2008): one customer per line, drawn at random for one of two e-mails or for none.

The file tells amounts and answers, but hardly a date, so a shop made of it is honest for measuring the campaign and for
little else. True in it: the arms; who ordered, for how much, and who visited in the two weeks after; the spend of the
year before; how many months ago the last order was; who is new. Made up: the dates themselves (the e-mails go out on
2008-03-20), and that a year's spend, or that of the two weeks, was one order. What the orders consisted of, what that
cost and what the e-mails cost is not known, and is left out: there is no margin and no ROI. What has no place in the
contract is left out too; `python -m local.bench.effects` measures the whole file without a shop.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa

from local import shop
from local.delimited import Records, read_records
from local.readings import cents, fits_money, number
from local.shop import Refused, Shop, reasons_of
from local.source_file import Progress, SourceFile, WrongFile
from segmentation import tables

COLUMNS = ("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel", "segment",
           "visit", "conversion", "spend")  # fmt: skip
EXPECTED = "Hillstrom's e-mail test (recency, history_segment, history, .. segment, visit, conversion, spend)"
ARMS = {"No E-Mail": "control", "Mens E-Mail": "mens_email", "Womens E-Mail": "womens_email"}
CAMPAIGN = "hillstrom"
SENT_AT = datetime(2008, 3, 20, tzinfo=UTC)
ENDS_AT = SENT_AT + timedelta(days=14)
_ANSWERED_AT = ENDS_AT - timedelta(hours=12)
_MONTHS = range(1, 13)


def layout(header: str) -> bool:
    """Whether a first line is this file's."""
    return tuple(name.strip().strip('"').lower() for name in header.strip().split(",")) == COLUMNS


def read(source: SourceFile, progress: Progress) -> Shop:
    """The whole file as a shop of one campaign; customer 'hillstrom-<line>' per accepted line.

    :raises WrongFile: no line of the file can be a customer of the test.
    """
    rows, refused, lines = customers(source, progress)
    kept = {
        "customers": _customers(rows),
        "products": tables.PRODUCTS.schema.empty_table(),
        "orders": pa.concat_tables([_orders(rows, "before"), _orders(rows[rows["conversion"] == 1], "after")]),
        "order_items": tables.ORDER_ITEMS.schema.empty_table(),
        "events": _visits(rows[rows["visit"] == 1]),
        "campaigns": _campaign(),
        "campaign_contacts": _contacts(rows),
    }
    return Shop(source.name, lines, kept, refused)


def customers(source: SourceFile, progress: Progress) -> tuple[pd.DataFrame, Refused, int]:
    """(the customers of the test, the lines that are none, how many lines there are).

    :returns: customers with `customer_id`, `arm` as of ARMS, the whole numbers `recency` in months, `mens`, `womens`,
        `newbie`, `visit`, `conversion`, the Decimals `history` and `spend`, and the texts of the other columns.
    :raises WrongFile: there is no customer.
    """
    lines = source.lines(progress)
    header = next(lines)
    records = read_records(lines, COLUMNS)
    total = len(records.line_no) + len(records.broken)
    if not layout(header) or not records.line_no:
        raise WrongFile(f"expected {EXPECTED}, found no customer in the {total:,} lines of {source.name}")
    texts = pd.DataFrame({name: records.columns[name].to_pylist() for name in COLUMNS})
    rows, reasons = _assess(records, texts)
    refused = Refused()
    for place in np.flatnonzero([bool(why) for why in reasons]):
        refused.add(records.line_no[place], reasons[place], dict(texts.iloc[place]))
    for line_no, fields in records.broken:
        refused.add(line_no, (shop.WRONG_WIDTH,), fields)
    kept = rows[[not why for why in reasons]]
    if kept.empty:
        raise WrongFile(f"expected {EXPECTED}, found no customer in the {total:,} lines of {source.name}")
    return kept, refused, total


def _assess(records: Records, texts: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    """The lines as values, and why each of them is refused. Equal lines are different customers."""
    rows = texts.assign(customer_id=[f"hillstrom-{at}" for at in records.line_no], arm=texts["segment"].map(ARMS))
    flags = {
        shop.PRICE: np.zeros(len(rows), bool),
        shop.BAD_NUMBER: np.zeros(len(rows), bool),
        shop.OUT_OF_RANGE: rows["arm"].isna().to_numpy(),
    }
    limits = {"recency": _MONTHS} | dict.fromkeys(("mens", "womens", "newbie", "visit", "conversion"), range(2))
    for name in (*limits, "history", "spend"):
        values = {text: number(text) for text in texts[name].unique()}
        flags[shop.BAD_NUMBER] = flags[shop.BAD_NUMBER] | texts[name].map(
            lambda text, of=values: of[text] is None
        ).to_numpy(bool)
        if name in limits:
            wrong = {text for text, value in values.items() if value is not None and value not in limits[name]}
            rows[name] = texts[name].map({text: int(v) for text, v in values.items() if v in limits[name]}).fillna(0)
            rows[name] = rows[name].astype(int)
        else:
            wrong = {text for text, value in values.items() if value is not None and not fits_money(value)}
            negative = {text for text, value in values.items() if value is not None and value < 0}
            flags[shop.PRICE] = flags[shop.PRICE] | texts[name].isin(negative).to_numpy()
            amounts = {text: cents(v) if v is not None and fits_money(v) else Decimal(0) for text, v in values.items()}
            rows[name] = texts[name].map(amounts)
        flags[shop.OUT_OF_RANGE] = flags[shop.OUT_OF_RANGE] | texts[name].isin(wrong).to_numpy()
    flags[shop.OUT_OF_RANGE] = flags[shop.OUT_OF_RANGE] | ((rows["spend"] > 0) & (rows["conversion"] == 0)).to_numpy()
    return rows, reasons_of(flags)


def _customers(rows: pd.DataFrame) -> pa.Table:
    years = np.where(rows["newbie"] == 1, 1, 2)
    return _table(
        tables.CUSTOMERS,
        customer_id=rows["customer_id"],
        signed_up_at=[SENT_AT - timedelta(days=365 * int(many)) for many in years],
        email_consent=[True] * len(rows),
        sms_consent=[False] * len(rows),
        push_consent=[False] * len(rows),
        profiling_consent=[True] * len(rows),
        updated_at=[SENT_AT - timedelta(days=1)] * len(rows),
    )


def _orders(rows: pd.DataFrame, which: str) -> pa.Table:
    """The last year's spend as one order in the middle of the month that is told, or what came after the e-mails."""
    if which == "before":
        times = [SENT_AT - timedelta(days=30 * int(months) - 15) for months in rows["recency"]]
    else:
        times = [_ANSWERED_AT] * len(rows)
    return _table(
        tables.ORDERS,
        order_id=rows["customer_id"] + f"-{which}",
        customer_id=rows["customer_id"],
        ordered_at=times,
        status=["delivered"] * len(rows),
        channel=rows["channel"].map({"Web": "web"}) if which == "before" else None,
        discount_amount=[Decimal(0)] * len(rows),
        total_amount=rows["history" if which == "before" else "spend"],
        updated_at=times,
    )


def _visits(rows: pd.DataFrame) -> pa.Table:
    return _table(
        tables.EVENTS,
        event_id=rows["customer_id"] + "-visit",
        customer_id=rows["customer_id"],
        occurred_at=[_ANSWERED_AT] * len(rows),
        event_type=["page_view"] * len(rows),
        channel=["web"] * len(rows),
        session_id=rows["customer_id"] + "-visit",
        updated_at=[_ANSWERED_AT] * len(rows),
    )


def _campaign() -> pa.Table:
    return _table(
        tables.CAMPAIGNS,
        campaign_id=[CAMPAIGN],
        name=["E-mail test"],
        channel=["email"],
        starts_at=[SENT_AT],
        ends_at=[ENDS_AT],
        cost_per_contact=[Decimal(0)],
        fixed_cost=[Decimal(0)],
        updated_at=[SENT_AT - timedelta(days=1)],
    )


def _contacts(rows: pd.DataFrame) -> pa.Table:
    return _table(
        tables.CAMPAIGN_CONTACTS,
        campaign_id=[CAMPAIGN] * len(rows),
        customer_id=rows["customer_id"],
        arm=rows["arm"],
        contacted_at=[SENT_AT] * len(rows),
        updated_at=[SENT_AT] * len(rows),
    )


def _table(entity: tables.Entity, **columns) -> pa.Table:
    """Columns of an entity in its types; those that are not given, or None, are null."""
    rows = len(next(iter(columns.values())))
    arrays = []
    for field in entity.schema:
        values = columns.get(field.name)
        told = pa.nulls(rows, field.type) if values is None else pa.array(list(values), field.type, from_pandas=True)
        arrays.append(told)
    return pa.Table.from_arrays(arrays, schema=entity.schema)
