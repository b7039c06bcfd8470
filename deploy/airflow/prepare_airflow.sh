#!/bin/sh
# Airflow's tables, made or upgraded, its pools, and its first user. Run at every start; a user that is there stays as it is.
set -eu
airflow db migrate
airflow pools import plugins/segmentation_airflow/pools.json
airflow users create --role Admin --username "$AIRFLOW_ADMIN_USER" --password "$AIRFLOW_ADMIN_PASSWORD" \
    --email "$AIRFLOW_ADMIN_EMAIL" --firstname Airflow --lastname Admin
