"""Addresses and names that lead elsewhere: for the lake, its pages and its files, whoever chose them."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from segmentation import campaign_results, lake, personal_export, segment_export, warehouse
from segmentation import settings as configuration
from segmentation_airflow import data_docs_pages
from segmentation_airflow import stores as airflow_stores
from tests import frames
from tests.hostile.values import INJECTIONS, TEXT

DAY = frames.DAY


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "no absolute path"),
        ("lake", "no absolute path"),
        ("./lake", "no absolute path"),
        ("~/lake", "no absolute path"),
        ("file://lake", "no absolute path"),
        ("/lake/../etc", "leads elsewhere"),
        ("s3://bucket/../other", "leads elsewhere"),
        ("file:///a/..", "leads elsewhere"),
        ("simplecache::s3://bucket", "leads elsewhere"),
        ("/lake*", "patterns"),
        ("/lake[1]", "patterns"),
        ("/lake{a,b}", "patterns"),
        ("/lake\n", "printed"),
        (" /lake", "printed"),
        ("/la\0ke", "printed"),
        ("s3://", "no bucket"),
        ("http://example.org/lake", "nothing that files can be kept in"),
        ("memory://lake", "kept in"),
        ("data://text/plain", "kept in"),
        ("nosuch://bucket", "kept in"),
        ("zip://a.zip", "kept in"),
        ("local://lake", "kept in"),  # of the working directory, though fsspec knows it
        ("filecache://lake", "kept in"),
        ("dir://lake", "kept in"),
        ("hf://datasets/lake", "kept in"),
        ("gist://lake", "kept in"),
    ],
)
def test_an_address_that_is_no_place_for_a_lake_is_refused(uri, why):
    with pytest.raises(lake.LakeUriError, match=why):
        lake.checked(uri)


@pytest.mark.parametrize(
    "uri", ["s3://key:s3cr3t@bucket/lake", "s3://bucket/lake?secret=s3cr3t", "sftp://me:s3cr3t@host/x"]
)
def test_a_login_in_the_address_is_refused_and_not_repeated(uri):
    with pytest.raises(lake.LakeUriError, match="login") as told:
        lake.checked(uri)
    assert "s3cr3t" not in str(told.value)


@pytest.mark.parametrize(
    "uri",
    ["/lake", "/srv/my lake/分群", "file:///srv/lake", "s3://bucket/a/b", "gs://bucket", "abfs://container@account/x"],
)
def test_other_addresses_are_taken(uri):
    assert lake.checked(uri) == uri


def test_every_task_is_held_to_it(monkeypatch):
    for name in ("SHOP_WAREHOUSE", "MARKETING"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", "postgres://u:p@h:1/d")
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", "http://mlflow:5000")
    monkeypatch.setenv("LAKE_URI", "/lake/../../etc")
    with pytest.raises(lake.LakeUriError):
        airflow_stores.stores()


def test_so_is_the_page_of_the_data_docs(monkeypatch):
    monkeypatch.setenv("LAKE_URI", "/lake/../../etc")
    with pytest.raises(lake.LakeUriError, match="leads elsewhere"):
        data_docs_pages.text_of("index.html")


def test_a_lake_may_lie_at_an_awkward_address(tmp_path):
    here = lake.checked(str(tmp_path / 'a lake\'s "place" ; -- 分群 %41 $x #1'))
    frames_of = frames.table(frames.tables.CUSTOMERS, [{"customer_id": "a"}])
    for day in (DAY, DAY):
        lake.write(here, "raw.customers", day, frames_of.to_batches(), frames_of.schema)
    assert lake.days_of(here, "raw.customers") == [DAY]
    statement = "select customer_id from raw.customers"
    [row] = frames.engine.table_of(
        frames.engine.query(statement, {"raw.customers": lake.existing(here, "raw.customers", DAY)})
    ).to_pylist()
    assert row == {"customer_id": "a"}


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """Data Docs in a lake, a file beside them, and a link from the one to the other; what their page hands out."""
    monkeypatch.setenv("LAKE_URI", str(tmp_path / "lake"))
    folder = Path(configuration.data_docs_of(str(tmp_path / "lake")))
    (folder / f"{DAY}").mkdir(parents=True)
    (folder / "campaigns").mkdir()
    (folder / f"{DAY}" / "index.html").write_text("fine")
    (folder / "campaigns" / "k1.html").write_text("fine")
    (tmp_path / "lake" / "secret.html").write_text("secret")
    (folder / "linked.html").symlink_to(tmp_path / "lake" / "secret.html")
    (folder / "2026-01-01").symlink_to(tmp_path / "lake")
    (folder / "campaigns" / "linked.html").symlink_to("/etc/passwd")

    def page(path):
        try:
            return data_docs_pages.text_of(path)
        except data_docs_pages.HTTPException as error:
            return error.status_code

    return page


@pytest.mark.parametrize("path", [f"{DAY}/index.html", "campaigns/k1.html"])
def test_pages_of_the_data_docs_are_handed_out(docs, path):
    assert docs(path) == "fine"


@pytest.mark.parametrize(
    "path",
    [
        "linked.html",
        "2026-01-01/secret.html",
        "campaigns/linked.html",
        "../secret.html",
        f"{DAY}/../../secret.html",
        "/etc/passwd",
        "//etc/passwd.html",
        "....//secret.html",
        "campaigns/../../secret.html",
        "%2e%2e/secret.html",
        "a\0.html",
        "",
    ],
)
def test_nothing_else_is_not_even_by_a_link(docs, path):
    assert docs(path) == 404


# Paths of pieces that mean something to a file system, and of some that are there
PIECES = st.sampled_from(["..", ".", "/", "//", "\\", "%2e", "~", "\0", f"{DAY}", "campaigns", "index.html", "k1.html",
                          "secret.html", "linked.html", "lake", "data_docs", ".html"]) | TEXT  # fmt: skip


@given(st.lists(PIECES, min_size=1, max_size=7).map("".join) | st.lists(PIECES, min_size=1, max_size=5).map("/".join))
@example(f"{DAY}/index.html")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_for_nothing_but_the_pages_is_handed_out(docs, path):
    assert docs(path) in ("fine", 404)


@given(st.lists(TEXT, min_size=2, max_size=6, unique=True))
@settings(max_examples=150, deadline=None)
def test_whatever_a_campaign_is_called_its_page_has_a_name_of_its_own(ids):
    files = [campaign_results.file_of(each) for each in ids]
    assert len(set(files)) == len(ids)
    for file in files:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}\.html", file)
        assert data_docs_pages.PAGE.fullmatch(f"campaigns/{file}")
        assert file != "index.html"


def test_what_is_kept_of_a_person_lies_where_the_id_cannot_choose(stores):
    asked = [each for each in INJECTIONS if each.strip() and len(each) < 200]
    frames.write_raw(stores, customers=[{"customer_id": each} for each in dict.fromkeys(asked)])
    paths = set()
    for each in asked[:12]:
        told = personal_export.export_customer(each, frames.dt.datetime(2026, 2, 1, tzinfo=frames.dt.UTC), stores)
        assert re.fullmatch(r"exports/customers/[0-9a-f]+\.json", told["path"].removeprefix(f"{stores.lake}/"))
        paths.add(told["path"])
    assert len(paths) == 12
    for each in ("a\0b", "\ud800"):
        assert not warehouse.can_hold(each)
        with pytest.raises(personal_export.NobodyError):
            personal_export.export_customer(each, frames.dt.datetime(2026, 2, 1, tzinfo=frames.dt.UTC), stores)


@pytest.mark.parametrize("kind", ["../../x", "csv/../../../x", "csv\0", "exe", ""])
def test_a_segments_file_is_of_two_kinds(stores, kind):
    with pytest.raises(ValueError, match="exported as csv or parquet"):
        segment_export.export_segment(1, kind, stores)
