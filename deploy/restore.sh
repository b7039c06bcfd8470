#!/bin/sh
# Puts a docker compose deployment back to a backup of deploy/backup.sh: docs/backup.md. With the .env of then.
#
#     sh deploy/restore.sh /backups/20260701T020000Z --replace
#
# Everything that the deployment has is replaced, but the volume `erased`: who was erased since is kept out, and has to be
# erased again by the DAG erase_customers, without ids; it says whether there is anybody. Killed in between it is run
# again. Keep readers off until then.
set -eu
usage="usage: sh deploy/restore.sh FOLDER --replace"
from=$(cd "${1:?$usage}" && pwd)
[ "${2:-}" = --replace ] || { echo "This replaces all that the deployment has. $usage" >&2; exit 2; }
cd "$(dirname "$0")/.."
[ -f "$from/SHA256SUMS" ] || { echo "$from is no whole backup: it has no SHA256SUMS" >&2; exit 1; }
(cd "$from" && sha256sum --check --quiet SHA256SUMS)

in_postgres() { docker compose exec -T postgres "$@"; }

# put <service> <file>: into the folder that the service keeps its files in
put() {
    if [ -f "$from/$2" ]; then
        echo "$2"
        docker compose run --rm --no-deps -T "$1" sh -c "folder=\$$3; find \"\$folder\" -mindepth 1 -delete &&
            tar -C \"\$folder\" -xf -" <"$from/$2"
    else
        echo "There is no $2: put the object store's files back yourself"
    fi
}

docker compose down
docker compose up --detach --wait postgres
# Logins of your own; those of ours are there, and the superuser's password is that of .env
grep -v -E '^(CREATE|ALTER) ROLE postgres\b' "$from/roles.sql" |
    in_postgres psql -U postgres -X -q -f - 2>&1 | grep -v 'already exists' || true
for dump in "$from"/*.dump; do
    echo "database $(basename "$dump" .dump)"
    in_postgres pg_restore -U postgres --clean --if-exists --create --exit-on-error --dbname=postgres <"$dump"
done
put airflow-scheduler lake.tar LAKE_URI
put mlflow mlflow.tar MLFLOW_ARTIFACTS_DESTINATION
docker compose run --rm --no-deps -T airflow-scheduler python - <<'PYTHON'
import os
from segmentation import erasure_ledger, settings

stores = settings.Stores("", os.environ["AIRFLOW_CONN_MARKETING"], os.environ["LAKE_URI"], "")
again = len(erasure_ledger.ask_again(stores, os.environ["SEGMENTATION_ERASURE_LEDGER"]))
print(f"{again} persons were erased since: trigger erase_customers without ids" if again else "nobody was erased since")
PYTHON
docker compose up --detach --wait
echo "restored: $(cat "$from/current")"
