"""The lake on an object store: the same stages against a real S3 API on this machine."""

import os
import re
import subprocess
import sys
import uuid

import boto3
import fsspec
import pyarrow as pa
import pytest

from segmentation import aggregates, compaction, data_docs, features, history, lake, tables, validate
from tests import frames


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """The address of a moto server, which speaks S3."""
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=output, stderr=output
        )
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert server.poll() is None, log.read_text()
        yield found[0]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def s3_stores(stores, s3, monkeypatch):
    from dataclasses import replace

    for name, value in {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    return replace(stores, lake=f"s3://{bucket}/some/folder")


def test_history_features_and_compaction_work_on_an_object_store(s3_stores, monkeypatch):
    day, after = frames.DAY, frames.DAY.replace(month=2, day=1)
    order = {"order_id": "o1", "customer_id": "a", "ordered_at": frames.DAY.replace(day=2)}
    frames.write_raw(s3_stores, day, customers=[{"customer_id": "a"}], orders=[order])
    assert features.build_features(day, s3_stores) == 1
    frames.write_raw(s3_stores, after, orders=[{**order, "order_id": "o2"}])
    assert features.build_features(after, s3_stores) == 1
    assert lake.read(s3_stores.lake, tables.CUSTOMER_FEATURES, day)["orders_count"].to_pylist() == [1]
    assert lake.read(s3_stores.lake, tables.CUSTOMER_FEATURES, after)["orders_count"].to_pylist() == [2]
    assert features.build_features(after, s3_stores) == 1
    compaction.compact_history(s3_stores)
    assert frames.rows_of(history.known(s3_stores, "orders", after), ["order_id"]) == {("o1",), ("o2",)}


def test_the_gate_works_on_an_object_store(s3_stores):
    day, after = frames.DAY, frames.DAY.replace(month=2, day=1)
    ago = frames.DAY.replace(day=30)
    order = {"order_id": "o1", "customer_id": "a", "ordered_at": ago, "updated_at": ago}
    late = {**order, "order_id": "o2", "customer_id": "late"}
    frames.stage(s3_stores, day, customers=[{"customer_id": "a"}], orders=[order, late])
    found = validate.accept_raw(day, s3_stores)["tables"]["raw.orders"]
    assert (found["accepted"], found["quarantined"]) == (1, 1)
    frames.stage(s3_stores, after, customers=[{"customer_id": "late"}])
    assert validate.accept_raw(after, s3_stores)["tables"]["raw.orders"]["taken_back"] == 1
    assert frames.rows_of(history.known(s3_stores, "orders", after), ["order_id"]) == {("o1",), ("o2",)}
    for table in (tables.ORDERS.staged, tables.ORDERS.incoming):
        assert lake.files_in(os.path.dirname(lake.path(s3_stores.lake, table, after))) == []
    assert "raw.orders" in lake.read_text(data_docs.day_page(s3_stores, day))
    aggregates.build_aggregates(after, s3_stores)
    features.build_features(after, s3_stores)
    assert lake.days_of(s3_stores.lake, tables.CUSTOMER_FEATURES) == [after]


def test_a_writer_that_fails_leaves_the_old_day_on_an_object_store(s3_stores):
    schema = pa.schema([("n", pa.int64())])

    def failing():
        yield pa.record_batch([pa.array([2])], schema=schema)
        raise RuntimeError("the connection went away")

    lake.write(s3_stores.lake, "raw.things", frames.DAY, [], schema)
    with pytest.raises(RuntimeError, match="went away"):
        lake.write(s3_stores.lake, "raw.things", frames.DAY, failing(), schema)
    assert lake.read(s3_stores.lake, "raw.things", frames.DAY).num_rows == 0
    folder = os.path.dirname(lake.path(s3_stores.lake, "raw.things", frames.DAY))
    assert lake.files_in(folder) == ["things.parquet"]
