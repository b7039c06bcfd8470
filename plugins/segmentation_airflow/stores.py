"""From Airflow's connections to the product's `Stores`. Secrets live in connections and go no further than the DSNs."""

import os
from urllib.parse import quote, urlencode

from airflow.sdk import Connection

WAREHOUSE = "shop_warehouse"
MARKETING = "marketing"
MLFLOW = "mlflow"


def stores():
    """Where this run reads and writes: connections `shop_warehouse`, `marketing` and `mlflow`, and `LAKE_URI`.

    `shop_warehouse` may be any database with a DB-API hook; the others are Postgres and an HTTP address. A login in
    `mlflow` becomes MLflow's own variables, MLFLOW_TRACKING_USERNAME and _PASSWORD, of this process.

    :raises AirflowNotFoundException: a connection does not exist.
    :raises KeyError: `LAKE_URI` is not set.
    :raises lake.LakeUriError: it cannot be the address of a lake.
    """
    from segmentation import lake
    from segmentation.settings import Stores

    mlflow = Connection.get(MLFLOW)
    if mlflow.login:
        os.environ["MLFLOW_TRACKING_USERNAME"] = mlflow.login
        os.environ["MLFLOW_TRACKING_PASSWORD"] = mlflow.password or ""
    warehouse = Connection.get(WAREHOUSE)
    return Stores(
        # Postgres is read by COPY; any other database that Airflow has a DB-API hook for, by that hook.
        warehouse=dsn(warehouse) if warehouse.conn_type == "postgres" else warehouse.get_hook().get_conn,
        marketing=dsn(Connection.get(MARKETING)),
        lake=lake.checked(os.environ["LAKE_URI"]),
        registry=f"{mlflow.conn_type}://{mlflow.host}:{mlflow.port}",
    )


def dsn(connection) -> str:
    """A Postgres connection as a libpq URI; the connection's extras, such as sslmode, become its parameters."""
    login = f"{quote(connection.login or '', safe='')}:{quote(connection.password or '', safe='')}@"
    extras = {key: value for key, value in connection.extra_dejson.items() if isinstance(value, str)}
    tail = f"?{urlencode(extras, quote_via=quote)}" if extras else ""  # to libpq a plus is a plus
    host = quote(connection.host or "", safe=",:[]%")  # several hosts, IPv6, and what is quoted already
    return f"postgresql://{login}{host}:{connection.port or 5432}/{quote(connection.schema or '', safe='')}{tail}"
