"""The practice stack's databases and roles.

`warehouse` holds the shop and what the pipeline publishes; `airflow` and `mlflow` are those programs' own. Each has
a role of its own that cannot see into the others'. CRM logins are members of `crm_reader`, those of pages that show
aggregates only of `dashboard_reader`.
"""

from __future__ import annotations

from collections.abc import Mapping

from local.postgres import Postgres

OWNERS = {"airflow": "airflow", "mlflow": "mlflow", "warehouse": "postgres"}  # database -> role

WAREHOUSE_GRANTS = """
create schema if not exists shop;
grant create on database warehouse to pipeline;
grant usage on schema shop to pipeline;
grant select on all tables in schema shop to pipeline;
alter default privileges in schema shop grant select on tables to pipeline;
-- The gates write there as well as the loaders, which are the superuser.
alter schema quarantine owner to pipeline;
alter table quarantine.rows owner to pipeline;
"""


def prepare(postgres: Postgres, passwords: Mapping[str, str]) -> None:
    """Create or correct every role, database, the shop's tables and the grants; may be run again at any time.

    :param passwords: password per role that may log in: airflow, mlflow, pipeline.
    :raises psycopg2.Error: the server refuses a statement.
    """
    from local import load
    from segmentation import snapshots, warehouse

    with warehouse.connect(postgres.url(), autocommit=True) as connection:
        roles = {name for (name,) in warehouse.fetch(connection, "select rolname from pg_roles")}
        for role, password in passwords.items():
            verb = "alter" if role in roles else "create"
            statement = f"{verb} role {warehouse.identifier(role)} login password :password"
            warehouse.execute(connection, statement, {"password": password})
        for reader in snapshots.READERS:
            if reader not in roles:
                warehouse.execute(connection, f"create role {warehouse.identifier(reader)} nologin")
        databases = {name for (name,) in warehouse.fetch(connection, "select datname from pg_database")}
        for database, owner in OWNERS.items():
            name = warehouse.identifier(database)
            if database not in databases:
                warehouse.execute(connection, f"create database {name} owner {warehouse.identifier(owner)}")
            if owner != "postgres":
                warehouse.execute(connection, f"revoke all on database {name} from public")
    with warehouse.connect(postgres.url("warehouse")) as connection:
        load.apply_contract(connection)
        warehouse.run_script(connection, WAREHOUSE_GRANTS)


def airflow_version(postgres: Postgres) -> str | None:
    """The Airflow version whose tables are in database `airflow`, None when they were never (wholly) made."""
    from segmentation import warehouse

    query = "select shobj_description(oid, 'pg_database') from pg_database where datname = 'airflow'"
    with warehouse.connect(postgres.url()) as connection:
        rows = warehouse.fetch(connection, query)
    return rows[0][0] if rows else None


def set_airflow_version(postgres: Postgres, version: str) -> None:
    """Note with the database itself that its tables are those of this Airflow version."""
    from segmentation import warehouse

    with warehouse.connect(postgres.url()) as connection:
        warehouse.execute(connection, "comment on database airflow is :version", {"version": version})


def retire_schedulers(postgres: Postgres) -> None:
    """Tell Airflow that the schedulers it knows are gone, so that a new one takes over their tasks at once.

    Only when none runs: otherwise Airflow waits until a heartbeat has been missing for 30 seconds, and looks for
    orphaned tasks only at times.
    """
    from segmentation import warehouse

    with warehouse.connect(postgres.url("airflow")) as connection:
        warehouse.execute(
            connection,
            "update job set state = 'failed', end_date = now() where job_type = 'SchedulerJob' and state = 'running'",
        )
