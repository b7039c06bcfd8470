"""The loader on the real files, against what their publishers and others say of them."""

from datetime import date
from decimal import Decimal

import pytest

from local.load import load
from segmentation import warehouse


def fetch(dsn, query):
    with warehouse.connect(dsn) as connection:
        return warehouse.fetch(connection, query)


def test_online_retail_as_published(warehouse_dsn, real_data):
    path = real_data / "online_retail_2010_2011.csv.gz"
    if not path.exists():
        pytest.skip(f"the UCI Online Retail file is not at {path}; FENQUN_REAL_DATA names its folder")

    report = load(str(path), warehouse_dsn)

    assert (report.lines, report.order_items, report.orders, report.customers) == (541_909, 392_692, 18_532, 4_338)
    assert report.all_reasons == {
        "no customer": 135_080,
        "cancelled invoice": 9_288,
        "quantity <= 0": 10_624,
        "price <= 0": 2_517,
        "exact duplicate": 5_268,
    }
    assert report.day == date(2011, 12, 10)
    assert 7_000 < report.returns_applied < 9_288
    assert fetch(
        warehouse_dsn,
        """
        select count(*), count(distinct customer_id), sum(total_amount), sum(total_amount) filter (where is_early),
            count(*) filter (where is_early), count(distinct customer_id) filter (where is_early)
        from (select *, ordered_at < '2011-09-10' as is_early from shop.orders) as orders
        """,
    ) == [(18_532, 4_338, Decimal("8887208.89"), Decimal("5442978.64"), 11_906, 3_370)]
    assert fetch(
        warehouse_dsn,
        """
        select count(*), count(distinct line_no), min(line_no) > 1, max(line_no) <= 541910
        from quarantine.rows
        """,
    ) == [(541_909 - 392_692, 541_909 - 392_692, True, True)]
    # A famous one: 80,995 paper birds, bought and returned within minutes.
    assert fetch(
        warehouse_dsn,
        "select quantity, returned_quantity, updated_at::text from shop.order_items where order_id = '581483'",
    ) == [(80_995, 80_995, "2011-12-09 09:27:00+00")]


def test_cdnow_as_published(warehouse_dsn, real_data):
    path = real_data / "cdnow_sample.txt"
    if not path.exists():
        pytest.skip(f"the CDNOW sample is not at {path}; FENQUN_REAL_DATA names its folder")

    report = load(str(path), warehouse_dsn)

    assert (report.lines, report.orders, report.customers) == (6_919, 6_898, 2_357)
    assert report.quarantined == {"exact duplicate": 21}
    assert report.day == date(1998, 7, 1)
