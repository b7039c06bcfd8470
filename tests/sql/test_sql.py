"""
Every statement of include/sql on rows one can check by hand: `tests/sql/<stage>/<statement>/<case>.yaml`.

A case names the input rows, the parameters and the rows that must come out. Only the columns that `expect` names are
compared; the order of the rows counts. Stages `extract`, `publish` and `privacy` run on a real Postgres, the others on
DuckDB; the tables there, `raw.*`, `agg.*`, `feat.population`, are what a session has registered for a statement.
"""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from segmentation import engine, history, settings, snapshots, sources, sql, tables, warehouse
from tests import frames

HOME = Path(__file__).parent
CASES = sorted(HOME.glob("*/*/*.yaml"))
POSTGRES_STAGES = ("extract", "publish", "privacy", "runs")
DUCKDB_STAGES = (
    "aggregates", "features", "consent", "performance", "recommend", "movement", "strategy", "evaluate",
    "learn_policy",
)  # fmt: skip
SEGMENT_ROWS = f"select * from {tables.SEGMENT_ROWS}"
# What publishing makes for its session: name -> query with its columns
OF_A_SESSION = {
    **dict.fromkeys(("old_rows", "new_rows", "before_rows"), SEGMENT_ROWS),
    "changed": "select customer_id, change, from_segment_id, to_segment_id, from_strategy_id, to_strategy_id, "
    f"true as is_history from {tables.CHANGE_ROWS}",
    "withdrawals": "select null::text as customer_id, null::text as channel",
    "history_changed": "select customer_id from marketing.segment_history",
}


def case_id(path: Path) -> str:
    return str(path.relative_to(HOME).with_suffix(""))


POPULATION = pa.schema([field for field in tables.CUSTOMERS.schema if "consent" not in field.name][:-1])
VALID = [("valid_from", pa.date32()), ("valid_to", pa.date32())]


def sources_of(inputs: dict[str, list[dict]]) -> dict[str, pa.Table]:
    """Every table that a statement may ask for, those not named empty."""
    found = {}
    for entity in tables.ENTITIES.values():
        found[entity.table] = frames.table(entity, inputs.get(entity.table, []))
        rows = inputs.get(f"{entity.table}_timeline", [])
        timeline = frames.table(entity, rows)
        for name, kind in VALID:
            usual = sources.ALWAYS if name == "valid_from" else sources.FOREVER
            timeline = timeline.append_column(name, pa.array([row.get(name, usual) for row in rows], kind))
        found[f"{entity.table}_timeline"] = timeline
    events = inputs.get(tables.EVENTS.table, [])
    known_on = pa.array([row.get("known_on", sources.ALWAYS) for row in events], pa.date32())
    found[tables.EVENTS.table] = found[tables.EVENTS.table].append_column("known_on", known_on)
    for aggregate in tables.AGGREGATES.values():
        measures = dict.fromkeys(aggregate.measures.names, 0)
        for table in (aggregate.table, f"{aggregate.table}_later"):
            found[table] = frames.typed([{**measures, **row} for row in inputs.get(table, [])], aggregate.schema)
    found[tables.POPULATION] = frames.typed(inputs.get(tables.POPULATION, []), POPULATION)
    now = inputs.get(tables.CUSTOMERS_NOW, inputs.get(tables.CUSTOMERS.table, []))
    found[tables.CUSTOMERS_NOW] = frames.table(tables.CUSTOMERS, now)
    for table in inputs.keys() - found.keys():
        found[table] = pa.Table.from_pylist(inputs[table])
    return found


def run_on_duckdb(stage: str, name: str, case: dict) -> list[dict]:
    parameters = {"sample_below": "g", **case.get("parameters", {})}
    statement = sql.read(stage, name)
    with engine.session("", settings.Settings()) as session:
        for table, rows in sources_of(case.get("inputs", {})).items():
            session.put(table, rows)
        found = engine.table_of(session.batches(statement, parameters))
    return sorted(
        found.to_pylist(), key=lambda row: [f"{row[key]}" for key in case.get("order", found.column_names[:1])]
    )


def run_on_postgres(stage: str, name: str, case: dict, dsn: str) -> list[dict]:
    snapshots.ensure_schema(dsn)
    history.ensure_schema(dsn)
    with warehouse.connect(dsn) as connection, connection.cursor() as cursor:
        for table, rows in case.get("inputs", {}).items():
            entity = tables.ENTITIES.get(table.removeprefix("shop."))
            columns = dict.fromkeys(column for row in rows for column in row)
            data = frames.table(entity, rows) if entity else pa.Table.from_pylist([{**columns, **row} for row in rows])
            if "." not in table:
                cursor.execute(f"create temporary table {table} as {OF_A_SESSION[table]} with no data")
            warehouse.copy_in(connection, table, [data], data.column_names)
        cursor.execute(case.get("before", "select 1"))
        statement = sql.for_psycopg(sql.read(stage, name))
        if "sorted" in case:
            statement = f"select * from ({statement}) as found order by {case['sorted']}"
        cursor.execute(statement, case.get("parameters", {}))
        if "result" in case:
            cursor.execute(case["result"])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def plain(value):
    """Comparable with what YAML can spell."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date()
    return value


@pytest.mark.parametrize("path", CASES, ids=case_id)
def test_statement(path: Path, request):
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    stage, name = path.parts[-3:-1]
    if stage in POSTGRES_STAGES:
        rows = run_on_postgres(stage, name, case, request.getfixturevalue("warehouse_dsn"))
    else:
        rows = run_on_duckdb(stage, name, case)
    wanted = case["expect"]
    columns = list(wanted[0]) if wanted else []
    got = [{column: plain(row[column]) for column in columns} for row in rows]
    assert close(got, wanted), got


def close(got: list[dict], wanted: list[dict]) -> bool:
    """Equal, floats to nine digits."""
    return len(got) == len(wanted) and all(
        pytest.approx(want[column], rel=1e-9) == have[column]
        if isinstance(want[column], float)
        else want[column] == have[column]
        for have, want in zip(got, wanted, strict=True)
        for column in want
    )


def test_every_statement_has_a_case():
    statements = {
        f"{path.parent.name}/{path.stem}"
        for stage in (*POSTGRES_STAGES, *DUCKDB_STAGES)
        for path in (sql.SQL_HOME / stage).glob("*.sql")
    }
    covered = {"/".join(path.parts[-3:-1]) for path in CASES}
    of_tables = {
        f"{stage}/{name}"
        for stage in ("publish", "movement", "privacy", "runs")
        for name in ("schema", "comments", "grants")
    }
    of_tables |= {"performance/performance", "movement/expired"}  # the latter: tests/segmentation/test_movement.py
    assert statements - of_tables == covered - of_tables
