"""
export: the customers of one segment as a file, for tools that import files.

A file leaves the database's roles behind, so it tells less than the table: bands, no probability, amount or reason, and
no combination of bands that fewer than k of its customers share (k-anonymity: Sweeney 2002, "k-Anonymity: A Model for
Protecting Privacy", International Journal of Uncertainty, Fuzziness and Knowledge-Based Systems 10(5)). Of customers in
a smaller group the last columns are left empty until the group is large enough (local suppression).

A spreadsheet may run a cell of a CSV file that begins with `=` or its like. Such cells are written as they are: a sign
before an id would keep the tool that the file is for from knowing it. They are counted, and the log warns of them.
"""

import logging
import posixpath
import tempfile
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from segmentation import erasures, lake, settings, snapshots, sql, tables, warehouse
from segmentation.errors import FinalError
from segmentation.settings import Stores

log = logging.getLogger(__name__)
FORMATS = ("csv", "parquet")
# In bands. What a campaign needs most comes first, and is left empty last. A row whose in_holdout is left empty has
# neither offer nor channel: who is held out must not be contacted.
COLUMNS = ("in_holdout", "strategy_id", "offer", "contact_channel", "value_tier", "churn_risk", "lifecycle_stage",
           "new_customer_potential", "service_risk")  # fmt: skip
_ALWAYS = ("customer_id", "as_of_date", "segment_id")
# With which cells begin that spreadsheets take for formulas (OWASP, "CSV Injection")
_FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"


class SmallGroupError(FinalError):
    """The segment has fewer customers than may be told of, or none at all."""


@erasures.holds_off_erasure
def export_segment(segment_id: int, kind: str, stores: Stores) -> dict[str, Any]:
    """Writes a segment of the current snapshot to `exports/<day>/segment_<id>.<kind>` in the lake.

    :param kind: `csv` or `parquet`.
    :returns: `path`, `rows`; `emptied`: how many rows have a column that was left empty; `like_formulas`: how many have
        a cell that a spreadsheet might run.
    :raises SmallGroupError: it has fewer customers than `settings.Publish.smallest_group`.
    :raises ValueError: another kind.
    """
    if kind not in FORMATS:
        raise ValueError(f"a segment is exported as {' or '.join(FORMATS)}, not as {kind!r}")
    smallest = settings.load().publish.smallest_group
    snapshots.ensure_schema(stores.marketing)
    statement = sql.put_in(sql.read("publish", "export"), "segment_id", str(int(segment_id)))
    schema = pa.schema([tables.SEGMENT_COLUMNS.field(name) for name in (*_ALWAYS, *COLUMNS)])
    rows = pa.Table.from_batches(warehouse.stream(stores.marketing, statement, schema), schema).to_pandas()
    if len(rows) < smallest:
        raise SmallGroupError(
            f"segment {segment_id} has {len(rows)} customers in the current snapshot; "
            f"no file is made of fewer than {smallest}"
        )
    told = k_anonymous(rows, COLUMNS, smallest)
    emptied = int((told[list(COLUMNS)].isna() & rows[list(COLUMNS)].notna()).any(axis=1).sum())
    path = posixpath.join(stores.lake, "exports", f"{rows['as_of_date'].iloc[0]}", f"segment_{int(segment_id)}.{kind}")
    table = pa.Table.from_pandas(told, schema, preserve_index=False)
    formulas = _like_formulas(table)
    if kind == "parquet":
        lake.write_file(path, table.to_batches(), schema)
    else:
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            pyarrow.csv.write_csv(table, file.name)
            lake.put_file(file.name, path)
        if formulas:
            log.warning(
                "%s of %s rows have a cell that begins like a formula: import the file, or open it as text; by a "
                "double click a spreadsheet might run it",
                f"{formulas:,}", f"{len(told):,}",
            )  # fmt: skip
    return {"path": path, "rows": len(told), "emptied": emptied, "like_formulas": formulas}


def _like_formulas(table: pa.Table) -> int:
    """How many rows have such a cell."""
    found = pa.nulls(len(table), pa.bool_()).fill_null(False)
    for field in table.schema:
        if pa.types.is_string(field.type):
            found = pc.or_(found, pc.match_substring_regex(table[field.name], _FORMULA).fill_null(False))
    return pc.sum(found).as_py() or 0


def k_anonymous(rows: pd.DataFrame, columns: Sequence[str], smallest: int) -> pd.DataFrame:
    """The same rows, values left empty so that every combination that occurs is that of at least `smallest` rows.

    :param columns: those that are told, the most wanted first; the others stay as they are.
    """
    told = rows.copy()
    for name in columns:
        told[name] = told[name].astype(object).where(told[name].notna(), None)
    for kept in range(len(columns) - 1, -1, -1):
        small = _sizes(_groups(told, columns)) < smallest
        if not small.any():
            return told
        told.loc[small, list(columns[kept:])] = None
    groups = _groups(told, columns)
    while ((sizes := _sizes(groups)) < smallest).any():  # all empty, still too few: the next smallest joins
        large = sizes[sizes >= smallest]
        told.loc[groups == groups[large.idxmin()], list(columns)] = None
        groups = _groups(told, columns)
    return told


def _groups(told: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """The number of each row's combination of values."""
    return told.groupby(list(columns), dropna=False, sort=False).ngroup()


def _sizes(groups: pd.Series) -> pd.Series:
    """How many rows have each row's combination."""
    return groups.map(groups.value_counts())
