"""The randomised e-mail test of Hillstrom: read line by line, and its effects, with and without a shop around them."""

import datetime as dt
import gzip

import pytest

from local import hillstrom
from local.bench import effects as bench
from local.load import WrongFile, load
from segmentation import evaluate, extract, tables, validate, warehouse
from segmentation.settings import Stores
from tests.segmentation.test_evaluate import results

HEADER = ",".join(hillstrom.COLUMNS)
LINES = [
    "10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0",
    "6,3) $200 - $350,329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.99",
    '1,"6) $750 - $1,000",801.5,1,1,Urban,1,Multichannel,Mens E-Mail,1,0,0',
    "6,3) $200 - $350,329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.99",
    "13,2) $100 - $200,142.44,1,0,Rural,0,Phone,Mens E-Mail,0,0,0",
    "2,2) $100 - $200,-1,1,0,Rural,0,Phone,Mens E-Mail,0,0,0",
    "2,2) $100 - $200,12,1,0,Rural,0,Phone,Mens E-Mail,0,0,5",
    "2,2) $100 - $200,much,1,0,Rural,0,Phone,Kids E-Mail,0,0,0",
    "2,2) $100 - $200",
]
# As the publisher's numbers are told: arm -> visit, conversion, spend
MEANS = {
    "mens_email": ("0.1775", "0.01179", "1.3493"),
    "womens_email": ("0.1550", "0.00886", "1.0177"),
    "control": ("0.1043", "0.00625", "0.6957"),
}


def fetch(dsn, query):
    with warehouse.connect(dsn) as connection:
        return warehouse.fetch(connection, query)


def written(folder, lines):
    path = folder / "test.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *lines, ""]).encode(), mtime=0))
    return str(path)


def test_a_line_is_a_customer_or_refused_with_its_reasons(warehouse_dsn, tmp_path):
    report = load(written(tmp_path, LINES), warehouse_dsn)
    assert (report.lines, report.customers, report.orders, report.day) == (9, 4, 6, dt.date(2008, 4, 3))
    assert report.all_reasons == {
        "price <= 0": 1, "unreadable number": 1, "wrong number of fields": 1, "out of range": 3,
    }  # fmt: skip
    assert fetch(
        warehouse_dsn,
        "select c.customer_id, c.arm, sum(o.total_amount)::float, count(*) "
        "from shop.campaign_contacts as c inner join shop.orders as o using (customer_id) group by 1, 2 order by 1",
    ) == [
        ("hillstrom-2", "womens_email", 142.44, 1),
        ("hillstrom-3", "control", pytest.approx(359.07), 2),
        ("hillstrom-4", "mens_email", 801.5, 1),
        ("hillstrom-5", "control", pytest.approx(359.07), 2),
    ]
    assert fetch(
        warehouse_dsn,
        "select min(ordered_at) >= min(signed_up_at), count(*) filter (where ordered_at >= contacted_at), "
        "bool_and(ordered_at < ends_at), bool_and(signed_up_at < ordered_at) from shop.orders "
        "inner join shop.customers using (customer_id) inner join shop.campaign_contacts using (customer_id) "
        "inner join shop.campaigns using (campaign_id)",
    ) == [(True, 2, True, True)]
    assert fetch(warehouse_dsn, "select count(*) from shop.events") == [(3,)]
    assert not load(written(tmp_path, LINES), warehouse_dsn).is_new


def test_a_file_without_a_customer_is_refused(warehouse_dsn, tmp_path):
    with pytest.raises(WrongFile, match=r"found no customer in the 2 lines of test\.csv\.gz"):
        load(written(tmp_path, LINES[-2:]), warehouse_dsn)


@pytest.fixture
def published(real_data):
    path = real_data / "hillstrom_half.csv.gz"
    if not path.exists():
        pytest.skip(f"Hillstrom's e-mail test is not at {path}; FENQUN_REAL_DATA names its folder")
    return str(path)


def rounded(value: float, as_printed: str) -> str:
    return f"{value:.{len(as_printed) - 2}f}"


def test_the_files_own_outcomes_as_published(published):
    for arm, outcome, plain, sharper in bench.measure(published):
        place = bench.OUTCOMES.index(outcome)
        assert rounded(plain.treatment_mean, MEANS[arm][place]) == MEANS[arm][place]
        assert rounded(plain.control_mean, MEANS["control"][place]) == MEANS["control"][place]
        assert plain.low < plain.difference < plain.high
        assert sharper.low < sharper.difference < sharper.high
        # the adjustment moves the estimate by much less than chance does
        assert abs(sharper.difference - plain.difference) < 0.2 * plain.error


def test_the_whole_way_through_the_shop_gives_the_same_effects(published, warehouse_dsn, tmp_path):
    stores = Stores(warehouse=warehouse_dsn, marketing=warehouse_dsn, lake=str(tmp_path / "lake"), registry="")
    report = load(published, stores.warehouse)
    assert (report.lines, report.customers, report.quarantined) == (32_134, 32_134, {})
    for entity in tables.ENTITIES:
        extract.extract_entity(entity, report.day, stores)
    validate.accept_raw(report.day, stores)
    told = evaluate.evaluate_campaigns(report.day, stores)
    assert (told["campaigns"], told["running"]) == (1, 0)
    found = results(stores, "design = 'randomised' and segment_id is null")
    direct = {(arm, outcome): plain for arm, outcome, plain, _ in bench.measure(published)}
    for arm in ("mens_email", "womens_email"):
        for place, (metric, outcome) in enumerate((("conversion", "conversion"), ("revenue", "spend")), start=1):
            row, plain = found["hillstrom", "randomised", arm, metric, None], direct[arm, outcome]
            assert rounded(row["treatment_mean"], MEANS[arm][place]) == MEANS[arm][place]
            assert rounded(row["control_mean"], MEANS["control"][place]) == MEANS["control"][place]
            ends = (row["difference"], row["difference_low"], row["difference_high"], row["p_value"])
            assert ends == pytest.approx((plain.difference, plain.low, plain.high, plain.p_value))
            assert (row["treatment_customers"], row["is_trusted"]) == (plain.treatment_customers, True)
            assert row["adjusted_low"] < row["adjusted_difference"] < row["adjusted_high"]
        margin = found["hillstrom", "randomised", arm, "margin", None]
        assert (margin["difference"], margin["roi"]) == (None, None)
        assert margin["note"].startswith("unit costs are known for 0%")
