"""
A simulation's rows into the database: a new shop by COPY into bare tables, a day's growth by key.

Generating, printing and copying overlap: the rows are made in a thread of their own, a few pieces ahead.
"""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from local.simulator import columns
from local.simulator.simulation import VANISHED_CUSTOMERS, VANISHED_ORDERS, Piece, Progress, Simulation
from segmentation import tables, warehouse

TRUTH_DDL = Path(__file__).resolve().parents[1] / "sql" / "truth.sql"
KEYS = {f"shop.{entity.name}": entity.key for entity in tables.ENTITIES.values()} | {
    "truth.customers": ("customer_no",),
    "truth.products": ("product_no",),
    "truth.campaign_effects": ("campaign_id", "arm", "latent_type"),
}
# Where the rows of an order, and those of a customer, lie.
_OF_ORDERS = ("orders", "order_items")
_OF_CUSTOMERS = ("orders", "events", "support_tickets", "campaign_contacts", "customers")
_PIECES_AHEAD = 8
_BUILD_MEMORY = "512MB"


def replace(connection, simulation: Simulation, progress: Progress) -> dict[str, int]:
    """Fills the empty tables; their keys and the index on `updated_at` are made afterwards. Rows by table.

    The tables must have been truncated in this transaction.
    """
    names = [name for name in KEYS if name.startswith("shop.")]
    for name in names:
        warehouse.run_script(connection, f"alter table {name} drop constraint if exists {_index(name, 'pkey')}")
        warehouse.run_script(connection, f"drop index if exists shop.{_index(name, 'updated_at')}")
    counts = dict.fromkeys(KEYS, 0)
    for name, table in _ahead(simulation, progress):
        counts[name] += _copy(connection, name, table)
    warehouse.run_script(connection, f"set local maintenance_work_mem = '{_BUILD_MEMORY}'")
    for done, name in enumerate(names):
        progress("building the keys", done, len(names))
        warehouse.run_script(connection, f"alter table {name} add primary key ({', '.join(KEYS[name])})")
        warehouse.run_script(connection, f"create index {_index(name, 'updated_at')} on {name} (updated_at)")
        warehouse.run_script(connection, f"analyze {name}")
    progress("building the keys", len(names), len(names))
    return counts


def grow(connection, simulation: Simulation, progress: Progress) -> None:
    """Puts new rows in, new states in the place of the old, and takes out what vanished."""
    for name in KEYS:
        warehouse.run_script(connection, f"create temp table {_incoming(name)} (like {name}) on commit drop")
    warehouse.run_script(connection, _VANISHED)
    for name, table in _ahead(simulation, progress):
        _copy(connection, _incoming(name), table)
    for done, name in enumerate(KEYS):
        progress("writing", done, len(KEYS))
        taken = [column for (column,) in warehouse.fetch(connection, _COLUMNS, {"name": name})]
        changes = ", ".join(f"{column} = excluded.{column}" for column in taken if column not in KEYS[name])
        warehouse.execute(
            connection,
            f"insert into {name} select * from {_incoming(name)} "  # noqa: S608 - names of this module
            f"on conflict ({', '.join(KEYS[name])}) do update set {changes}",
        )
    for key, vanished, affected in (
        ("order_id", VANISHED_ORDERS, _OF_ORDERS),
        ("customer_id", VANISHED_CUSTOMERS, _OF_CUSTOMERS),
    ):
        _take_out(connection, key, _incoming(vanished), affected)
    progress("writing", len(KEYS), len(KEYS))


_VANISHED = """
create temp table incoming_vanished_orders (order_id text) on commit drop;
create temp table incoming_vanished_customers (customer_id text) on commit drop;
"""
_COLUMNS = """
select attname::text from pg_attribute
where attrelid = (:name)::regclass and attnum > 0 and not attisdropped
order by attnum
"""


def _take_out(connection, key: str, gone: str, affected: tuple[str, ...]) -> None:
    """Deletes the rows with the keys in the table `gone`; a customer's order items with the orders."""
    if not warehouse.fetch(connection, f"select exists (select from {gone})")[0][0]:  # noqa: S608
        return
    if key == "customer_id":
        warehouse.execute(
            connection,
            "delete from shop.order_items as i using shop.orders as o "  # noqa: S608
            f"where i.order_id = o.order_id and o.customer_id in (select customer_id from {gone})",
        )
    for name in affected:
        warehouse.execute(connection, f"delete from shop.{name} where {key} in (select {key} from {gone})")  # noqa: S608


def _copy(connection, name: str, table: pa.Table) -> int:
    if table.num_rows == 0:
        return 0
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            text = columns.times_as_text(table.column(place).combine_chunks())
            table = table.set_column(place, field.name, text)
    return warehouse.copy_in(connection, name, [table], table.column_names)


def _ahead(simulation: Simulation, progress: Progress) -> Iterator[Piece]:
    """The simulation's pieces, made in another thread while the last ones are written."""
    pieces: queue.Queue[Piece | BaseException | None] = queue.Queue(_PIECES_AHEAD)
    stopped = threading.Event()

    def make() -> None:
        last: BaseException | None = None
        try:
            for piece in simulation.pieces(progress):
                pieces.put(piece)
                if stopped.is_set():
                    break
        except BaseException as error:
            last = error
        pieces.put(last)

    maker = threading.Thread(target=make, name="simulation", daemon=True)
    maker.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        stopped.set()
        while maker.is_alive():
            if not pieces.empty():
                pieces.get()
            maker.join(0.01)


def _incoming(name: str) -> str:
    return f"incoming_{name.replace('.', '_')}"


def _index(name: str, what: str) -> str:
    return f"{name.removeprefix('shop.')}_{what}"
