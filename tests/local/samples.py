"""Lines of data sets as tests need them: good ones, and any mixture of bad ones."""

import csv
import io

from hypothesis import strategies as st

CDNOW_LINE = " 00004 0001 19970101  2   29.33"

HEADER = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
HEADER_II = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"]
GOOD = ("536365", "85123A", "HEART T-LIGHT", "6", "2010-12-01 08:26:00", "2.55", "17850.0", "United Kingdom")


def line(invoice=None, stock=None, name=None, quantity=None, date=None, price=None, customer=None, country=None):
    """The good line, but for what is given."""
    given_ = (invoice, stock, name, quantity, date, price, customer, country)
    return [good if field is None else field for field, good in zip(given_, GOOD, strict=True)]


def as_csv(rows, header=HEADER):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def cancellation(**fields):
    return line(**{"invoice": "C1", "date": "2010-12-05 09:00:00", "quantity": "-4", **fields})


_FIELDS = st.tuples(
    st.sampled_from(["1", "2", "3", "C1"]),
    st.sampled_from(["A", "B"]),
    st.sampled_from(["mug", 'a "big", mug', "two\nlines", 'stray" quote', ""]),
    st.sampled_from(["1", "2", "70", "0", "-1", "-3", "x"]),
    st.sampled_from(["2010-12-01 08:26:00", "2010-12-02 00:00:00", "z"]),
    st.sampled_from(["0.001", "0.005", "2.55", "1000000.10", "0", "-1", "y"]),
    st.sampled_from(["", "7", "8"]),
    st.sampled_from(["France", ""]),
).map(list)
DIRTY_LINES = st.lists(_FIELDS | st.sampled_from([["a"], [*GOOD, "9"]]), max_size=30)
