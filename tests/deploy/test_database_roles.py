"""deploy/postgres/roles.sql on a real Postgres of its own, by psql as the container runs it: who may do what."""

import os
import subprocess

import psycopg2
import pytest

from local import deployed_shop
from local.postgres import Postgres
from segmentation import snapshots, warehouse
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "deploy" / "postgres" / "roles.sql"
LOGINS = {
    "airflow": "AIRFLOW_DB_PASSWORD",
    "mlflow": "MLFLOW_DB_PASSWORD",
    "pipeline": "PIPELINE_DB_PASSWORD",
    "shop_owner": "SHOP_OWNER_PASSWORD",
    "shop_reader": "SHOP_READER_PASSWORD",
}
HOMES = {
    "airflow": {"airflow"},
    "mlflow": {"mlflow", "mlflow_auth"},
    "pipeline": {"marketing"},
    "shop_owner": {"warehouse"},
    "shop_reader": {"warehouse"},
}
DATABASES = ["airflow", "mlflow", "mlflow_auth", "warehouse", "marketing", "postgres", "template1"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Postgres(tmp_path_factory.mktemp("roles"), durable=False)
    server.start()
    run_script(server, "first")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shop(server):
    """A small simulated shop, made as the container of profile `practice` does."""
    assert "simulated" in deployed_shop.see_to_shop(url(server, "shop_owner", "warehouse"), 60, 90)
    return server


def run_script(server, suffix, **changes):
    passwords = {variable: f"{login}-{suffix}" for login, variable in LOGINS.items()} | changes
    kept = {name: value for name, value in os.environ.items() if name not in passwords}
    return subprocess.run(
        [server.bin("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-f", SCRIPT, server.url("postgres")],
        env=kept | {name: value for name, value in passwords.items() if value is not None},
        capture_output=True, text=True, check=not changes,
    )  # fmt: skip


def url(server, login, database, suffix="first"):
    return server.url(database, login, f"{login}-{suffix}")


def run(dsn, statement):
    with warehouse.connect(dsn) as connection:
        return warehouse.execute(connection, statement)


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_enters_its_own_databases_only(server, login):
    for database in DATABASES:
        if database in HOMES[login]:
            run(url(server, login, database), "select 1")
        else:
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                run(url(server, login, database), "select 1")


def test_nobody_but_the_administrator_has_power_over_the_server(server):
    with warehouse.connect(server.url("postgres")) as connection:
        powerful = "select rolname from pg_roles where (rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls) and rolname !~ '^pg_'"  # noqa: E501
        assert warehouse.fetch(connection, powerful) == [("postgres",)]
        sleeping = "select rolname from pg_roles where not rolcanlogin and rolname !~ '^pg_' order by 1"
        assert tuple(name for (name,) in warehouse.fetch(connection, sleeping)) == snapshots.READERS


@pytest.mark.parametrize(
    "statement",
    [
        "delete from shop.orders",
        "insert into shop.customers (customer_id, signed_up_at, updated_at) values ('x', now(), now())",
        "update shop.products set name = ''",
        "create table shop.mine (id int)",
        "create table public.mine (id int)",
        "create schema mine",
        "create temp table mine (id int)",
        "select * from truth.customers",
        "select * from quarantine.rows",
    ],
)
def test_the_reader_reads_the_shop_and_nothing_else(shop, statement):
    reader = url(shop, "shop_reader", "warehouse")
    with warehouse.connect(reader) as connection:
        assert warehouse.fetch(connection, "select count(*) > 0 from shop.customers") == [(True,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(reader, statement)


def test_the_reader_sees_tables_that_come_later(shop):
    run(url(shop, "shop_owner", "warehouse"), "create table shop.later as select 1 as id")
    with warehouse.connect(url(shop, "shop_reader", "warehouse")) as connection:
        assert warehouse.fetch(connection, "select id from shop.later") == [(1,)]


def test_the_pipeline_makes_its_schemas_and_grants_readers_their_part(server):
    pipeline = url(server, "pipeline", "marketing")
    snapshots.ensure_schema(pipeline)
    run(server.url("marketing"), "create role a_crm login password 'a-crm' in role crm_reader")
    with warehouse.connect(server.url("marketing", "a_crm", "a-crm")) as connection:
        assert warehouse.fetch(connection, "select count(*) from marketing.customer_segments") == [(0,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(pipeline, "create table public.mine (id int)")


def test_a_shop_that_is_there_stays(shop):
    owner = url(shop, "shop_owner", "warehouse")
    assert "there already" in deployed_shop.see_to_shop(owner, 60, 90)


def test_a_shop_that_was_not_simulated_is_left_alone(shop):
    run(shop.url("postgres"), "alter database warehouse rename to simulated")
    run_script(shop, "first")
    owner = url(shop, "shop_owner", "warehouse")
    from local import load

    with warehouse.connect(owner) as connection:
        load.apply_contract(connection)
    run(owner, "insert into shop.customers (customer_id, signed_up_at, updated_at) values ('real', now(), now())")
    with pytest.raises(ValueError, match="leaves them alone"):
        deployed_shop.see_to_shop(owner, 60, 90)
    with warehouse.connect(owner) as connection:
        assert warehouse.fetch(connection, "select customer_id from shop.customers") == [("real",)]


def test_the_script_runs_again_and_sets_new_passwords(server):
    run_script(server, "second")
    run(url(server, "pipeline", "marketing", "second"), "select 1")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        run(url(server, "pipeline", "marketing", "first"), "select 1")


def test_without_a_password_nothing_is_made(server):
    done = run_script(server, "third", PIPELINE_DB_PASSWORD=None)
    assert done.returncode != 0
