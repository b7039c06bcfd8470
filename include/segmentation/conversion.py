"""
From what databases hand out, text or Python objects, to Arrow's types: all of it or an error, or what fits of it.
"""

import contextlib
import datetime as dt
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from segmentation.errors import FinalError

PARSE_BYTES = 4 * 1024 * 1024
# What Arrow, or Python on the way to it, says of a value that does not fit
_UNFIT = (ValueError, TypeError, OverflowError, pa.ArrowNotImplementedError)
_CALENDAR = [  # in microseconds
    pa.scalar(end.replace(tzinfo=dt.UTC), pa.timestamp("us", tz="UTC")).value
    for end in (dt.datetime.min, dt.datetime.max)  # noqa: DTZ901 - the zone is added
]


class UnreadableValueError(FinalError):
    """A value of a query's result does not fit the type that is wanted; names column, type and value."""


def parse_csv(pipe, schema: pa.Schema, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """What COPY prints as CSV with a header, in typed batches.

    :param names: all columns that are printed, in their order, whether or not the schema wants them.
    :raises UnreadableValueError: naming the column, the type wanted and the value.
    """
    try:
        for batch in pyarrow.csv.open_csv(
            pipe,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=PARSE_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=_conversion(schema),
        ):
            for field in batch.schema:
                try:
                    _in_range(batch[field.name])
                except pa.ArrowInvalid as error:
                    raise UnreadableValueError(f"{field.name} must be {field.type}: {error}") from error
            yield batch
    except pa.ArrowInvalid as error:
        raise _in_words(error, names) from error


def typed(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """A column (n,) of Python objects in the field's type. Times without a zone are UTC.

    :raises UnreadableValueError: naming the column, the type wanted and the value.
    """
    if len({type(value) for value in values if value is not None}) <= 1:
        with contextlib.suppress(*_UNFIT):
            return _cast(pa.array(values), field.type)
    each = []  # of several kinds: Arrow would make a time among dates a date, and may refuse integers among floats
    for value in values:
        try:
            each.append(_cast(pa.array([value]), field.type))
        except _UNFIT:
            raise UnreadableValueError(f"{field.name} must be {field.type}, and {value!r} is not") from None
    return pa.concat_arrays(each)


def _conversion(schema: pa.Schema) -> pyarrow.csv.ConvertOptions:
    """From the text that COPY prints to the types of a schema."""
    return pyarrow.csv.ConvertOptions(
        column_types={field.name: field.type for field in schema},
        include_columns=schema.names,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t", "true"],
        false_values=["f", "false"],
        timestamp_parsers=[pyarrow.csv.ISO8601],
    )


def _in_words(error: Exception, names: Sequence[str]) -> UnreadableValueError:
    """Arrow's error with the column's name instead of its number."""
    text = str(error)
    pattern = r"In CSV column #(\d+): (?:Row #\d+: )?(?:CSV )?conversion error to (.+?): invalid value '(.*)'"
    found = re.search(pattern, text, re.S)
    if found:
        return UnreadableValueError(f"{names[int(found[1])]} must be {found[2]}, and {found[3]!r} is not")
    if "straddling" in text:
        return UnreadableValueError(f"a row has more than {PARSE_BYTES:,} bytes as text: cut its longest column")
    return UnreadableValueError(text)


class Lenient:
    """Reads what fits its type, tells beside each row what does not, and counts that.

    Batches come with the columns of `schema` and `unreadable`: null, or a JSON object of column -> text as it came.

    :param most: with more values of one column that do not fit, its type has changed: UnreadableValueError.
    """

    def __init__(self, schema: pa.Schema, most: int) -> None:
        self._schema = schema
        self._most = most
        self._counts = dict.fromkeys(schema.names, 0)

    def of_texts(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """From columns of the bytes that COPY printed."""
        return self._batch(
            batch.num_rows,
            {field.name: _fit_halves(batch[field.name], field) for field in self._schema},
            lambda name, row: _as_text(batch[name][row].as_py().decode("utf-8", "backslashreplace")),
        )

    def of_values(self, rows: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
        """From columns of Python objects."""
        return self._batch(
            len(rows[self._schema.names[0]]),
            {field.name: _fit_each(rows[field.name], field) for field in self._schema},
            lambda name, row: _as_text(rows[name][row]),
        )

    def _batch(
        self, size: int, fitted: Mapping[str, tuple[pa.Array, list[int]]], text: Callable[[str, int], str]
    ) -> pa.RecordBatch:
        told: dict[int, dict[str, str]] = {}
        for name, (_, unfit) in fitted.items():
            self._counts[name] += len(unfit)
            if self._counts[name] > self._most:
                kind = self._schema.field(name).type
                raise UnreadableValueError(
                    f"{name} must be {kind}, and more than {self._most:,} values are not, such as "
                    f"{text(name, unfit[0])!r}: its type has changed"
                )
            for row in unfit:
                told.setdefault(row, {})[name] = text(name, row)
        unreadable = [json.dumps(told[row], ensure_ascii=False) if row in told else None for row in range(size)]
        columns = [*(column for column, _ in fitted.values()), pa.array(unreadable, pa.string())]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema.append(pa.field("unreadable", pa.string())))


def _fit_halves(texts: pa.Array, field: pa.Field) -> tuple[pa.Array, list[int]]:
    """A column (n,) of bytes in the field's type, null where they do not fit, and where that is: by halving."""
    try:
        return _parsed(texts, field), []
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.nulls(1, field.type), [0]
    middle = len(texts) // 2
    (left, unfit_left), (right, unfit_right) = (_fit_halves(h, field) for h in (texts[:middle], texts[middle:]))
    return pa.concat_arrays([left, right]), unfit_left + [middle + place for place in unfit_right]


def _parsed(texts: pa.Array, field: pa.Field) -> pa.Array:
    """As COPY's own output is parsed; a second column keeps a lone null from being an empty line."""
    as_text = texts.cast(pa.string())
    if pa.types.is_string(field.type):
        return as_text
    buffer = io.BytesIO()
    table = pa.table({field.name: as_text, "row": pa.nulls(len(texts), pa.int8()).fill_null(0)})
    pyarrow.csv.write_csv(table, buffer)
    buffer.seek(0)
    read = pyarrow.csv.read_csv(buffer, convert_options=_conversion(pa.schema([field])))
    return _in_range(read[field.name].combine_chunks())


def _fit_each(values: Sequence[Any], field: pa.Field) -> tuple[pa.Array, list[int]]:
    """A column (n,) of Python objects in the field's type, null where they do not fit, and where that is."""
    try:
        return typed(values, field), []
    except UnreadableValueError:
        pass
    kept, unfit = list(values), []
    for place, value in enumerate(values):
        try:
            typed([value], field)
        except UnreadableValueError:
            kept[place] = None
            unfit.append(place)
    return typed(kept, field), unfit


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), wanted)
    if isinstance(column.type, pa.UuidType):  # cast to text it would be sixteen characters of no meaning
        column = pa.array([None if each is None else str(each) for each in column.to_pylist()], pa.string())
    if (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)) and pa.types.is_decimal(wanted):
        column = column.cast(pa.string())
    if pa.types.is_boolean(wanted) and pa.types.is_string(column.type):
        raise pa.ArrowInvalid("text is no boolean")
    if pa.types.is_timestamp(wanted):
        return _in_range(_times(column, wanted))
    return column.cast(wanted)


def _times(column: pa.Array, wanted: pa.TimestampType) -> pa.Array:
    if pa.types.is_integer(column.type):
        raise pa.ArrowInvalid("a number is no time: since when, and of what?")
    if pa.types.is_string(column.type):
        with contextlib.suppress(pa.ArrowInvalid):
            return column.cast(wanted)
        column = column.cast(pa.timestamp(wanted.unit))  # no zone in the text: UTC
    return column.cast(wanted)


def _in_range(column: pa.Array) -> pa.Array:
    """The column, if it holds no time but such as Python and Postgres can print, years 1 to 9999, and no decimal with
    more digits than its type has: Arrow reads these out of CSV, and Parquet would keep other numbers in their place.
    """
    if pa.types.is_decimal(column.type):
        column.validate(full=True)
    if pa.types.is_timestamp(column.type):
        ends = pc.min_max(column)
        if ends["min"].is_valid and (ends["min"].value < _CALENDAR[0] or ends["max"].value > _CALENDAR[1]):
            raise pa.ArrowInvalid("a time before the year 1 or after 9999")
    return column


def _as_text(value: Any) -> str:
    """A value as text that Postgres can hold: halves of characters are told by their numbers, NUL is U+FFFD."""
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
