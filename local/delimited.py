"""
Comma-separated lines into columns of text, with every physical line accounted for.

A quote that never closes costs its own line only: what follows is read on as if it had not been there.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import pyarrow as pa

# A quoted field may hold line breaks; one that spans more lines than this is a stray quote.
LONGEST_RECORD_LINES = 50
CHUNK_ROWS = 50_000


@dataclass(frozen=True)
class Records:
    """The lines of a file after its header.

    `line_no` (n,) is the physical line, the header being 1, on which each record of the right width begins;
    `columns` maps each column's name to its n texts; `broken` holds (line number, fields) of all other lines.
    """

    line_no: list[int]
    columns: dict[str, pa.ChunkedArray]
    broken: list[tuple[int, list[str]]]


def split(lines: Iterable[str], *, width: int = 0, first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Each record as (physical line number, fields); `width` is the number of fields a record should have."""
    source = iter(lines)
    ahead: deque[str] = deque()
    number = first_line - 1
    while (line := ahead.popleft() if ahead else next(source, None)) is not None:
        number += 1
        if '"' not in line:
            yield number, line.rstrip("\r\n").split(",")
            continue
        ahead.extend(islice(source, LONGEST_RECORD_LINES - 1 - len(ahead)))
        fields, taken = _quoted(line, ahead, width)
        yield number, fields
        for _ in range(taken - 1):
            ahead.popleft()
        number += taken - 1


def read_records(lines: Iterable[str], names: Sequence[str], first_line: int = 2) -> Records:
    """All lines as columns named `names`. Blank lines at the end are no lines; others count as broken."""
    line_no: list[int] = []
    broken: list[tuple[int, list[str]]] = []
    blank: list[tuple[int, list[str]]] = []
    pieces: list[list[pa.Array]] = [[] for _ in names]
    rows: list[list[str]] = []

    def flush() -> None:
        for piece, texts in zip(pieces, zip(*rows, strict=True), strict=False):
            piece.append(pa.array(texts, pa.string()))
        rows.clear()

    for number, fields in split(lines, width=len(names), first_line=first_line):
        if len(fields) == 1 and not fields[0].strip():
            blank.append((number, fields))
            continue
        if blank:
            broken += blank
            blank.clear()
        if len(fields) != len(names):
            broken.append((number, fields))
            continue
        line_no.append(number)
        rows.append(fields)
        if len(rows) == CHUNK_ROWS:
            flush()
    flush()
    columns = {name: pa.chunked_array(piece, pa.string()) for name, piece in zip(names, pieces, strict=True)}
    return Records(line_no, columns, broken)


def _quoted(line: str, ahead: Iterable[str], width: int) -> tuple[list[str], int]:
    """The fields of a line with quotes, and how many physical lines they took."""
    reader = csv.reader(chain([line], ahead), strict=True)
    try:
        fields = next(reader)
    except csv.Error:
        return _alone(line), 1
    if reader.line_num > 1 and len(fields) != width:
        return _alone(line), 1
    return fields, reader.line_num


def _alone(line: str) -> list[str]:
    """The fields of a line whose quotes are not in order, as well as they can be told."""
    text = line.rstrip("\r\n")
    try:
        return next(csv.reader([text]))
    except csv.Error:
        return [text]
