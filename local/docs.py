"""Writes the documents that are generated: `make docs`. A test fails where they differ from what they are made of."""

import tempfile
from pathlib import Path

from local.dag_docs import dags
from local.postgres import Postgres
from segmentation import campaign_results, families, snapshots, warehouse

DOCS = Path(__file__).resolve().parents[1] / "docs"
FEATURES, CONTRACT, DAGS = DOCS / "features.md", DOCS / "output-contract.md", DOCS / "DAGs.md"
RELATIONS = (
    "customer_segments",
    "segment_changes",
    "segment_history",
    "segment_profiles",
    "snapshots",
    "campaign_results",
    "product_movement",
)
_CONTRACT_HEAD = """# The output contract: every relation and column

What CRM systems read, in schema `marketing`. How it behaves: [contract.md](contract.md). Made from the comments in the
database itself by `make docs`; `\\d+ marketing.customer_segments` shows the same.
"""
_TABLE = ("| column | type | meaning |", "|---|---|---|")
_COLUMNS = """
    select a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum)
    from pg_attribute as a
    where a.attrelid = to_regclass('marketing.' || :relation) and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""


def features() -> str:
    """The text of docs/features.md."""
    return families.dictionary()


def contract(dsn: str) -> str:
    """The text of docs/output-contract.md, from the comments of a database that has the marketing schema."""
    parts = [_CONTRACT_HEAD]
    with warehouse.connect(dsn) as connection:
        for relation in RELATIONS:
            about = "select obj_description(to_regclass('marketing.' || :relation), 'pg_class')"
            [(told,)] = warehouse.fetch(connection, about, {"relation": relation})
            lines = [f"\n## marketing.{relation}\n\n{_sentence(told)}\n", *_TABLE]
            for name, kind, meaning in warehouse.fetch(connection, _COLUMNS, {"relation": relation}):
                lines.append(f"| `{name}` | {kind} | {_cell(meaning)} |")
            parts.append("\n".join(lines) + "\n")
        at = "select obj_description('marketing.customer_segments_at(date)'::regprocedure, 'pg_proc')"
        [(told,)] = warehouse.fetch(connection, at)
        parts.append(f"\n## marketing.customer_segments_at(day date)\n\n{_sentence(told)}\n")
    return "".join(parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{_cell(text)[1:]}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    FEATURES.write_text(features(), encoding="utf-8")
    DAGS.write_text(dags(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            snapshots.ensure_schema(server.url())
            campaign_results.ensure_schema(server.url())
            CONTRACT.write_text(contract(server.url()), encoding="utf-8")
        finally:
            server.stop()
    print(f"wrote {FEATURES.name}, {CONTRACT.name} and {DAGS.name}")
