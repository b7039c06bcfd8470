"""
What becomes of the rows of a table that was judged: the good ones, the refused ones with their reasons, and a sample.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

import pandas as pd
import pyarrow as pa

from segmentation import engine, settings
from segmentation.row_rules import DUPLICATE_REASONS, Checked, Findings, engine_of
from segmentation.suites import OWN_TYPES, QUARANTINE, Rule

SOURCE = "raw gate"  # of what the gate refuses, in quarantine.rows


def good_rows(findings: Findings, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows that no rule takes out, with the columns of `schema`, in their order."""
    names = ", ".join(map(engine.quoted, schema.names))
    statement = f"select {names} from checked.batch where row_no not in (select row_no from bad.rows) order by row_no"  # noqa: S608
    inputs = {"checked.batch": findings.checked.input, "bad.rows": findings.bad}
    for batch in engine.query(statement, inputs, engine_of(settings.load().gates)):
        yield pa.RecordBatch.from_arrays([batch[f.name].cast(f.type) for f in schema], schema=schema)


def taken_back(findings: Findings) -> list[int]:
    """`row_id` in quarantine of those rows that came from there and are good now."""
    statement = (
        "select quarantine_row as id from checked.batch where quarantine_row is not null "
        "and row_no not in (select row_no from bad.rows) order by 1"
    )
    inputs = {"checked.batch": findings.checked.input, "bad.rows": findings.bad}
    return engine.table_of(engine.query(statement, inputs, engine_of(settings.load().gates)))["id"].to_pylist()


def refused(findings: Findings, schema: pa.Schema, day: dt.date, run_id: str | None) -> Iterator[pa.Table]:
    """The rows that are taken out as rows of `quarantine.rows`: every value as text, with all the reasons.

    A value that could not be read stands there as it came, but for NUL, which is U+FFFD.

    :param schema: the columns that are kept.
    """
    told = [
        f"case when broken & {1 << i} <> 0 then {engine.literal(rule.name)} end"
        for i, rule in enumerate(findings.rules)
        if rule.severity == QUARANTINE
    ]
    doubles = " ".join(f"when {kind} then {engine.literal(words)}" for kind, words in DUPLICATE_REASONS.items())
    reasons = ", ".join([*told, f"case duplicate {doubles} end"])
    fields = ", ".join(  # jsonb has no place for NUL
        f"{engine.literal(name)}: replace({engine.quoted(name)}::varchar, chr(0), '\ufffd')" for name in schema.names
    )
    statement = f"""
        with taken as (
            select c.row_no, [x for x in [{reasons}] if x is not null] as reasons,
                to_json({{{fields}}}) as plain, unreadable
            from checked.batch as c inner join bad.rows as b on c.row_no = b.row_no
            where c.quarantine_row is null
        ),
        whole as (
            select row_no, reasons, coalesce(json_merge_patch(plain, unreadable::json), plain)::varchar as row
            from taken
        )
        select {engine.literal(SOURCE)} as source, {engine.literal(findings.checked.table)} as table_name,
            reasons[1] as reason, reasons, row, {engine.literal(day)} as day,
            {engine.literal(run_id) if run_id else "null::varchar"} as run_id,
            (row_number() over (partition by reasons[1], row order by row_no))::integer as copy_no
        from whole order by row_no
    """  # noqa: S608
    inputs = {"checked.batch": findings.checked.input, "bad.rows": findings.bad}
    for batch in engine.query(statement, inputs, engine_of(settings.load().gates)):
        if batch.num_rows:
            yield pa.table(batch)


def sample_of_good(checked: Checked, bad: pa.Table, rules: Sequence[Rule]) -> pd.DataFrame:
    """Some of the rows that passed, the same ones every time, with the columns that the rules look at.

    Decimals as float64: Great Expectations compares these a hundred times faster.
    """
    config = settings.load().gates
    names = dict.fromkeys(column for rule in rules if rule.type not in OWN_TYPES for column in rule.columns)
    columns = ", ".join(map(engine.quoted, names))
    statement = (
        f"select {columns} from ({checked.numbered}) as n "  # noqa: S608
        f"where not is_deleted and row_no not in (select row_no from bad.rows) "
        f"order by hash(row_no) limit {config.sample_rows}"
    )
    inputs = {"checked.batch": checked.input, "bad.rows": bad}
    found = engine.table_of(engine.query(statement, inputs, engine_of(config)))
    for index, each in enumerate(found.schema):
        if pa.types.is_decimal(each.type):
            found = found.set_column(index, each.name, found.column(index).cast(pa.float64()))
    return found.to_pandas()
