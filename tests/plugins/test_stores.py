"""Connections become DSNs that libpq reads, whatever is in the password."""

import json
import sqlite3

import psycopg2.extensions
import pytest
from airflow.sdk import Connection

from segmentation import tables, warehouse
from segmentation_airflow import stores, strategies


def parts(**fields):
    connection = Connection(conn_id="x", conn_type="postgres", host="db.example", schema="shop", **fields)
    return psycopg2.extensions.parse_dsn(stores.dsn(connection))


def test_every_part_arrives():
    found = parts(login="pipeline", password="p@ss/w:rd %41?#", port=5433, extra='{"sslmode": "require"}')
    assert found == {
        "user": "pipeline",
        "password": "p@ss/w:rd %41?#",
        "host": "db.example",
        "port": "5433",
        "dbname": "shop",
        "sslmode": "require",
    }


def test_the_port_has_postgres_default():
    assert parts(login="u", password="p")["port"] == "5432"


def test_stores_come_from_connections(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_WAREHOUSE", "postgres://reader:a@one:1/shop")
    monkeypatch.setenv("AIRFLOW_CONN_MARKETING", "postgres://writer:b@two:2/crm")
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", "http://mlflow:5000")
    monkeypatch.setenv("LAKE_URI", "s3://bucket/lake")
    found = stores.stores()
    assert found.warehouse == "postgresql://reader:a@one:1/shop"
    assert found.marketing == "postgresql://writer:b@two:2/crm"
    assert (found.registry, found.lake) == ("http://mlflow:5000", "s3://bucket/lake")


def test_a_lake_that_is_not_set_is_named(monkeypatch):
    for name in ("SHOP_WAREHOUSE", "MARKETING"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", "postgres://u:p@h:1/d")
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", "http://mlflow:5000")
    monkeypatch.delenv("LAKE_URI", raising=False)
    with pytest.raises(KeyError, match="LAKE_URI"):
        stores.stores()


def test_any_database_with_a_hook_of_airflows_is_read_by_that(monkeypatch, tmp_path):
    """SQLite stands for it: its hook comes with a provider of Airflow's, as those of MySQL, Oracle and others do."""
    path = tmp_path / "shop.db"
    columns = tables.CUSTOMERS.schema.names
    with sqlite3.connect(path) as connection:
        connection.execute(f"create table customers ({', '.join(columns)})")
        row = ["a", "2025-01-01 10:00:00", 1980, None, None, "上海", "CN", None, 1, 0, 0, 1, "2026-01-01 10:00:00"]
        connection.execute(f"insert into customers values ({', '.join('?' * len(columns))})", row)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    monkeypatch.setenv("AIRFLOW_CONN_MARKETING", "postgres://writer:b@two:2/crm")
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", "http://mlflow:5000")
    monkeypatch.setenv("LAKE_URI", "/lake")
    found = stores.stores()
    [batch] = warehouse.stream(found.warehouse, "select * from customers", tables.CUSTOMERS.schema)
    assert batch.to_pylist()[0]["city"] == "上海"
    assert batch.schema == tables.CUSTOMERS.schema


def test_the_key_of_the_control_groups_is_a_connections_password(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_HOLDOUT_KEY", "generic://:a-key_of%2Ftwenty@")
    assert strategies.holdout_key() == "a-key_of/twenty"
    monkeypatch.setenv("AIRFLOW_CONN_HOLDOUT_KEY", "generic://")
    with pytest.raises(ValueError, match="connection holdout_key has no password"):
        strategies.holdout_key()
