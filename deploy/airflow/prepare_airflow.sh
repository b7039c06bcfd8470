#!/bin/sh
# Airflow's tables, made or upgraded, its pool, and its first user. Run at every start; a pool and a user that are there
# stay as they are.
set -eu
airflow db migrate
airflow pools get shop_warehouse >/dev/null 2>&1 || airflow pools import plugins/segmentation_airflow/pools.json
airflow users create --role Admin --username "$AIRFLOW_ADMIN_USER" --password "$AIRFLOW_ADMIN_PASSWORD" \
    --email "$AIRFLOW_ADMIN_EMAIL" --firstname Airflow --lastname Admin
