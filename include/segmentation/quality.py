"""
quality: what every rule found, as rows of `quality.results`, so that a rule's history is one query away.
"""

import datetime as dt
import math
from collections.abc import Sequence

import pyarrow as pa

from segmentation import tables, warehouse
from segmentation.verdict import Verdict

_COLUMNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("day", pa.date32()),
        ("table_name", pa.string()),
        ("rule", pa.string()),
        ("scope", pa.string()),
        ("severity", pa.string()),
        ("is_met", pa.bool_()),
        ("row_count", pa.int64()),
        ("broken_count", pa.int64()),
        ("value", pa.float64()),
        ("examples", pa.list_(pa.string())),
        ("remark", pa.string()),
    ]
)


def write(dsn: str, verdicts: Sequence[Verdict], day: dt.date, run_id: str | None) -> int:
    """Appends what was found, in a transaction of its own: it stays even if the run stops for it.

    :returns: rows written, one per rule.
    """
    rows = [
        {
            "run_id": run_id,
            "day": day,
            "table_name": verdict.table,
            "rule": result.rule.name,
            "scope": result.scope,
            "severity": result.rule.severity,
            "is_met": result.is_met,
            "row_count": result.rows,
            "broken_count": result.broken,
            "value": result.value if result.value is None or math.isfinite(result.value) else None,
            "examples": [str(key).replace("\0", "\ufffd") for key in result.examples],  # as quarantine.rows has it
            "remark": result.remark or None,
        }
        for verdict in verdicts
        for result in verdict.results
    ]
    with warehouse.connect(dsn) as connection:
        return warehouse.copy_in(
            connection, tables.QUALITY_RESULTS, [pa.Table.from_pylist(rows, schema=_COLUMNS)], _COLUMNS.names
        )
