"""The practice stack that `make bench` runs on, with one simulated shop after the other in it."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

from local import environment, load, reset
from local.bench.daily.work import Place
from local.simulator import practice_shop
from local.simulator.settings import LAST_DAY, Settings
from local.stack import Stack
from local.state import State
from segmentation import history, settings, tables, warehouse

FIRST_DAY = LAST_DAY + dt.timedelta(days=1)  # the first that knows all that a new shop begins with
KEPT = (tables.TRAINING_EXAMPLES, tables.DEMAND)  # what the models learnt from: drift is measured against it
_DIGESTS = "run_id, model, version, sha256, is_adopted, noted_at"


def place(home: Path, day: dt.date) -> Place:
    """Where a piece of work finds everything, from the stack's home folder alone."""
    stack = Stack(home)
    at = stack.addresses()
    here = stack.folders.home / "moment"
    here.mkdir(exist_ok=True)
    stores = settings.Stores(at.marketing, at.marketing, str(stack.folders.lake), at.mlflow)
    return Place(stores, day, at.warehouse, here, State.load(stack.folders.state).secrets.holdout)


def surroundings(stack: Stack) -> dict[str, str]:
    """The environment of a piece of work: what Airflow's tasks would have, without what is Airflow's."""
    wanted = environment.of_airflow(stack.folders, State.load(stack.folders.state), stack.postgres, stack.dags)
    kept = {name: value for name, value in wanted.items() if not name.startswith("AIRFLOW") and name != "PYTHONPATH"}
    return environment.inherited() | kept


def make(stack: Stack, customers: int, days: int) -> dict[str, int]:
    """Replaces the shop by a new one, and forgets what was derived from the one before; models stay.

    :returns: rows by table.
    """
    at = stack.addresses()
    load.simulate(at.warehouse, Settings.until(LAST_DAY, days, customers=customers), days)
    _forget(stack)
    return rows(stack)


def grow(stack: Stack) -> None:
    """One more day."""
    practice_shop.grow(stack.addresses().warehouse, 1, lambda *_: None)


def rows(stack: Stack) -> dict[str, int]:
    """How many rows each table of the shop has."""
    with warehouse.connect(stack.addresses().warehouse) as connection:
        return {
            name: warehouse.fetch(connection, f"select count(*) from shop.{name}")[0][0]  # noqa: S608 - our names
            for name in tables.ENTITIES
        }


def _forget(stack: Stack) -> None:
    """Lake and schemas of the shop before go; which models there are, and what they learnt from, stays."""
    at = stack.addresses()
    with warehouse.connect(at.warehouse) as connection:
        schemas = [
            name for (name,) in warehouse.fetch(connection, reset.DERIVED_SCHEMAS, {"kept": list(reset.KEPT_SCHEMAS)})
        ]
        if "ops" in schemas:
            warehouse.run_script(
                connection,
                f"create table public.digests as select {_DIGESTS} from ops.model_digests",  # noqa: S608
            )
        for name in schemas:
            warehouse.execute(connection, f"drop schema {warehouse.identifier(name)} cascade")
        warehouse.execute(connection, reset.REFUSED)
    if "ops" in schemas:
        history.ensure_schema(at.marketing)
        with warehouse.connect(at.warehouse) as connection:
            warehouse.run_script(
                connection,
                f"insert into ops.model_digests ({_DIGESTS}) select {_DIGESTS} from public.digests; "  # noqa: S608
                "drop table public.digests",
            )
    clear(stack.folders.lake)


def clear(lake: Path) -> None:
    """Removes all tables from a lake but `KEPT`."""
    for folder in lake.iterdir():
        for each in folder.iterdir() if folder.name == "feat" else [folder]:
            if f"feat.{each.name}" in KEPT:
                continue
            shutil.rmtree(each) if each.is_dir() else each.unlink()
