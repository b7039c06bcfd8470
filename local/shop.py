"""What every loader hands over: the shop's tables, and the lines that could not go in, with their reasons."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

NO_CUSTOMER = "no customer"
CANCELLED = "cancelled invoice"
QUANTITY = "quantity <= 0"
PRICE = "price <= 0"
BAD_DATE = "unreadable date"
BAD_NUMBER = "unreadable number"
DUPLICATE = "exact duplicate"
WRONG_WIDTH = "wrong number of fields"
OUT_OF_RANGE = "out of range"
# The foremost first.
REASONS = (
    NO_CUSTOMER,
    CANCELLED,
    QUANTITY,
    PRICE,
    BAD_DATE,
    BAD_NUMBER,
    DUPLICATE,
    WRONG_WIDTH,
    OUT_OF_RANGE,
)

# Keys are indexed, and an entry of an index has to fit its page.
LONGEST_KEY = 200

QUARANTINE_COLUMNS = ("source", "line_no", "reason", "reasons", "row", "note")

# What a line held: by column name, or a list where the columns are not to be told.
Fields = Mapping[str, str] | Sequence[str]


@dataclass(frozen=True)
class Refused:
    """Lines that did not go into the shop: per line its number, its reasons (never empty) and its fields as JSON."""

    line_no: list[int] = field(default_factory=list)
    reasons: list[tuple[str, ...]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    notes: list[str | None] = field(default_factory=list)

    def add(self, line_no: int, reasons: Sequence[str], fields: Fields, note: str | None = None) -> None:
        self.line_no.append(line_no)
        self.reasons.append(tuple(reasons))
        self.rows.append(as_json(fields))
        self.notes.append(note)

    def by_foremost(self) -> dict[str, int]:
        """Lines per foremost reason, in the order of REASONS; their sum is the number of refused lines."""
        counts = Counter(reasons[0] for reasons in self.reasons)
        return {reason: counts[reason] for reason in REASONS if reason in counts}

    def by_any(self) -> dict[str, int]:
        """Lines per reason, each line counted under all its reasons, in the order of REASONS."""
        return _by_any(self.reasons)

    def table(self, source: str) -> pa.Table:
        """The rows of quarantine.rows, QUARANTINE_COLUMNS."""
        return pa.table(
            {
                "source": pa.array([source] * len(self.line_no), pa.string()),
                "line_no": pa.array(self.line_no, pa.int64()),
                "reason": pa.array([reasons[0] for reasons in self.reasons], pa.string()),
                "reasons": pa.array(self.reasons, pa.list_(pa.string())),
                "row": pa.array(self.rows, pa.string()),
                "note": pa.array(self.notes, pa.string()),
            }
        ).sort_by("line_no")


@dataclass(frozen=True)
class Shop:
    """A whole shop: `tables` by entity name with the contract's columns, `lines` of the source, what was refused.

    Holds: lines == rows of order_items, or of campaign_contacts where there are any, + refused lines.
    """

    source: str
    lines: int
    tables: Mapping[str, pa.Table]
    refused: Refused = field(default_factory=Refused)
    returns_applied: int = 0


def reasons_of(flags: Mapping[str, np.ndarray]) -> list[tuple[str, ...]]:
    """Per line the reasons whose flag is set, in the order of REASONS; an empty tuple where there is none.

    :param flags: reason -> booleans (n,); every n alike.
    """
    bits = sum(flag.astype(np.int32) << REASONS.index(reason) for reason, flag in flags.items())
    patterns, of_line = np.unique(bits, return_inverse=True)
    named = [tuple(r for position, r in enumerate(REASONS) if pattern >> position & 1) for pattern in patterns]
    return [named[index] for index in of_line]


def no_orders(file: str, lines: int, reasons: Iterable[tuple[str, ...]]) -> str:
    """The sentence for a file of which no line is acceptable."""
    found = ", ".join(f"{count:,} {reason}" for reason, count in _by_any(reasons).items())
    return f"expected purchases, found none in the {lines:,} line{'s' * (lines != 1)} of {file}: {found}"


def _by_any(reasons: Iterable[tuple[str, ...]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for several, lines in Counter(reasons).items():
        counts.update(dict.fromkeys(several, lines))
    return {reason: counts[reason] for reason in REASONS if reason in counts}


def as_json(fields: Fields) -> str:
    """The fields for a jsonb column, which cannot hold NUL: it is written as its picture, U+2400."""
    text = json.dumps(fields, ensure_ascii=False)
    if "\\u0000" not in text:
        return text
    pairs = fields.items() if isinstance(fields, Mapping) else enumerate(fields)
    shown = {key: value.replace("\0", "\u2400") for key, value in pairs}
    return json.dumps(shown if isinstance(fields, Mapping) else list(shown.values()), ensure_ascii=False)
