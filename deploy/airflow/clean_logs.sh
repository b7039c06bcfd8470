#!/bin/sh
# Deletes files of Airflow's logs that are old, and sets OpenLineage's file aside when it is large; once every so many
# minutes, or with --once. In the image it is /clean-logs, which the official Helm chart's sidecars run, and docker
# compose in a container of its own. Which days are kept: the chart's two variables.
set -eu
folder=${AIRFLOW__LOGGING__BASE_LOG_FOLDER:-${AIRFLOW_HOME:-/opt/airflow}/logs}
days=${AIRFLOW__LOG_RETENTION_DAYS:-90}
minutes=${AIRFLOW__LOG_CLEANUP_FREQUENCY_MINUTES:-1440}
events=$folder/openlineage.jsonl
most_mib=${OPENLINEAGE_MOST_MIB:-100}

while :; do
    # Others write and delete here meanwhile: what is gone already is no error.
    find "$folder" -type f -name '*.log' -mtime "+$days" -delete || true
    # A folder that is about to be used is young.
    find "$folder" -mindepth 1 -depth -type d -empty -mtime +1 -delete || true
    if [ -f "$events" ] && [ "$(stat -c %s "$events")" -gt $((most_mib * 1024 * 1024)) ]; then
        mv -f "$events" "$events.1"
    fi
    if [ "${1:-}" = --once ]; then exit 0; fi
    sleep $((minutes * 60))
done
