"""
Makes the practice shop in a database, and lets it grow.

Both are one transaction: readers see the shop as it was or as it will be. While a new shop is made they wait; while it
grows they do not.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from local.simulator import answers, writing
from local.simulator.answers import Answer, Answers
from local.simulator.clock import BLOCK, DAY, day_of, start_of
from local.simulator.settings import Settings, check_days
from local.simulator.simulation import Progress, Simulation, first_block
from local.simulator.truth_tables import MEMORY, STOCK, memory_of, stock_of
from segmentation import warehouse

SOURCE = "simulated shop"
_RECORD = """
update quarantine.loads
set
    day = :day,
    customers = (select count(*) from shop.customers),
    orders = (select count(*) from shop.orders),
    order_items = (select count(*) from shop.order_items),
    lines = (select count(*) from shop.order_items)
where source = :source
"""
LOCK = "select pg_advisory_xact_lock(hashtext('fenqun: load the shop'))"


@dataclass(frozen=True)
class PracticeShop:
    """A simulated shop as it lies in a database. `last_day` is the last day, UTC, of which it holds rows; `answer` what
    it took up of what is published when it last grew."""

    settings: Settings
    last_day: date
    answer: Answer | None = field(default=None, compare=False)

    @property
    def until(self) -> int:
        """The end of the last day, exclusive, in microseconds since 1970."""
        return start_of(self.last_day) + DAY


def create(connection, settings: Settings, days: int, progress: Progress) -> dict[str, int]:
    """Replaces whatever is in schema `shop`, whose tables are there, by the first `days` days of a simulated shop.

    Inside the connection's transaction. :returns: rows by table.
    :raises ValueError: there are no days, or too many.
    """
    check_days(days)
    warehouse.execute(connection, LOCK)
    clear(connection)
    warehouse.run_script(connection, writing.TRUTH_DDL.read_text(encoding="utf-8"))
    simulation = Simulation.new(settings, days)
    counts = writing.replace(connection, simulation, progress)
    _note(connection, PracticeShop(settings, day_of(simulation.until - 1)))
    warehouse.run_script(connection, "analyze truth.customers; analyze truth.products; analyze truth.campaign_effects")
    return counts


def grow(dsn: str, days: int, progress: Progress, strategies: Path | None = None) -> PracticeShop:
    """Adds days to the simulated shop in the database, in one transaction, and notes them with the record of its load.

    :param strategies: the file of strategies, if the shop shall answer to what is published (`answers`).
    :returns: the shop as it is then.
    :raises ValueError: there is no simulated shop, another version made it, or there are no days, or too many; what is
        published is of a day that the shop has not come to.
    """
    check_days(days)
    with warehouse.connect(dsn) as connection:
        warehouse.execute(connection, LOCK)
        shop = find(connection)
        if shop is None:
            raise ValueError("there is no simulated shop that could grow")
        memory = memory_of(_read(dsn, "truth.customers", "customer_no", MEMORY))
        stock = stock_of(_read(dsn, "truth.products", "product_no", STOCK))
        warehouse.run_script(connection, writing.TRUTH_DDL.read_text(encoding="utf-8"))  # an older shop has less of it
        since = start_of(shop.settings.first_day) + first_block(shop.settings, shop.until) * BLOCK
        given, answer = answers.remembered(connection, dsn, since), None
        if strategies is not None:
            answer = answers.take_up(connection, dsn, shop.settings, memory, shop.until, given, strategies)
        if answer:
            given = Answers([*given.given, answer], min(given.since, answer.begins_at))
        simulation = Simulation(shop.settings, shop.until, shop.until + days * DAY, memory, stock, given)
        writing.grow(connection, simulation, progress)
        grown = PracticeShop(shop.settings, shop.last_day + timedelta(days=days), answer)
        _note(connection, grown)
        warehouse.execute(connection, _RECORD, {"source": SOURCE, "day": grown.last_day + timedelta(days=1)})
    return grown


def find(connection) -> PracticeShop | None:
    """The simulated shop in the database, None if there is none.

    :raises ValueError: another version of the simulator made it.
    """
    if warehouse.fetch(connection, "select to_regclass('truth.settings')")[0][0] is None:
        return None
    rows = warehouse.fetch(connection, "select parameters::text, last_day from truth.settings")
    return PracticeShop(Settings.from_json(rows[0][0]), rows[0][1]) if rows else None


def clear(connection) -> None:
    """Empties the shop at once, whatever its size. Readers wait until the end of the transaction."""
    tables = ", ".join(name for name in writing.KEYS if name.startswith("shop."))
    warehouse.run_script(connection, f"truncate {tables}")
    forget(connection)


def forget(connection) -> None:
    """Drops the truth about a shop that is replaced by another."""
    warehouse.run_script(connection, "drop schema if exists truth cascade")


def _note(connection, shop: PracticeShop) -> None:
    row = {
        "seed": shop.settings.seed,
        "customers": shop.settings.customers,
        "first_day": shop.settings.first_day,
        "last_day": shop.last_day,
        "parameters": shop.settings.as_json(),
    }
    warehouse.execute(connection, "delete from truth.settings")
    warehouse.copy_in(connection, "truth.settings", [pa.table({name: [row[name]] for name in row})], list(row))


def _read(dsn: str, table: str, key: str, schema: pa.Schema) -> pa.Table:
    names = ", ".join(schema.names)
    query = f"select {names} from {table} order by {key}"  # noqa: S608 - names of this package
    return pa.Table.from_batches(warehouse.stream(dsn, query, schema), schema)
