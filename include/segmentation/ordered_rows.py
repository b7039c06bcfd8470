"""
Files of the lake read side by side, in the order of their customers: a join whose memory is a batch of each.

A hash join holds one side whole: at a million customers with a strategy and a list each that is half a gigabyte. Scores
and recommendations are written by customer_id, so they need only be read; a file that is not is sorted first, which the
engine does on disk where memory ends.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import engine, lake, settings
from segmentation.errors import FinalError

BATCH_ROWS = 20_000
KEY = "customer_id"


class DoubledCustomerError(FinalError):
    """A customer occurs twice in a file that has a row for each; names the table and the customer."""


def by_customer(path: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a file, by customer_id; as they lie, where they lie so already.

    :param columns: with customer_id among them; None: all.
    """
    if is_by_customer(path):
        yield from lake.batches_of(path, BATCH_ROWS, columns, has_threads=False)
        return
    schema = _schema(path, columns)
    limits = settings.DuckDB(memory_limit=settings.load().publish.memory_limit)
    statement = f"select {', '.join(map(engine.quoted, schema.names))} from lake.rows order by {KEY}"  # noqa: S608
    for batch in engine.query(statement, {"lake.rows": path}, limits):
        for first in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(first, BATCH_ROWS).cast(schema)


def is_by_customer(path: str) -> bool:
    """Whether the rows of a file lie in the order of customer_id; reads that column only."""
    last = None
    for batch in lake.batches_of(path, lake.ROWS_PER_GROUP, [KEY], has_threads=False):
        if not batch.num_rows:
            continue
        ids = batch[KEY]
        if ids.null_count or (last is not None and ids[0].as_py() < last):
            return False
        if not pc.all(pc.less_equal(ids[:-1], ids[1:]), min_count=0).as_py():
            return False
        last = ids[-1].as_py()
    return True


def _schema(path: str, columns: list[str] | None) -> pa.Schema:
    schema = lake.schema_of(path).remove_metadata()
    return pa.schema([schema.field(column) for column in columns]) if columns else schema


class Partners:
    """The rows of a file that belong to customers who are asked for in order, batch by batch.

    :param columns: of the file that are wanted.
    :param name: what an error calls the file.
    """

    def __init__(self, path: str, columns: list[str], name: str) -> None:
        self._coming = (each for each in by_customer(path, [KEY, *columns]) if each.num_rows)
        self._schema = _schema(path, [KEY, *columns])
        self._name = name
        self._rest: pa.RecordBatch | None = next(self._coming, None)
        self._last: str | None = None

    def of(self, customers: pa.Array) -> pa.Table:
        """A row for each customer, nulls for those who are not in the file. None may come before one asked for earlier.

        :raises DoubledCustomerError: the file has two rows of a customer.
        """
        rows = self._up_to(customers[-1].as_py()) if len(customers) else self._schema.empty_table()
        return rows.take(pc.index_in(customers, value_set=rows[KEY].combine_chunks()))

    def _up_to(self, customer: str) -> pa.Table:
        parts = []
        while self._rest is not None:
            ids = self._rest[KEY]
            count = pc.sum(pc.less_equal(ids, customer)).as_py() or 0
            parts.append(self._rest.slice(0, count))
            self._refuse_doubled(ids[:count])
            if count < len(ids):
                self._rest = self._rest.slice(count)
                break
            self._rest = next(self._coming, None)
        return pa.Table.from_batches(parts, self._schema)

    def _refuse_doubled(self, ids: pa.Array) -> None:
        if not len(ids):
            return
        doubled = ids[1:].filter(pc.equal(ids[:-1], ids[1:]))
        if ids[0].as_py() == self._last:
            doubled = ids[:1]
        if len(doubled):
            raise DoubledCustomerError(f"{self._name} has two rows of customer {doubled[0].as_py()}, and may have one")
        self._last = ids[-1].as_py()
