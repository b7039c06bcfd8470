"""
extract: `shop.*` in the warehouse -> `raw.*` in the lake, one Parquet file per entity and day.

What each shop edits is `include/sql/extract/<entity>.sql`; this module holds it to the contract's columns and types.
"""

import datetime as dt
from collections.abc import Iterable, Iterator

import pyarrow as pa

from segmentation import lake, sql, tables, warehouse
from segmentation.engine import midnight
from segmentation.errors import FinalError
from segmentation.settings import Stores


class ContractError(FinalError):
    """The extract's SELECT does not return what the source contract asks for."""


def extract_entity(name: str, day: dt.date, stores: Stores) -> int:
    """Writes `raw.<name>` of one day: everything that happened before that day's 00:00 UTC.

    An optional entity whose SELECT is not there gives an empty table, so that what follows needs no special case.

    :param name: a key of `tables.ENTITIES`.
    :returns: rows written.
    :raises ContractError: a required SELECT or a column is missing, or a value does not fit its type; names the file,
        the column and an example.
    """
    entity = tables.ENTITIES[name]
    if not sql.exists("extract", name):
        if entity.required:
            raise ContractError(f"{name} is required, but there is no include/sql/extract/{name}.sql")
        return lake.write(stores.lake, entity.table, day, [], entity.schema)
    batches = warehouse.stream(stores.warehouse, sql.read("extract", name), {"as_of": midnight(day)})
    return lake.write(stores.lake, entity.table, day, conform(entity, batches), entity.schema)


def conform(entity: tables.Entity, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Brings batches to the entity's columns and types.

    :raises ContractError: naming the missing columns, or the column with an example of what does not fit.
    """
    for batch in batches:
        missing = [field.name for field in entity.schema if field.name not in batch.schema.names]
        if missing:
            raise ContractError(
                f"include/sql/extract/{entity.name}.sql does not return {', '.join(missing)}; "
                f"it returns {', '.join(batch.schema.names)}"
            )
        columns = [_cast(entity, batch.column(field.name), field) for field in entity.schema]
        yield pa.RecordBatch.from_arrays(columns, schema=entity.schema)


def _cast(entity: tables.Entity, column: pa.Array, field: pa.Field) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:
        raise ContractError(
            f"raw.{entity.name}.{field.name} must be {field.type}, and {error} "
            f"(it arrives as {column.type}, for example {_misfit(column, field)})"
        ) from error


def _misfit(column: pa.Array, field: pa.Field) -> str:
    """The first value that does not cast."""
    for value in column:
        try:
            pa.array([value.as_py()], column.type).cast(field.type)
        except pa.ArrowInvalid:
            return repr(value.as_py())
    return "unknown"
