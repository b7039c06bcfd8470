"""A day is replaced whole or not at all."""

import datetime as dt
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fsspec.implementations.local import LocalFileSystem

from segmentation import lake
from segmentation.errors import FinalError

DAY = dt.date(2026, 1, 31)
SCHEMA = pa.schema([("n", pa.int64())])


def batches(*values):
    return [pa.record_batch([pa.array([value])], schema=SCHEMA) for value in values]


def test_a_day_is_one_file_under_its_schema_table_and_day(tmp_path):
    rows = lake.write(str(tmp_path), "raw.things", DAY, batches(1, 2), SCHEMA)
    assert rows == 2
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.parquet")] == [
        "raw/things/as_of=2026-01-31/things.parquet"
    ]
    assert lake.read(str(tmp_path), "raw.things", DAY).to_pydict() == {"n": [1, 2]}


def test_writing_again_replaces_exactly_that_day(tmp_path):
    other = DAY - dt.timedelta(days=1)
    lake.write(str(tmp_path), "raw.things", other, batches(7), SCHEMA)
    lake.write(str(tmp_path), "raw.things", DAY, batches(1, 2), SCHEMA)
    lake.write(str(tmp_path), "raw.things", DAY, batches(3), SCHEMA)
    assert lake.read(str(tmp_path), "raw.things", DAY)["n"].to_pylist() == [3]
    assert lake.read(str(tmp_path), "raw.things", other)["n"].to_pylist() == [7]


def test_a_writer_that_fails_leaves_the_old_day_and_no_debris(tmp_path):
    def failing():
        yield from batches(8)
        raise RuntimeError("the connection went away")

    lake.write(str(tmp_path), "raw.things", DAY, batches(1), SCHEMA)
    with pytest.raises(RuntimeError, match="went away"):
        lake.write(str(tmp_path), "raw.things", DAY, failing(), SCHEMA)
    assert lake.read(str(tmp_path), "raw.things", DAY)["n"].to_pylist() == [1]
    assert len(list(tmp_path.rglob("*.*"))) == 1


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    target = tmp_path / "raw/things/as_of=2026-01-31/things.parquet"
    target.parent.mkdir(parents=True)
    (target.parent / "things.parquet.0af3.tmp").write_bytes(b"half a file")
    lake.write(str(tmp_path), "raw.things", DAY, batches(1), SCHEMA)
    assert [p.name for p in target.parent.iterdir()] == ["things.parquet"]


def test_what_a_killed_writer_left_long_ago_is_dropped_anywhere(tmp_path):
    """A small file may have several writers at once: none of them may take away what another one writes."""
    lake.write_text(str(tmp_path / "docs" / "index.html"), "whole")
    endings = ("0a" * 16 + ".tmp", "0b" * 16 + ".tmp", "x.tmp")
    old, fresh, other = (tmp_path / "docs" / f"index.html.{ending}" for ending in endings)
    for file in (old, fresh, other):
        file.write_text("half a")
    for file in (old, other, tmp_path / "docs" / "index.html"):
        os.utime(file, (0, 0))
    assert lake.drop_unfinished(str(tmp_path), dt.datetime.now(dt.UTC) - dt.timedelta(days=1)) == 1
    assert sorted(file.name for file in (tmp_path / "docs").iterdir()) == sorted(["index.html", fresh.name, other.name])
    assert lake.drop_unfinished(str(tmp_path / "nothing"), dt.datetime.now(dt.UTC)) == 0


def test_a_text_that_cannot_be_written_leaves_no_debris(tmp_path, monkeypatch):
    def full(self, path, content, **_):
        Path(path).write_bytes(content[:1])
        raise OSError("No space left on device")

    target = str(tmp_path / "index.html")
    lake.write_text(target, "whole")
    monkeypatch.setattr(LocalFileSystem, "pipe_file", full)
    with pytest.raises(OSError, match="No space left"):
        lake.write_text(target, "newer")
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
    assert lake.read_text(target) == "whole"


def test_a_missing_day_is_named(tmp_path):
    with pytest.raises(lake.MissingDayError, match=r"no raw\.things for 2026-01-31"):
        lake.read(str(tmp_path), "raw.things", DAY)


@pytest.mark.parametrize("remains", ["nothing", "a file"])
def test_a_lake_that_is_away_is_no_missing_day_and_may_come_back(tmp_path, remains):
    folder = tmp_path / "lake"
    lake.write(str(folder), "raw.things", DAY, batches(1), SCHEMA)
    away = folder.rename(tmp_path / "away")
    if remains == "a file":
        folder.touch()
    for asks in (lake.read, lake.has, lambda uri, table, _: lake.days_of(uri, table)):
        with pytest.raises(lake.LakeAwayError, match=r"no lake at .*/lake: its store is away") as caught:
            asks(str(folder), "raw.things", DAY)
        assert not isinstance(caught.value, FinalError), "trying again may help"
    folder.unlink(missing_ok=True)
    away.rename(folder)
    assert lake.read(str(folder), "raw.things", DAY)["n"].to_pylist() == [1]


def test_the_lake_may_be_any_filesystem_that_fsspec_knows():
    lake.write("memory://lake", "raw.things", DAY, batches(1, 2), SCHEMA)
    lake.write("memory://lake", "raw.things", DAY, batches(4), SCHEMA)
    assert lake.read("memory://lake", "raw.things", DAY, ["n"])["n"].to_pylist() == [4]


def test_a_large_file_is_read_in_the_memory_of_a_piece(tmp_path):
    schema, rng = pa.schema([("n", pa.float64()), ("m", pa.float64())]), np.random.default_rng(1)
    pieces = ([pa.array(rng.random(20_000)), pa.array(rng.random(20_000))] for _ in range(50))
    rows = (pa.record_batch(columns, schema=schema) for columns in pieces)
    lake.write(str(tmp_path), "raw.things", DAY, rows, schema)
    target = lake.path(str(tmp_path), "raw.things", DAY)
    size = os.path.getsize(target)
    assert size > 10_000_000

    def opened():
        with lake.open_parquet(str(tmp_path), "raw.things", DAY) as file:
            yield from file.iter_batches(5_000)

    def rewritten():
        out = str(tmp_path / "less.parquet")
        assert lake.rewrite_without(target, out, lambda batch: pc.less(batch["n"], 0.999)) < 2_000
        yield from lake.batches_of(out, 5_000)

    for read in (lambda: lake.batches_of(target, 5_000), opened, rewritten):
        tracemalloc.start()
        assert sum(batch.num_rows for batch in read()) in (1_000_000, pytest.approx(1_000, abs=300))
        peak = tracemalloc.get_traced_memory()[1]  # of the bytes of files; Arrow's own are not Python's
        tracemalloc.stop()
        assert peak < size / 4
