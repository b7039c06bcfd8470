"""Connections become DSNs that libpq reads, whatever is in the password."""

import psycopg2.extensions
import pytest
from airflow.sdk import Connection

from segmentation_airflow import stores


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
