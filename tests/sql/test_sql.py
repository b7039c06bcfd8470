"""
Every statement of include/sql on rows one can check by hand: `tests/sql/<stage>/<statement>/<case>.yaml`.

A case names the input rows, the parameters and the rows that must come out. Only the columns that `expect` names are
compared; the order of the rows counts. Stage `features` runs on DuckDB, the others on a real Postgres.
"""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from segmentation import engine, publish, sql, tables, warehouse
from tests import frames

HOME = Path(__file__).parent
CASES = sorted(HOME.glob("*/*/*.yaml"))
POSTGRES_STAGES = ("extract", "publish")


def case_id(path: Path) -> str:
    return str(path.relative_to(HOME).with_suffix(""))


def run_on_duckdb(stage: str, name: str, case: dict) -> list[dict]:
    inputs = {entity.table: frames.table(entity, []) for entity in tables.ENTITIES.values()}
    for table, rows in case.get("inputs", {}).items():
        entity = tables.ENTITIES.get(table.removeprefix("raw.").removesuffix("_now"))
        inputs[table] = frames.table(entity, rows) if entity else pa.Table.from_pylist(rows)
    inputs.setdefault(tables.CUSTOMERS_NOW, inputs[tables.CUSTOMERS.table])
    parameters = {key: engine.midnight(value) for key, value in case.get("parameters", {}).items()}
    return pa.Table.from_batches(engine.run(stage, name, inputs, parameters)).to_pylist()


def run_on_postgres(stage: str, name: str, case: dict, dsn: str) -> list[dict]:
    publish.ensure_schema(dsn)
    with warehouse.connect(dsn) as connection:
        for table, rows in case.get("inputs", {}).items():
            entity = tables.ENTITIES.get(table.removeprefix("shop."))
            data = frames.table(entity, rows) if entity else pa.Table.from_pylist(rows)
            warehouse.copy_in(connection, table, [data], data.column_names)
    query = sql.read(stage, name)
    with warehouse.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(query)
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
        for stage in ("extract", "features", "publish")
        for path in (sql.SQL_HOME / stage).glob("*.sql")
    }
    covered = {"/".join(path.parts[-3:-1]) for path in CASES}
    assert statements - {"publish/schema"} == covered - {"publish/schema"}
