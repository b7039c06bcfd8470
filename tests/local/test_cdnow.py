"""CDNOW files: one order a line, free CDs included."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local import cdnow
from local.source_file import WrongFile, open_source
from tests.local.samples import CDNOW_LINE


@pytest.fixture
def read(tmp_path):
    """Reads a file of the lines given as the loader does."""

    def silent(text, done, total):
        pass

    def read_(lines):
        path = tmp_path / "cdnow.txt"
        path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
        source = open_source(path)
        return cdnow.read(source, cdnow.layout(source.lines(silent)), silent)

    return read_


def rows(shop, table):
    return shop.tables[table].to_pylist()


def test_tables_of_a_small_file(read):
    shop = read([CDNOW_LINE, " 00021 0002 19970102  3   10.00", " 00004 0001 19970118  1    0.00"])

    first, second = datetime(1997, 1, 1, tzinfo=UTC), datetime(1997, 1, 2, tzinfo=UTC)
    assert [tuple(order[name] for name in ("order_id", "customer_id", "ordered_at", "status", "total_amount"))
            for order in rows(shop, "orders")] == [
        ("cdnow-1", "00004", first, "delivered", Decimal("29.33")),
        ("cdnow-2", "00021", second, "delivered", Decimal("10.00")),
        ("cdnow-3", "00004", datetime(1997, 1, 18, tzinfo=UTC), "delivered", Decimal("0.00")),
    ]  # fmt: skip
    assert [tuple(item.values())[:6] for item in rows(shop, "order_items")] == [
        ("cdnow-1", 1, "cd", 2, Decimal("14.67"), 0),  # 14.665, half up
        ("cdnow-2", 1, "cd", 3, Decimal("3.33"), 0),  # the order's total stays 10.00
        ("cdnow-3", 1, "cd", 1, Decimal("0.00"), 0),
    ]
    assert [(c["customer_id"], c["signed_up_at"], c["country"]) for c in rows(shop, "customers")] == [
        ("00004", first, None),
        ("00021", second, None),
    ]
    assert all(c["profiling_consent"] and not c["email_consent"] for c in rows(shop, "customers"))
    (product,) = rows(shop, "products")
    assert (product["product_id"], product["name"], product["category"]) == ("cd", "CD", "music")
    assert (product["list_price"], product["launched_at"]) == (Decimal("3.33"), first)


def test_the_master_files_layout(read):
    shop = read([" 00001 19970101  1   11.77", " 00002 19970112  1   12.00"])

    assert [order["customer_id"] for order in rows(shop, "orders")] == ["00001", "00002"]


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        (" 00004 0001 19970101  0   29.33", ("quantity <= 0",)),
        (" 00004 0001 19970101 -2   29.33", ("quantity <= 0",)),
        (" 00004 0001 19970101  2  -29.33", ("price <= 0",)),
        (" 00004 0001 19971301  2   29.33", ("unreadable date",)),
        (" 00004 0001 970101    2   29.33", ("unreadable date",)),
        (" 00004 0001 19970101  x   29.33", ("unreadable number",)),
        (" 00004 0001 19970101  2   29,33", ("unreadable number",)),
        ("00004 0001  19970101  2   29.33 ", ("exact duplicate",)),
        (" 00004 0001 19970101  2", ("wrong number of fields",)),
        (" 00004 0001 19970101  2   29.33 1", ("wrong number of fields",)),
        ("", ("wrong number of fields",)),
        (" 00004 0001 19970101  9999999999 29.33", ("out of range",)),
        (" 00004 0001 19970101  1  1e14", ("out of range",)),
        (" 00004 0001 99991231  2   29.33", ("out of range",)),
        (" 00004 0001 nan  0  -1.00", ("quantity <= 0", "price <= 0", "unreadable date")),
    ],
)
def test_a_line_is_refused_with_all_its_reasons(read, bad, reasons):
    shop = read([CDNOW_LINE, bad, " 00021 0002 19970102  3   10.00"])

    assert dict(zip(shop.refused.line_no, shop.refused.reasons, strict=True)) == {2: reasons}
    assert (shop.lines, shop.tables["orders"].num_rows) == (3, 2)


def test_blank_lines_at_the_end_are_no_lines(read):
    assert read([CDNOW_LINE, "", " ", "\x1a"]).lines == 1


def test_refused_fields_are_kept_by_name_where_they_have_one(read):
    shop = read([CDNOW_LINE, CDNOW_LINE, " 00004 x"])

    assert shop.refused.rows == [
        '{"master_id": "00004", "sample_id": "0001", "date": "19970101", "cds": "2", "dollars": "29.33"}',
        '["00004", "x"]',
    ]


def test_a_file_without_orders_gets_one_sentence(read):
    with pytest.raises(WrongFile, match=r"found none in the 1 line of cdnow\.txt: 1 unreadable date$"):
        read([" 00004 0001 19971301  2   29.33"])


@pytest.mark.parametrize(
    ("lines", "columns"),
    [
        ([CDNOW_LINE], cdnow.SAMPLE),
        (["", " 00001 19970101  1   11.77"], cdnow.MASTER),
        (["id date cds dollars", CDNOW_LINE, CDNOW_LINE], cdnow.SAMPLE),
        (["a,b,c"], None),
        ([], None),
        (["1 2 3", "4 5 6", CDNOW_LINE], None),
    ],
)
def test_layout(lines, columns):
    assert cdnow.layout(lines) == columns


_FIELDS = st.tuples(
    st.sampled_from(["00004", "00005"]),
    st.just("0001"),
    st.sampled_from(["19970101", "19970230", "19980630"]),
    st.sampled_from(["1", "3", "0", "-1", "x"]),
    st.sampled_from(["0.00", "29.33", "-5.00", "y", "12.005"]),
)


@given(st.lists(_FIELDS.map(" ".join) | st.just("1 2"), max_size=25))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_has_its_place(read, lines):
    lines = [CDNOW_LINE] * 30 + lines

    shop = read(lines)

    assert shop.lines == len(lines) == shop.tables["orders"].num_rows + len(shop.refused.line_no)
    assert shop.tables["order_items"].num_rows == shop.tables["orders"].num_rows
