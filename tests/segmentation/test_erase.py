"""Who is erased is nowhere any more, whoever looks, and does not come back; of the others nothing changes."""

import contextlib
import datetime as dt
import logging
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from segmentation import erase, erasure_scan, erasures, features, lake, publish, registry, tables, validate, warehouse
from tests import frames
from tests.segmentation import erasable
from tests.segmentation.erasable import DAY, OTHERS
from tests.segmentation.test_publish import put_scores

WHO = "zq7-unique"
AWKWARD = """o'zq "7" <é&x>/9\\%s"""


@pytest.fixture(scope="module")
def _new_registry(tmp_path_factory):
    """Making its tables takes MLflow some seconds."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    registry.Registry(f"sqlite:///{path}").artifact_roots()
    return path


@pytest.fixture(autouse=True)
def _registry(_new_registry, tmp_path):
    shutil.copy(_new_registry, tmp_path / "mlflow.db")


def fetch(stores, query, **parameters):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(connection, query, parameters)


@pytest.mark.parametrize("who", [WHO, "98765", AWKWARD])
def test_nothing_is_left_of_a_person_and_everything_of_the_others(stores, tmp_path, caplog, who):
    logs = tmp_path / "logs"
    erasable.fill(stores, who, logs)
    assert len(erasable.search(stores, who, logs)) > 20
    before = erasable.rows(stores)
    caplog.set_level(logging.INFO)

    told = erase.erase_customers([who], stores, "run-1", [str(logs)])

    assert erasable.search(stores, who, logs) == []
    assert who not in caplog.text
    after = erasable.rows(stores)
    for place, rows in before.items():
        gone = set(rows) - set(after[place])
        marks = ("zq" if "zq" in who else who, "theirs-1", "98765-e")
        assert all(any(mark in row for mark in marks) for row in gone), place
    assert told["persons"] == told["tombstones"] == 1
    assert told["removed"]["history/order_items"] == 2  # both versions of the item, and not the one that moved
    assert told["removed"]["history/events"] == 3  # with the mark of the deleted one
    # what was kept of who was drawn for a campaign, and of the choice
    assert told["removed"]["feat/contact_examples"] == told["removed"]["score/strategy_daily"] == 1
    assert told["removed"]["quarantine.rows"] == 4
    assert told["removed"]["quality.results"] == 4
    assert told["removed"]["logs"] == 1
    assert (logs / "dag_id=d" / "attempt=1.log").read_text().endswith("\nlast line\n")
    assert told["looked_at"]["tables"] > 20
    assert told["looked_at"]["MLflow files"] >= 2

    [(finished, looked_at)] = fetch(stores, "select finished_at is not null, scanned from privacy.erasures")
    assert finished
    assert looked_at["tombstones"] == 1
    last = "select customer_id, change, from_segment_id from marketing.segment_changes order by change_id desc limit 1"
    assert fetch(stores, last) == [(who, "erased", None)]
    assert fetch(stores, "select row_count from marketing.snapshots order by 1") == [(12,), (12,)]
    assert fetch(stores, "select count(*) from marketing.customer_segments") == [(12,)]


def test_once_more_it_finds_nothing_to_do(stores, tmp_path):
    erasable.fill(stores, WHO, tmp_path / "logs")
    erase.erase_customers([WHO], stores)
    files = sorted(path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*.parquet"))
    assert erase.erase_customers([WHO], stores)["removed"] == {}
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*.parquet")) == files
    assert fetch(stores, "select count(*) from marketing.segment_changes where change = 'erased'") == [(1,)]
    assert fetch(stores, "select count(*), count(finished_at) from privacy.erasures") == [(2, 2)]
    assert fetch(stores, "select count(*) from privacy.unfinished") == [(0,)]


def test_who_waits_in_the_table_of_requests_is_erased_and_asked_for_no_more(stores, tmp_path):
    erasable.fill(stores, WHO, tmp_path / "logs")
    assert erase.erase_customers([], stores) == {"persons": 0, "removed": {}, "looked_at": {}, "tombstones": 0}
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "insert into privacy.requests (customer_id) values (:id)", {"id": WHO})
    assert erase.erase_customers(["nobody"], stores)["persons"] == 2
    assert fetch(stores, "select count(*) from privacy.requests") == [(0,)]
    assert erasable.search(stores, WHO, tmp_path / "logs") == [str(tmp_path / "logs" / "dag_id=d" / "attempt=1.log")]


@pytest.mark.parametrize("wrong", ["", "  ", "a\x00b"])
def test_what_cannot_be_an_id_is_refused(stores, wrong):
    with pytest.raises(ValueError, match="1 of 2 ids cannot be"):
        erase.erase_customers(["a", wrong], stores)
    assert fetch(stores, "select count(*) from privacy.erasures") == [(0,)]


def test_a_place_that_cannot_be_cleaned_fails_the_run_and_is_named(stores, tmp_path):
    erasable.fill(stores, WHO, tmp_path / "logs")
    copy = tmp_path / "lake" / "models" / "m" / "1" / "MLmodel"
    copy.parent.mkdir(parents=True)
    copy.write_text(f"made by {WHO}")
    with pytest.raises(erase.NotErasedError, match=r"1 persons .* 1 places: .*/models/m/1/MLmodel: 1") as caught:
        erase.erase_customers([WHO], stores)
    assert WHO not in str(caught.value)
    assert fetch(stores, "select count(*) from privacy.erasures where finished_at is null") == [(1,)]
    copy.unlink()
    erase.erase_customers([WHO], stores)
    assert fetch(stores, "select count(*), count(finished_at) from privacy.erasures") == [(1, 1)]


def test_a_lake_that_is_away_proves_nothing(stores, tmp_path, monkeypatch):
    logs = tmp_path / "logs"
    erasable.fill(stores, WHO, logs)
    scan, folder = erasure_scan.scan, Path(stores.lake)

    def without_the_lake(*arguments):
        away = folder.rename(folder.with_suffix(".away"))
        try:
            return scan(*arguments)
        finally:
            away.rename(folder)

    with monkeypatch.context() as patch:
        patch.setattr(erasure_scan, "scan", without_the_lake)
        with pytest.raises(
            erasure_scan.NotLookedThroughError, match=r"does not show (\d+) of \1 files .* nothing is proved"
        ):
            erase.erase_customers([WHO], stores, "run-1", [str(logs)])
    assert fetch(stores, "select count(*) from privacy.erasures where finished_at is not null") == [(0,)]
    assert erase.erase_customers([WHO], stores, "run-2", [str(logs)])["persons"] == 1
    assert erasable.search(stores, WHO, logs) == []


def test_what_the_source_still_has_is_not_let_in(stores, tmp_path):
    erasable.fill(stores, WHO, tmp_path / "logs")
    erase.erase_customers([WHO], stores, logs=[str(tmp_path / "logs")])
    later, at = DAY + dt.timedelta(days=1), dt.date(2026, 1, 31)
    frames.stage(
        stores, later,
        customers=[{"customer_id": name, "updated_at": at} for name in (WHO, OTHERS[0])],
        products=[{"product_id": "p1", "updated_at": at}],
        orders=[
            {"order_id": "theirs-1", "customer_id": WHO, "updated_at": at, "ordered_at": at},
            {"order_id": "theirs-2", "customer_id": WHO, "updated_at": at, "ordered_at": at},
            {"order_id": "others-2", "customer_id": OTHERS[0], "updated_at": at, "ordered_at": at},
        ],
        order_items=[{"order_id": f"{name}-2", "updated_at": at} for name in ("theirs", "others")],
        events=[{"event_id": "e9", "customer_id": WHO, "occurred_at": at, "updated_at": at}],
    )  # fmt: skip
    found = validate.accept_raw(later, stores)["tables"]
    kept_out = {table: each["kept_out"] for table, each in found.items() if each["kept_out"]}
    assert kept_out == {"raw.customers": 1, "raw.orders": 2, "raw.order_items": 1, "raw.events": 1}
    assert all(each["quarantined"] == 0 for each in found.values())
    assert erasable.search(stores, WHO, tmp_path / "none") == []

    # An item that comes later than its order does not say whose it is
    after = later + dt.timedelta(days=1)
    items = [{"order_id": f"{name}-2", "returned_quantity": 1, "updated_at": later} for name in ("theirs", "others")]
    frames.stage(stores, after, order_items=items)
    found = validate.accept_raw(after, stores)["tables"]["raw.order_items"]
    assert (found["kept_out"], found["accepted"], found["quarantined"]) == (1, 1, 0)

    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "delete from privacy.kept_out")
    last = after + dt.timedelta(days=1)
    frames.stage(stores, last, customers=[{"customer_id": WHO, "updated_at": after}])
    assert validate.accept_raw(last, stores)["tables"]["raw.customers"]["accepted"] == 1


def test_a_stage_and_an_erasure_wait_for_each_other(stores, tmp_path, monkeypatch):
    """Features that are being built when the erasure begins do not hold the person when it has ended."""
    erasable.fill(stores, WHO, tmp_path / "logs")
    is_reading, may_go_on, order = threading.Event(), threading.Event(), []
    write = lake.write

    def slowly(*arguments, **options):
        is_reading.set()
        assert may_go_on.wait(60)
        done = write(*arguments, **options)
        order.append("features")
        return done

    monkeypatch.setattr(lake, "write", slowly)
    stage = threading.Thread(target=features.build_features, args=(DAY, stores))
    stage.start()
    assert is_reading.wait(60)
    erasure = threading.Thread(target=lambda: (erase.erase_customers([WHO], stores), order.append("erasure")))
    erasure.start()
    time.sleep(1)
    assert order == []
    may_go_on.set()
    stage.join()
    erasure.join()
    assert order == ["features", "erasure"]
    assert WHO not in lake.read(stores.lake, tables.CUSTOMER_FEATURES, DAY)["customer_id"].to_pylist()


def test_a_day_that_is_run_again_gives_the_others_what_it_gave(stores, tmp_path):
    erasable.fill(stores, WHO, tmp_path / "logs")
    features.build_features(DAY, stores)
    before = [r for r in lake.read(stores.lake, tables.CUSTOMER_FEATURES, DAY).to_pylist() if r["customer_id"] != WHO]
    erase.erase_customers([WHO], stores)
    features.build_features(DAY, stores)
    after = lake.read(stores.lake, tables.CUSTOMER_FEATURES, DAY).to_pylist()
    of_all = {"alive_probability", "expected_orders_90d", "expected_spend_90d", "expected_order_value"}
    assert [r["customer_id"] for r in after] == [r["customer_id"] for r in before]
    for old, new in zip(before, after, strict=True):
        assert {k: v for k, v in old.items() if k not in of_all} == {k: v for k, v in new.items() if k not in of_all}
    put_scores(stores, DAY, [erasable._score(name, DAY) for name in OTHERS])
    assert publish.publish_segments(DAY, stores)["changes"] == 0


def _erase(stores, logs, begun):
    begun.set()
    erase.erase_customers([WHO], stores, "run-1", [logs])
    os._exit(0)


@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_goes_on(stores, tmp_path):
    logs = tmp_path / "logs"
    erasable.fill(stores, WHO, logs)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["segmentation.erase"])
    draw, killed = random.Random(3), 0
    for _ in range(12):
        begun = context.Event()
        process = context.Process(target=_erase, args=(stores, str(logs), begun))
        process.start()
        assert begun.wait(60)
        process.join(draw.uniform(0, 0.8))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    erase.erase_customers([WHO], stores, "run-1", [str(logs)])
    assert killed >= 6
    assert erasable.search(stores, WHO, logs) == []
    left = [row["order_id"] for row in _items(stores)]
    assert sorted(set(left)) == ["moved-1", "others-1"]
    assert fetch(stores, "select count(*) from marketing.segment_changes where change = 'erased'") == [(1,)]
    counted = fetch(stores, "select path, row_count from ops.versions where retired_at is null")
    assert dict(counted) == {path: _rows_in(stores, path) for path, _ in counted}


def _items(stores):
    for (path,) in fetch(stores, "select path from ops.versions where entity = 'order_items' and retired_at is null"):
        for batch in lake.batches_of(f"{stores.lake}/{path}", 1000):
            yield from batch.to_pylist()


def _rows_in(stores, path):
    return sum(batch.num_rows for batch in lake.batches_of(f"{stores.lake}/{path}", 1000))


def test_who_was_erased_is_known_by_a_salted_hash(stores):
    Path(stores.lake).mkdir()  # without one nothing is proved
    erase.erase_customers(["nobody"], stores)
    assert fetch(stores, "select id_hash from privacy.erasures") == [(erasures.hashed(stores, "nobody"),)]
    assert len(erasures.hashed(stores, "nobody")) == 64
