"""A shop whose warehouse is MariaDB: the generic way, through the driver's DB-API, against the real server."""

import contextlib
import datetime as dt
import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from decimal import Decimal

import pymysql
import pytest

from segmentation import extract, history, lake, tables
from tests import frames

DAY = frames.DAY
pytestmark = pytest.mark.skipif(
    not shutil.which("mariadbd"), reason="MariaDB is not installed (Debian: apt-get install mariadb-server)"
)


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    """Opens connections to a MariaDB server of this module's own, with the contract's tables in database `shop`."""
    home = tmp_path_factory.mktemp("mariadb")
    user = ["--user=root"] if os.geteuid() == 0 else []
    subprocess.run(
        ["mariadb-install-db", *user, f"--datadir={home}/data", "--auth-root-authentication-method=normal"],
        check=True,
        capture_output=True,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mariadbd", "--no-defaults", *user, f"--datadir={home}/data", f"--port={port}", f"--socket={home}/s"]
    server = subprocess.Popen(
        [*command, "--bind-address=127.0.0.1", f"--pid-file={home}/pid"], stderr=subprocess.DEVNULL
    )

    def connect():
        return pymysql.connect(host="127.0.0.1", port=port, user="root", charset="utf8mb4", autocommit=True)

    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(pymysql.OperationalError), connect() as connection, connection.cursor() as cursor:
                for statement in DDL:
                    cursor.execute(statement)
                break
            assert time.monotonic() < deadline, "MariaDB did not start"
            time.sleep(0.2)
        yield connect
    finally:
        server.terminate()
        server.wait()


DDL = [
    "create database shop character set utf8mb4",
    """create table shop.customers (customer_id varchar(64) primary key, signed_up_at datetime(6), birth_year smallint,
        gender text, income_band text, city text, country text, acquisition_channel text, email_consent boolean,
        sms_consent boolean, push_consent boolean, profiling_consent boolean, updated_at datetime(6))""",
    """create table shop.orders (order_id varchar(64) primary key, customer_id text, ordered_at datetime(6),
        status text, channel text, coupon_code text, discount_amount decimal(14, 2), total_amount decimal(14, 2),
        updated_at datetime(6))""",
    "insert into shop.customers values ('a', '2025-01-01 10:00:00.123456', 1980, null, '', '上海', 'CN', null, "
    "1, 0, 0, 1, '2026-01-01 10:00:00')",
    "insert into shop.orders values ('o1', 'a', '2026-01-02', 'paid', null, null, 0, 12345678901.99, '2026-01-02'), "
    "('o2', 'a', '2026-01-03', 'paid', null, null, 0.5, 0.01, '2026-01-03')",
]  # fmt: skip


def test_increments_and_deletions_come_from_mariadb_too(stores, mariadb):
    shop = replace(stores, warehouse=mariadb)
    assert extract.extract_entity("customers", DAY, shop)["rows"] == 1
    assert extract.extract_entity("orders", DAY, shop)["rows"] == 2
    [customer] = lake.read(shop.lake, "staged.customers", DAY).to_pylist()
    assert customer["signed_up_at"] == dt.datetime(2025, 1, 1, 10, 0, 0, 123456, tzinfo=dt.UTC)
    assert (customer["city"], customer["gender"], customer["income_band"]) == ("上海", None, "")
    assert (customer["email_consent"], customer["sms_consent"]) == (True, False)
    orders = lake.read(shop.lake, "staged.orders", DAY)
    assert sorted(orders["total_amount"].to_pylist()) == [Decimal("0.01"), Decimal("12345678901.99")]
    staged = {
        name: frames.part_of(lake.path(shop.lake, tables.ENTITIES[name].staged, DAY), tables.ENTITIES[name], 100)
        for name in ("customers", "orders")
    }
    history.append(shop, DAY, staged)

    with mariadb() as connection, connection.cursor() as cursor:
        cursor.execute("delete from shop.orders where order_id = 'o1'")
        cursor.execute(
            "insert into shop.orders values ('o3', 'a', '2026-01-04', 'paid', 'web', '', 0, 7, '2026-01-04')"
        )
    result = extract.extract_entity("orders", DAY + dt.timedelta(days=1), shop)
    assert result == {"rows": 3, "deleted": 1, "unreadable": 0, "since": "2026-01-02T23:00:00+00:00"}


def test_a_missing_table_is_told_in_the_databases_words(stores, mariadb):
    with pytest.raises(extract.ContractError, match=r"events\.sql: .*shop\.events' doesn't exist"):
        extract.extract_entity("events", DAY, replace(stores, warehouse=mariadb))
