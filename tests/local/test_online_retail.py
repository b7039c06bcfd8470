"""Online Retail files: every reason, both spellings, and where each line and cent of a file ends up."""

import itertools
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from local import online_retail
from local.source_file import WrongFile, open_source
from tests.local.samples import DIRTY_LINES, HEADER, HEADER_II, as_csv, cancellation, line


@pytest.fixture
def read(tmp_path):
    """Reads a file of the rows given (or of bytes) as the loader does."""
    names = (tmp_path / f"lines_{number}.csv" for number in itertools.count())

    def read_(content, header=HEADER, said=None):
        path = next(names)
        path.write_bytes(content if isinstance(content, bytes) else as_csv(content, header).encode())

        def progress(text, done, total):
            if said is not None:
                said.append(text)

        source = open_source(path)
        layout = online_retail.layout(next(source.lines(progress)), source.name)
        return online_retail.read(source, layout, progress)

    return read_


def rows(shop, table):
    return shop.tables[table].to_pylist()


def refused(shop):
    """Line number -> reasons."""
    return dict(zip(shop.refused.line_no, shop.refused.reasons, strict=True))


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        (line(customer=""), ("no customer",)),
        (line(customer="nan"), ("no customer",)),
        (line(invoice="C536365"), ("cancelled invoice",)),
        (line(invoice="c536365", quantity="-6"), ("cancelled invoice", "quantity <= 0")),
        (line(quantity="0"), ("quantity <= 0",)),
        (line(quantity="-6"), ("quantity <= 0",)),
        (line(price="0"), ("price <= 0",)),
        (line(price="-11062.06"), ("price <= 0",)),
        (line(date="soon"), ("unreadable date",)),
        (line(date=""), ("unreadable date",)),
        (line(quantity="six"), ("unreadable number",)),
        (line(price="£2.55"), ("unreadable number",)),
        (line(price="nan"), ("unreadable number",)),
        (line(), ("exact duplicate",)),
        (line()[:7], ("wrong number of fields",)),
        ([*line(), "more"], ("wrong number of fields",)),
        (line(quantity="2147483648"), ("out of range",)),
        (line(quantity="2.5"), ("out of range",)),
        (line(price="1e12"), ("out of range",)),
        (line(price="999999999999", quantity="3", invoice="1"), ("out of range",)),
        (line(date="infinity"), ("out of range",)),
        (line(date="9999-12-31 00:00:00"), ("out of range",)),
        (line(name="a\0b"), ("out of range",)),
        (line(invoice=""), ("out of range",)),
        (line(stock="x" * 201), ("out of range",)),
        (
            line(customer="", quantity="-1", price="0", date="?"),
            ("no customer", "quantity <= 0", "price <= 0", "unreadable date"),
        ),
    ],
)
def test_a_line_is_refused_with_all_its_reasons(read, bad, reasons):
    shop = read([line(), bad])

    assert refused(shop) == {3: reasons}
    assert shop.refused.by_foremost() == {reasons[0]: 1}
    assert shop.refused.by_any() == dict.fromkeys(reasons, 1)
    assert (shop.lines, shop.tables["order_items"].num_rows) == (2, 1)


def test_a_refused_line_keeps_its_fields_as_they_were_read(read):
    shop = read([line(), line(customer=" ", name="ünï, \0"), ["x", "y"]], said=[])

    assert shop.refused.rows == [
        '{"InvoiceNo": "536365", "StockCode": "85123A", "Description": "ünï, \u2400", "Quantity": "6", '
        '"InvoiceDate": "2010-12-01 08:26:00", "UnitPrice": "2.55", "CustomerID": " ", "Country": "United Kingdom"}',
        '["x", "y"]',
    ]


def test_lines_are_numbered_as_in_the_file(read):
    text = as_csv([line(), line(name="two\nlines", stock="2"), line(customer="")])

    assert refused(read(text.encode())) == {5: ("no customer",)}


@pytest.mark.parametrize("header", [HEADER, HEADER_II, [name.upper().replace(" ", "_") for name in HEADER_II]])
def test_both_spellings_in_any_order_among_other_columns(read, header):
    order = [7, 3, 0, 6, 1, 5, 2, 4]
    shuffled = ["", *[header[index] for index in order], "Note"]

    shop = read([["0", *[line()[index] for index in order], "x"]], header=shuffled)

    assert rows(shop, "orders")[0]["order_id"] == "536365"
    assert rows(shop, "order_items")[0]["quantity"] == 6
    assert rows(shop, "customers")[0]["country"] == "United Kingdom"


def test_columns_without_a_name_or_with_the_same_one_keep_apart_in_quarantine(read):
    shop = read([["1", *line(customer=""), "x", "y"], ["2", *line(), "x", "y"]], header=["", *HEADER, "a", "a"])

    assert '{"column (1)": "1", "InvoiceNo": "536365"' in shop.refused.rows[0]
    assert '"a": "x", "a (11)": "y"}' in shop.refused.rows[0]


@pytest.mark.parametrize(
    ("prepare", "name"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), "CAFÉ £"),
        (lambda text: text.replace("\n", "\r\n").encode(), "CAFÉ £"),
        (lambda text: text.encode("cp1252"), "CAFÉ £"),
        (lambda text: text.replace("\n", "\r").encode("latin-1"), "CAFÉ £"),
    ],
)
def test_encodings_and_line_ends(read, prepare, name):
    shop = read(prepare(as_csv([line(name=name)])))

    assert rows(shop, "products")[0]["name"] == name
    assert rows(shop, "customers")[0]["country"] == "United Kingdom"


@pytest.mark.parametrize(
    ("dates", "style"),
    [
        (["2010-12-01 08:26:00", "2010-12-13 00:00:00"], "year-month-day"),
        (["12/1/2010 8:26", "12/13/2010 0:00"], "month/day/year"),
        (["1/12/2010 8:26", "13/12/2010 0:00"], "day/month/year"),
    ],
)
def test_date_style_is_decided_for_the_file_and_said(read, dates, style):
    said = []

    shop = read([line(date=dates[0]), line(date=dates[1], invoice="2")], said=said)

    assert [order["ordered_at"] for order in rows(shop, "orders")] == [
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2010, 12, 13, tzinfo=UTC),
    ]
    assert any(style in text for text in said)


def test_tables_of_a_small_file(read):
    shop = read(
        [
            line(),
            line(stock="POST", name="", quantity="1", price="18.00", date="2010-12-01 08:25:00"),
            line(
                invoice="2", customer="17850", date="2011-01-02 10:00:00", price="2.95", country="France", name="HEART"
            ),
            line(invoice="3", customer="12", date="2011-01-03 10:00:00", quantity="3", price="0.001", country=""),
            line(invoice="4", customer="", name="damaged"),
        ]
    )

    start, later, last = (
        datetime(2010, 12, 1, 8, 25, tzinfo=UTC),
        datetime(2011, 1, 2, 10, tzinfo=UTC),
        datetime(2011, 1, 3, 10, tzinfo=UTC),
    )
    no_consent = dict.fromkeys(("email_consent", "sms_consent", "push_consent"), False)
    unknown = dict.fromkeys(("birth_year", "gender", "income_band", "city", "acquisition_channel"))
    common = no_consent | unknown | {"profiling_consent": True}
    assert rows(shop, "customers") == [
        common | {"customer_id": "17850", "signed_up_at": start, "country": "France", "updated_at": start},
        common | {"customer_id": "12", "signed_up_at": last, "country": None, "updated_at": last},
    ]
    # 85123A: two names once, one twice; prices 2.55, 2.95, 0.001
    product = dict.fromkeys(("brand", "unit_cost", "stock_on_hand"))
    assert rows(shop, "products") == [
        product
        | {
            "product_id": "85123A",
            "name": "HEART T-LIGHT",
            "category": "gifts",
            "list_price": Decimal("2.55"),
            "launched_at": datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
            "updated_at": datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        },
        product
        | {
            "product_id": "POST",
            "name": "POST",
            "category": "service",
            "list_price": Decimal("18.00"),
            "launched_at": start,
            "updated_at": start,
        },
    ]
    assert [
        (order["order_id"], order["customer_id"], order["ordered_at"], order["status"], order["total_amount"])
        for order in rows(shop, "orders")
    ] == [
        ("536365", "17850", start, "delivered", Decimal("33.30")),
        ("2", "17850", later, "delivered", Decimal("17.70")),
        ("3", "12", last, "delivered", Decimal("0.00")),
    ]
    assert all(order["channel"] is None and order["discount_amount"] == 0 for order in rows(shop, "orders"))
    assert [tuple(item.values()) for item in rows(shop, "order_items")] == [
        ("536365", 1, "85123A", 6, Decimal("2.55"), 0, start),
        ("536365", 2, "POST", 1, Decimal("18.00"), 0, start),
        ("2", 1, "85123A", 6, Decimal("2.95"), 0, later),
        ("3", 1, "85123A", 3, Decimal("0.00"), 0, last),
    ]


def test_fractions_of_a_cent_are_added_up_before_they_are_rounded(read):
    shop = read([line(price="0.004", quantity="1"), line(price="0.001", quantity="1", stock="2")])

    assert rows(shop, "orders")[0]["total_amount"] == Decimal("0.01")


def test_an_invoice_of_two_customers_is_two_orders(read):
    shop = read(
        [
            line(invoice="1", customer="a"),
            line(invoice="1", customer="b", stock="2"),
            line(invoice="1", customer="a", stock="3"),
            line(invoice="1-b", customer="c"),
            line(invoice="2", customer="c"),
        ]
    )

    assert [(order["order_id"], order["customer_id"]) for order in rows(shop, "orders")] == [
        ("1-a", "a"),
        ("1-b+", "b"),
        ("1-b", "c"),
        ("2", "c"),
    ]
    assert [(item["order_id"], item["line_no"]) for item in rows(shop, "order_items")] == [
        ("1-a", 1),
        ("1-b+", 1),
        ("1-a", 2),
        ("1-b", 1),
        ("2", 1),
    ]


@pytest.mark.parametrize(
    ("lines", "returned", "notes"),
    [
        ([line(), cancellation()], [4], ["returned 4 of order 536365 line 1"]),
        (
            [line(), line(invoice="2", date="2010-12-02 08:26:00"), cancellation(quantity="-7")],
            [1, 6],
            ["returned 6 of order 2 line 1, 1 of order 536365 line 1"],
        ),
        ([line(), cancellation(quantity="-10")], [6], ["returned 6 of order 536365 line 1; found no order for 4 more"]),
        (
            [line(), cancellation(), cancellation(invoice="C2")],
            [6],
            ["returned 4 of order 536365 line 1", "returned 2 of order 536365 line 1; found no order for 2 more"],
        ),
        ([line(), cancellation(), cancellation()], [4], ["returned 4 of order 536365 line 1", None]),
        ([cancellation(), line()], [4], ["returned 4 of order 536365 line 1"]),
        ([line(), cancellation(price="0")], [4], ["returned 4 of order 536365 line 1"]),
        ([line(), cancellation(date="2010-11-05 09:00:00")], [0], ["found no earlier order to return it to"]),
        ([line(), cancellation(customer="1")], [0], ["found no earlier order to return it to"]),
        ([line(), cancellation(stock="1")], [0], ["found no earlier order to return it to"]),
        ([line(), cancellation(customer="")], [0], [None]),
        ([line(), cancellation(date="?")], [0], [None]),
        ([line(), cancellation(quantity="4")], [0], [None]),
    ],
)
def test_cancellations_become_returns(read, lines, returned, notes):
    shop = read(lines)

    assert [item["returned_quantity"] for item in rows(shop, "order_items")] == returned
    assert shop.refused.notes == notes
    assert shop.returns_applied == sum(str(note).startswith("returned") for note in notes)


def test_a_returned_line_was_updated_when_it_was_returned(read):
    shop = read([line(), line(stock="2"), cancellation(quantity="-1"), cancellation(date="2011-01-01", quantity="-2")])

    assert [item["updated_at"] for item in rows(shop, "order_items")] == [
        datetime(2011, 1, 1, tzinfo=UTC),
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("stock_code", "category"),
    [("POST", "service"), ("m", "service"), ("gift_0001_20", "service"), ("ADJUST2", "service"), ("22423", "gifts")],
)
def test_category(stock_code, category):
    assert online_retail.category(stock_code) == category


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (";".join(HEADER), "expected columns parted by commas, found them parted by semicolons in f.csv"),
        ("\t".join(HEADER), "expected columns parted by commas, found them parted by tabs in f.csv"),
        (",".join(HEADER[:-1]), "found no Country in f.csv"),
        (",".join(HEADER_II[1:-1]), "found no InvoiceNo and no Country in f.csv"),
    ],
)
def test_a_wrong_header_gets_one_sentence(header, sentence):
    with pytest.raises(WrongFile) as refusal:
        online_retail.layout(header, "f.csv")

    assert str(refusal.value).endswith(sentence)


def test_another_files_header_is_no_online_retail():
    assert online_retail.layout("recency,history,mens,womens,segment,visit", "f.csv") is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "expected lines after the header, found the header only in lines_0.csv"),
        (
            [line(customer=""), line(customer="", price="0"), ["x"]],
            "expected purchases, found none in the 3 lines of lines_0.csv: "
            "2 no customer, 1 price <= 0, 1 wrong number of fields",
        ),
    ],
)
def test_a_file_without_orders_gets_one_sentence(read, content, sentence):
    with pytest.raises(WrongFile) as refusal:
        read(content)

    assert str(refusal.value) == sentence


def plain_reading(lines):
    """(reasons per line, total per invoice and customer), line by line, as the issue words it."""
    seen, reasons, totals = set(), [], defaultdict(Decimal)
    for fields in lines:
        why = []
        if len(fields) != len(HEADER):
            reasons.append(["wrong number of fields"])
            continue
        invoice, _, _, quantity, date, price, customer, _ = fields
        why += ["no customer"] * (not customer) + ["cancelled invoice"] * invoice.startswith("C")
        readable = quantity != "x" and price != "y"
        why += ["quantity <= 0"] * (quantity != "x" and int(quantity) <= 0)
        why += ["price <= 0"] * (price != "y" and Decimal(price) <= 0)
        why += ["unreadable date"] * (date == "z") + ["unreadable number"] * (not readable)
        why += ["exact duplicate"] * (tuple(fields) in seen)
        seen.add(tuple(fields))
        if not why:
            totals[invoice, customer] += int(quantity) * Decimal(price)
        reasons.append(why)
    rounded = {key: total.quantize(Decimal("0.01"), ROUND_HALF_UP) for key, total in totals.items()}
    return reasons, rounded


@given(DIRTY_LINES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_and_every_cent_has_its_place(read, lines):
    lines = [line(invoice="0", customer="1"), *lines]
    reasons, totals = plain_reading(lines)

    shop = read(lines)

    assert shop.lines == len(lines) == shop.tables["order_items"].num_rows + len(shop.refused.line_no)
    wanted = [tuple(why) for why in reasons if why]
    assert Counter(shop.refused.reasons) == Counter(wanted)
    assert sorted(order["total_amount"] for order in rows(shop, "orders")) == sorted(totals.values())
    items = rows(shop, "order_items")
    assert all(0 <= item["returned_quantity"] <= item["quantity"] for item in items)
    assert len({(item["order_id"], item["line_no"]) for item in items}) == len(items)
