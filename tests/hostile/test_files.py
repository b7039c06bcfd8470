"""
Files that mean harm, through the loader: every line is in the shop or in quarantine with a reason, once, or the file is
refused in one sentence and nothing has changed.
"""

import csv
import gzip
import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local import delimited, load
from local.hillstrom import COLUMNS as HILLSTROM
from local.shop import REASONS
from local.source_file import open_source
from segmentation import warehouse
from tests.hostile.values import NUMBERS, TEXT, TIMES
from tests.local.samples import CDNOW_LINE, GOOD, HEADER, HEADER_II, as_csv, line

ANY = TEXT | NUMBERS | TIMES | st.sampled_from(["a\0b", "\x00", "\x1a", "1e999", "1e-999", "9" * 400, "0x10", "١٢"])
SOUND_E_MAIL = ("10", "2) $100 - $200", "142.44", "1", "0", "Surburban", "0", "Phone", "Mens E-Mail", "0", "0", "0")
QUIET = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


def mostly(sound):
    """Lines of which most fields are as they should be, so that what is not gets past the first check."""
    fields = [st.just(field) | st.just(field) | st.just(field) | ANY for field in sound]
    return st.tuples(*fields).map(list)


def printed(header, rows):
    """Some files quote what needs it, some do not know of quotes."""
    quoted = rows.map(lambda each: as_csv(each, header))
    bare = rows.map(lambda each: "\n".join(",".join(fields) for fields in [header, *each]) + "\n")
    return (quoted | bare).map(lambda text: text.encode())


RETAIL = st.sampled_from([HEADER, HEADER_II]).flatmap(
    lambda header: printed(header, st.lists(mostly(GOOD), max_size=8).map(lambda rows: [line(invoice="0"), *rows]))
)
E_MAILS = printed(HILLSTROM, st.lists(mostly(SOUND_E_MAIL), max_size=8).map(lambda rows: [list(SOUND_E_MAIL), *rows]))
CDS = st.lists(mostly(CDNOW_LINE.split()).map(" ".join), max_size=8).map(
    lambda rows: "\n".join([CDNOW_LINE] * 3 + rows + [CDNOW_LINE]).encode()
)
LINES = RETAIL | E_MAILS | CDS


@st.composite
def damaged(draw):
    """A file with bytes of anybody's in the middle, or that breaks off, in any encoding, packed or not."""
    data = draw(LINES)
    if draw(st.booleans()):
        data = data.decode().encode(draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "gb18030", "utf-7"])))
    place = draw(st.integers(0, len(data)))
    data = data[:place] + draw(st.binary(max_size=12)) + data[draw(st.integers(place, len(data))) :]
    if draw(st.booleans()):
        data = gzip.compress(data, mtime=0)[: draw(st.integers(0, 10**4))]
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def written(folder, data, name="shop.csv"):
    path = Path(folder) / name
    path.write_bytes(data)
    return path


def assert_refused_in_a_sentence(error):
    assert str(error).startswith("expected ")
    assert "\n" not in str(error)
    assert len(str(error)) < 500


def assert_adds_up(shop):
    """Each line once; no key twice; nothing that the shop's tables or jsonb cannot hold; every reason a known one."""
    loaded = shop.tables.get("campaign_contacts") or shop.tables["order_items"]
    assert shop.lines == loaded.num_rows + len(shop.refused.line_no)
    assert len(set(shop.refused.line_no)) == len(shop.refused.line_no)
    assert all(reasons and set(reasons) <= set(REASONS) for reasons in shop.refused.reasons)
    assert not [row for row in shop.refused.rows if "\\u0000" in row.replace("\\\\", "")]
    for name, key in (("customers", "customer_id"), ("orders", "order_id"), ("products", "product_id")):
        ids = Counter(shop.tables[name][key].to_pylist())
        assert all(count == 1 for count in ids.values()), (name, ids)
        assert all(each and len(each) <= 2 * 200 + 1 and "\0" not in each for each in ids)
    people = set(shop.tables["customers"]["customer_id"].to_pylist())
    assert set(shop.tables["orders"]["customer_id"].to_pylist()) <= people
    for amount in shop.tables["orders"]["total_amount"].to_pylist():
        assert 0 <= amount < 10**12
    for moment in shop.tables["orders"]["ordered_at"].to_pylist():
        assert 1901 <= moment.year < 2200


@given(LINES | damaged())
@settings(max_examples=250, **QUIET)
def test_whatever_is_in_a_file_every_line_is_accounted_for(folder, data):
    path = written(folder, data)
    try:
        shop = load._reader(open_source(path), lambda *_: None)()
    except load.WrongFile as error:
        assert_refused_in_a_sentence(error)
    else:
        assert_adds_up(shop)


@given(st.binary(max_size=300))
@settings(max_examples=100, **QUIET)
def test_bytes_of_anybodys_are_refused_in_a_sentence(folder, data):
    with pytest.raises(load.WrongFile) as told:
        load._reader(open_source(written(folder, data)), lambda *_: None)
    assert_refused_in_a_sentence(told.value)


@given(st.lists(st.lists(TEXT | st.just("a\0b"), min_size=3, max_size=3), max_size=10))
@settings(max_examples=150, **QUIET)
def test_what_a_spreadsheet_has_quoted_is_read_as_python_reads_it(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    lines = io.StringIO(text.getvalue(), newline="\n")
    assert [fields for _, fields in delimited.split(lines, width=3)] == rows


@pytest.fixture(scope="module")
def dsn(new_warehouse):
    with new_warehouse() as made:
        yield made


CONTENTS = """
select (select count(*) from shop.order_items), (select count(*) from shop.orders),
    (select count(*) from shop.customers), (select count(*) from shop.campaign_contacts),
    (select count(*) from quarantine.rows), (select coalesce(sum(lines), 0)::bigint from quarantine.loads)
"""


@given(LINES)
@settings(max_examples=20, **QUIET)
def test_whatever_is_in_a_file_the_warehouse_holds_it(folder, dsn, data):
    with warehouse.connect(dsn) as connection:
        before = warehouse.fetch(connection, CONTENTS)
    try:
        report = load.load(str(written(folder, data)), dsn)
    except load.WrongFile as error:
        assert_refused_in_a_sentence(error)
        with warehouse.connect(dsn) as connection:
            assert warehouse.fetch(connection, CONTENTS) == before
        return
    with warehouse.connect(dsn) as connection:
        [(items, orders, customers, contacts, refused, lines)] = warehouse.fetch(connection, CONTENTS)
        reasons = warehouse.fetch(
            connection, "select r, count(*) from quarantine.rows, unnest(reasons) as r group by 1"
        )
    assert (orders, customers, lines) == (report.orders, report.customers, report.lines)
    assert lines == (contacts or items) + refused
    assert dict(reasons) == report.all_reasons


def test_a_name_of_a_file_is_data(dsn, folder):
    """It is in quarantine and in the report, whatever it is."""
    for name in ("'; drop table shop.orders; --.csv", "%s :sha256 {x}.csv", "-rf.csv", "分群\u202e.csv"):
        path = written(folder, as_csv([line(), line(customer="")]).encode(), name)
        assert load.load(str(path), dsn).source == name
        with warehouse.connect(dsn) as connection:
            assert warehouse.fetch(connection, "select source from quarantine.rows") == [(name,)]


def test_a_small_file_that_unpacks_to_one_endless_line_is_refused(folder):
    with pytest.raises(load.WrongFile, match="binary"):
        open_source(written(folder, gzip.compress(b"InvoiceNo," * 10**6)))
