"""What publish adds to the scores of a day: the list of products that `recommend` has made for each customer."""

import datetime as dt
import logging
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import lake, tables
from segmentation.settings import Stores

log = logging.getLogger(__name__)
_COLUMN = "recommended_products"


def filled(batches: Iterable[pa.RecordBatch], day: dt.date, stores: Stores) -> Iterator[pa.RecordBatch]:
    """The batches with `recommended_products` of the day; null for whom there is none, for everyone if there are none.

    Both tables are by customer_id, so of the lists only those of a batch's customers are read.
    """
    if not lake.has(stores.lake, tables.RECOMMENDATIONS, day):
        log.warning("the lake has no %s for %s: %s stays null", tables.RECOMMENDATIONS, day, _COLUMN)
        yield from batches
        return
    told = 0
    for batch in batches:
        lists = _of(batch["customer_id"], day, stores)
        told += len(lists) - lists.null_count
        yield batch.set_column(batch.schema.get_field_index(_COLUMN), batch.schema.field(_COLUMN), lists)
    if not told:
        log.warning("%s has no list for anybody on %s: %s is null", tables.RECOMMENDATIONS, day, _COLUMN)


def _of(customers: pa.Array, day: dt.date, stores: Stores) -> pa.Array:
    """The list of each customer, null where there is none."""
    kind = tables.SEGMENT_COLUMNS.field(_COLUMN).type
    if not len(customers):
        return pa.nulls(0, kind)
    ends = pc.min_max(customers)
    between = [("customer_id", ">=", ends["min"].as_py()), ("customer_id", "<=", ends["max"].as_py())]
    found = lake.read_where(stores.lake, tables.RECOMMENDATIONS, day, ["customer_id", _COLUMN], between)
    found = found.combine_chunks()
    lists = found[_COLUMN].combine_chunks() if found.num_rows else pa.nulls(0, kind)
    return lists.take(pc.index_in(customers, found["customer_id"].combine_chunks()))
