"""A small shop in which one customer is everywhere, and a search that knows nothing of how the product searches."""

import datetime as dt
import html
import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from local.postgres import Postgres
from segmentation import (
    aggregates,
    data_docs,
    features,
    history,
    lake,
    publish,
    quality,
    registry,
    segment_export,
    tables,
    warehouse,
)
from segmentation.suites import QUARANTINE, Rule
from segmentation.verdict import ROWS, Result, Verdict
from tests import frames
from tests.segmentation.test_publish import put_scores

FIRST, DAY = dt.date(2026, 1, 30), dt.date(2026, 1, 31)
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
OTHERS = [f"other{number}" for number in range(12)]


def fill(stores, who: str, logs: Path) -> None:
    """Two days of a shop: who buys, writes, is contacted; is scored, published, exported; and is an example."""
    frames.write_raw(stores, FIRST, **_rows(who))
    _delete_an_event(stores)
    frames.write_raw(
        stores, DAY,
        orders=[{"order_id": "moved-1", "customer_id": OTHERS[0], "ordered_at": dt.date(2026, 1, 3),
                 "updated_at": dt.date(2026, 1, 30)}],
        order_items=[{"order_id": "theirs-1", "product_id": "p2", "returned_quantity": 1,
                      "updated_at": dt.date(2026, 1, 30)}],
    )  # fmt: skip
    aggregates.build_aggregates(DAY, stores)
    features.build_features(DAY, stores)
    examples = pa.table({"customer_id": [who, *OTHERS], "recency_days": range(13)})
    for table in (tables.TRAINING_EXAMPLES, tables.CONTACT_EXAMPLES):
        lake.write(stores.lake, table, FIRST, examples.to_batches(), examples.schema)
    for day in (FIRST, DAY):
        put_scores(stores, day, [_score(name, day) for name in (who, *OTHERS)])
        publish.publish_segments(day, stores)
    chosen = [{"customer_id": name, "as_of_date": FIRST, "strategy_id": "s", "chance": 0.4} for name in (who, *OTHERS)]
    chosen = frames.typed(chosen, tables.STRATEGY_COLUMNS)
    lake.write(stores.lake, tables.STRATEGIES, FIRST, chosen.to_batches(), chosen.schema)
    aggregates.build_aggregates(DAY, stores)  # what these accepted besides
    for kind in segment_export.FORMATS:
        segment_export.export_segment(1, kind, stores)
    _refuse(stores, who)
    with registry.Registry(stores.registry, stores.marketing).training("customer_segments", DAY) as run:
        run.text(f"a page about {who}, the first of {OTHERS[1]}", "page.md")
    (logs / "dag_id=d").mkdir(parents=True)
    (logs / "dag_id=d" / "attempt=1.log").write_text(
        f'{{"event": "a rule: 2 of 9 rows, for example {json.dumps(who)[1:-1]}, {OTHERS[1]}"}}\nlast line\n'
    )


def _rows(who: str) -> dict:
    names = [who, *OTHERS]
    bought = dt.date(2026, 1, 2)
    return {
        "customers": [{"customer_id": name} for name in names],
        "products": [{"product_id": name} for name in ("p1", "p2")],
        "orders": [
            {"order_id": "theirs-1", "customer_id": who, "ordered_at": bought},
            {"order_id": "moved-1", "customer_id": who, "ordered_at": bought},
            {"order_id": "others-1", "customer_id": OTHERS[0], "ordered_at": bought},
        ],
        "order_items": [{"order_id": f"{name}-1"} for name in ("theirs", "moved", "others")],
        "events": [
            {"event_id": f"{name[:5]}-e{n}", "customer_id": name, "occurred_at": bought, "event_type": "product_view",
             "session_id": f"s{n}", "product_id": "p1"}
            for name in (who, OTHERS[0]) for n in (1, 2)
        ],
        "support_tickets": [{"ticket_id": f"t-{n}", "customer_id": name} for n, name in enumerate((who, OTHERS[0]))],
        "campaigns": [{"campaign_id": "k1", "strategy_id": "s"}],
        "campaign_contacts": [{"campaign_id": "k1", "customer_id": name} for name in (who, OTHERS[0])],
    }  # fmt: skip


def _delete_an_event(stores) -> None:
    """The mark says nothing of whose event it was."""
    frames.stage(stores, FIRST)
    rows = lake.read(stores.lake, tables.EVENTS.staged, FIRST)
    with_mark = {"event_id": next(iter(_events_of(stores))), "is_deleted": True}
    rows = pa.Table.from_pylist([with_mark], schema=rows.schema)
    lake.write(stores.lake, tables.EVENTS.staged, FIRST, rows.to_batches(), rows.schema)
    staged = {
        name: frames.part_of(lake.path(stores.lake, entity.staged, FIRST), entity)
        for name, entity in tables.ENTITIES.items()
    }
    history.append(stores, FIRST, staged, is_reload=True)


def _events_of(stores) -> list[str]:
    [file] = history.files_of(stores, "events")
    rows = pq.read_table(f"{stores.lake}/{file.path}").to_pylist()
    return [row["event_id"] for row in rows if row["customer_id"] not in OTHERS][1:]


def _score(name: str, day: dt.date) -> dict:
    return {
        "customer_id": name, "as_of_date": day, "segment_id": 1, "segment_name": "s1", "lifecycle_stage": "active",
        "value_tier": "low", "model_versions": "{}", "scored_at": NOW, "reasons": ["bought lately"],
    }  # fmt: skip


def _refuse(stores, who: str) -> None:
    refused = [
        ("raw.customers", {"customer_id": who, "gender": "x"}),
        ("raw.order_items", {"order_id": "theirs-1", "line_no": "9"}),
        ("raw.orders", {"order_id": "others-1", "customer_id": OTHERS[0]}),
        (None, {"Invoice": "others-1", "CustomerID": who}),
        (None, ["a", who, "c"]),
        (None, {"Invoice": "others-1", "Quantity": "3"}),
    ]
    with warehouse.connect(stores.marketing) as connection:
        for table, row in refused:
            warehouse.execute(
                connection,
                "insert into quarantine.rows (source, table_name, reason, reasons, row) "
                "values ('t', :table, 'r', '{r}', cast(:row as jsonb))",
                {"table": table, "row": json.dumps(row)},
            )
    examples = {
        "raw.customers": [who, OTHERS[0]],
        "raw.order_items": ["others-1/1", "theirs-1/9"],
        "raw.campaign_contacts": [f"k1/{who}", f"k1/{OTHERS[0]}"],
        "score.customer_daily": [who],
    }
    rule = Rule("a rule", QUARANTINE, "expect_column_values_to_not_be_null", {"column": "customer_id"})
    verdicts = [Verdict(t, 9, results=[Result(rule, ROWS, False, 9, 2, examples=e)]) for t, e in examples.items()]
    quality.write(stores.marketing, verdicts, DAY, "run-1")
    data_docs.write(stores, verdicts, DAY, "run-1")


def search(stores, who: str, logs: Path) -> list[str]:
    """Every place that still spells a name, however it is spelt there; tombstones left out."""
    spelt = {who, html.escape(who), json.dumps(who)[1:-1]}
    found = []
    folders = [Path(stores.lake), logs, Path(stores.registry.removeprefix("sqlite:///")).parent]
    for path in sorted({path for folder in folders for path in folder.rglob("*") if path.is_file()}):
        if path.suffix == ".parquet":
            cells = {str(cell) for row in pq.read_table(path).to_pylist() for cell in row.values()}
            found += [f"{path}"] * bool(spelt & cells)
        else:
            found += [f"{path}"] * any(name.encode() in path.read_bytes() for name in spelt)
    dump = [str(Postgres.bin("pg_dump")), "--data-only", "--inserts", stores.marketing]
    lines = subprocess.run(dump, capture_output=True, text=True, check=True).stdout.splitlines()
    spelt |= {who.replace("'", "''")}
    found += [line for line in lines if any(name in line for name in spelt) and "'erased'" not in line]
    return found


def rows(stores) -> dict[str, list]:
    """Every row that is kept, by place, to compare."""
    kept: dict[str, list] = {}
    for path in sorted(Path(stores.lake).rglob("*.parquet")):
        name = "/".join(path.relative_to(stores.lake).parts[:2])
        rows = pq.read_table(path).to_pylist()
        mine = [
            row for row in rows if row.get("customer_id") in OTHERS or row.get("order_id") in ("moved-1", "others-1")
        ]
        kept.setdefault(name, []).extend(sorted(map(str, mine)))
    with warehouse.connect(stores.marketing) as connection:
        for table in ("marketing.segment_history", tables.CHANGE_ROWS, tables.SEGMENT_ROWS, tables.QUARANTINE):
            kept[table] = sorted(map(str, warehouse.fetch(connection, f"select r::text from {table} as r")))
    return kept
