"""The commands behind the Makefile: `python -m local up | down | status | load | simulate | demo | run | ...`.

Exit status: 0 done, 1 failed (the cause is the last thing printed), 2 a mistake in what was asked, 130 Ctrl-C.
Imports are late, as `warehouse-url` is used in scripts and should answer at once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from local.errors import StackError

DAG_ID = re.compile(r"[A-Za-z0-9_.-]+")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What was started stays: the same command goes on, `make down` stops it.", file=sys.stderr)
        return 130


def up(options: argparse.Namespace) -> None:
    from local.demo import print_addresses
    from local.stack import Stack

    begun = time.monotonic()
    addresses = Stack().up()
    print(f"The stack is up ({time.monotonic() - begun:.1f} s).")
    print_addresses(addresses)


def down(options: argparse.Namespace) -> None:
    from local.stack import Stack

    Stack().down()


def status(options: argparse.Namespace) -> int:
    from local.stack import Stack

    lines = Stack().status()
    for line in lines:
        pid = f"pid {line.pid}" if line.pid else ""
        since = f"since {line.since:%Y-%m-%d %H:%M:%S} UTC" if line.since else ""
        print(f"{line.name:<15}{line.state:<15}{pid:<13}{line.address:<25}{since}".rstrip())
    return 0 if all(line.state == "healthy" for line in lines) else 1


def load(options: argparse.Namespace) -> int:
    from local.demo import fill
    from local.stack import Stack

    return _refusing_wrong_files(lambda: fill(Stack(), options.data))


def simulate(options: argparse.Namespace) -> None:
    from local.simulator.command import simulate as fill_or_grow
    from local.stack import Stack

    fill_or_grow(Stack(), options.customers, options.days, options.seed, is_answering=options.answer)


def demo(options: argparse.Namespace) -> int:
    from local.demo import demo as whole_demo
    from local.stack import Stack

    return _refusing_wrong_files(lambda: whole_demo(Stack(), options.data))


def run(options: argparse.Namespace) -> None:
    from local.airflow_api import Airflow
    from local.runs import run_dag
    from local.stack import Stack

    addresses = Stack().addresses()
    run_dag(Airflow(addresses.airflow, addresses.admin_password), options.dag, options.day, options.conf)


def backfill(options: argparse.Namespace) -> None:
    from local.airflow_api import Airflow
    from local.backfill import backfill as run_days
    from local.stack import Stack

    addresses = Stack().addresses()
    airflow = Airflow(addresses.airflow, addresses.admin_password)
    run_days(airflow, options.dag or "segment_customers_daily", options.first, options.last, options.again or "failed")


def backup(options: argparse.Namespace) -> None:
    from local.backup import backup as write
    from local.stack import Stack

    write(Stack(), options.to, options.keep)


def restore(options: argparse.Namespace) -> None:
    from local.restore import restore as read
    from local.stack import Stack

    read(Stack(), options.backup, force=bool(options.force))


def rollback(options: argparse.Namespace) -> None:
    from local.airflow_api import Airflow
    from local.runs import roll_back_segments
    from local.stack import Stack

    addresses = Stack().addresses()
    roll_back_segments(Airflow(addresses.airflow, addresses.admin_password), options.snapshot)


def rollback_model(options: argparse.Namespace) -> None:
    from local.airflow_api import Airflow
    from local.runs import roll_back
    from local.stack import Stack

    addresses = Stack().addresses()
    roll_back(Airflow(addresses.airflow, addresses.admin_password), options.model, options.version)


def erase_customer(options: argparse.Namespace) -> None:
    from local.airflow_api import Airflow
    from local.runs import erase_customer
    from local.stack import Stack

    addresses = Stack().addresses()
    erase_customer(Airflow(addresses.airflow, addresses.admin_password), addresses, options.id)


def export_customer(options: argparse.Namespace) -> None:
    from local.airflow_api import Airflow
    from local.runs import export_customer
    from local.stack import Stack

    addresses = Stack().addresses()
    export_customer(Airflow(addresses.airflow, addresses.admin_password), options.id)


def why(options: argparse.Namespace) -> None:
    from local.runs import print_why_slow
    from local.stack import Stack

    print_why_slow(Stack().addresses().warehouse, options.dag, options.day)


def strategies(options: argparse.Namespace) -> int:
    from local.strategies import check

    return check()


def psql(options: argparse.Namespace) -> None:
    from local.state import Folders

    postgres = Folders.default().postgres()
    _refuse_stopped(postgres.is_running())
    # By the environment, as a command line can be read by everyone on the machine.
    login = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "postgres", "PGDATABASE": "warehouse"}
    program = postgres.bin("psql")
    os.execve(program, [str(program), *options.arguments], {**os.environ, **login, "PGPASSWORD": postgres.password})


def warehouse_url(options: argparse.Namespace) -> None:
    from local.state import Folders

    postgres = Folders.default().postgres()
    _refuse_stopped(postgres.is_running())
    print(postgres.url("warehouse"))


def a_dag_id(text: str) -> str:
    """Argument type: what may be a DAG's id."""
    if not text:
        raise argparse.ArgumentTypeError("DAG is missing: make run DAG=<dag_id> DAY=<yyyy-mm-dd>")
    if not DAG_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"DAG must be the id of a DAG, such as segment_customers_daily, not {text!r}")
    return text


def a_model(text: str) -> str:
    """Argument type: what may be a model's name."""
    if not text:
        raise argparse.ArgumentTypeError("MODEL is missing: make rollback-model MODEL=<name|all> [VERSION=<n>]")
    return text


def a_snapshot(text: str) -> int:
    """Argument type: a snapshot's number."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        told = f"must be a snapshot's number, not {text!r}" if text else "is missing: make rollback SNAPSHOT=<id>"
        raise argparse.ArgumentTypeError(f"SNAPSHOT {told}")
    return int(text)


def a_version(text: str) -> str | None:
    """Argument type: a version's number; nothing stands for the one before the champion."""
    if text and not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"VERSION must be a version's number, not {text!r}")
    return text or None


def a_customer(text: str) -> str:
    """Argument type: a customer's id, which may be any text."""
    if not text.strip():
        raise argparse.ArgumentTypeError("ID is missing: ID=<customer_id>")
    return text


def a_number(text: str) -> int:
    """Argument type: a whole number in digits."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"CUSTOMERS, DAYS and SEED must be whole numbers, not {text!r}")
    return int(text)


def a_day(text: str, name: str = "DAY") -> date:
    """Argument type: a date as yyyy-mm-dd."""
    if not text:
        asked = "make run DAG=<dag_id> DAY=<yyyy-mm-dd>" if name == "DAY" else "make backfill FROM=<day> TO=<day>"
        raise argparse.ArgumentTypeError(f"{name} is missing: {asked}")
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name} must be a date as yyyy-mm-dd, not {text!r}") from None


def a_reprocess(text: str) -> str:
    """Argument type: which days that were run before a back-fill runs again."""
    if text not in ("", "none", "failed", "completed"):
        raise argparse.ArgumentTypeError(f"REPROCESS must be none, failed or completed, not {text!r}")
    return text


def a_count(text: str) -> int | None:
    """Argument type: how many backups to keep; nothing stands for all."""
    if text and not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(f"KEEP must be a number from 1 on, not {text!r}")
    return int(text) if text else None


def a_folder(text: str) -> str:
    """Argument type: where a backup lies."""
    if not text:
        raise argparse.ArgumentTypeError("BACKUP is missing: make restore BACKUP=<folder>")
    return text


def a_conf(text: str) -> dict[str, Any]:
    """Argument type: a JSON object; nothing stands for the empty one."""
    try:
        conf = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"CONF must be a JSON object, but is not JSON: {error}") from None
    if not isinstance(conf, dict):
        raise argparse.ArgumentTypeError(f'CONF must be a JSON object such as {{"key": 1}}, not {text}')
    return conf


def _refuse_stopped(is_running: bool) -> None:
    if not is_running:
        raise StackError("The stack is not running: `make up` starts it.")


def _refusing_wrong_files(work: Callable[[], object]) -> int:
    from local.source_file import WrongFile

    try:
        work()
    except WrongFile as error:
        print(error, file=sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of a command line that nobody types."""

    def error(self, message: str) -> None:
        self.exit(2, re.sub(r"^argument --\w+: ", "", message) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True, parser_class=_Parser)
    plain = {"up": up, "down": down, "status": status, "warehouse-url": warehouse_url, "strategies": strategies}
    for name, command in plain.items():
        commands.add_parser(name).set_defaults(command=command)
    for name, command in (("load", load), ("demo", demo)):
        part = commands.add_parser(name)
        part.add_argument("--data", help="a data set's file; without it a simulated shop")
        part.set_defaults(command=command)
    part = commands.add_parser("simulate")
    for name in ("customers", "days", "seed"):
        part.add_argument(f"--{name}", type=a_number)
    part.add_argument("--answer", action="store_true")
    part.set_defaults(command=simulate)
    part = commands.add_parser("run")
    part.add_argument("--dag", type=a_dag_id, required=True)
    part.add_argument("--day", type=a_day, required=True)
    part.add_argument("--conf", type=a_conf, default={})
    part.set_defaults(command=run)
    part = commands.add_parser("why")
    part.add_argument("--dag", type=a_dag_id, required=True)
    part.add_argument("--day", type=a_day, required=True)
    part.set_defaults(command=why)
    part = commands.add_parser("backfill")
    part.add_argument("--dag", type=lambda text: a_dag_id(text) if text else text)
    part.add_argument("--first", type=lambda text: a_day(text, "FROM"), required=True)
    part.add_argument("--last", type=lambda text: a_day(text, "TO"), required=True)
    part.add_argument("--again", type=a_reprocess)
    part.set_defaults(command=backfill)
    part = commands.add_parser("backup")
    part.add_argument("--to")
    part.add_argument("--keep", type=a_count)
    part.set_defaults(command=backup)
    part = commands.add_parser("restore")
    part.add_argument("--backup", type=a_folder, required=True)
    part.add_argument("--force")
    part.set_defaults(command=restore)
    part = commands.add_parser("rollback")
    part.add_argument("--snapshot", type=a_snapshot, required=True)
    part.set_defaults(command=rollback)
    part = commands.add_parser("rollback-model")
    part.add_argument("--model", type=a_model, required=True)
    part.add_argument("--version", type=a_version)
    part.set_defaults(command=rollback_model)
    for name, command in (("erase-customer", erase_customer), ("export-customer", export_customer)):
        part = commands.add_parser(name)
        part.add_argument("--id", type=a_customer, required=True)
        part.set_defaults(command=command)
    part = commands.add_parser("psql")
    part.add_argument("arguments", nargs="*", help="for psql; after a -- of their own")
    part.set_defaults(command=psql)
    return parser


if __name__ == "__main__":
    sys.exit(main())
