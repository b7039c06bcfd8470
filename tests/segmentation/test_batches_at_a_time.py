"""Batches of a file that are worked on at the same time: in order, in bounded memory, and an error ends it."""

import threading
import time

import pyarrow as pa
import pytest

from segmentation import engine


def test_batches_are_worked_on_at_a_time_in_order_and_no_more_are_read_ahead():
    read, at_once, met = [], [], threading.Barrier(2, timeout=20)

    def batches():
        for number in range(6):
            read.append(number)
            yield pa.RecordBatch.from_pydict({"n": [number]})

    def slow(batch):
        met.wait()  # never passed by one thread alone
        at_once.append(len(read))
        time.sleep(0.02 * (batch["n"][0].as_py() % 2 == 0))
        return batch

    told = []
    for batch in engine._in_turn(slow, batches(), 2):
        told.append(batch["n"][0].as_py())
        assert len(read) <= len(told) + 2
    assert told == list(range(6))
    assert len(at_once) == 6


def test_an_error_in_a_batch_is_raised_and_the_rest_is_left():
    done = []

    def fails(batch):
        done.append(batch)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(engine._in_turn(fails, iter(range(50)), 2))
    assert len(done) <= 4
