#!/bin/sh
# A backup of a docker compose deployment, while it runs: docs/backup.md.
#
#     sh deploy/backup.sh /backups        makes /backups/<time>; SHA256SUMS is written last: what has it is whole
#
# In it: databases marketing, mlflow, mlflow_auth, airflow and warehouse (pg_dump's custom format), roles.sql, lake.tar,
# mlflow.tar. Not in it: .env, segmentation.env and mlflow.env, whose keys belong elsewhere; the volume `erased`, which a
# restore must not replace; logs. A lake or artifacts in an object store are not copied: it says so. Stages that write
# rows, and erasures, wait meanwhile. Compose's own variables choose the deployment: COMPOSE_PROJECT_NAME,
# COMPOSE_ENV_FILES.
set -eu
umask 077
mkdir -p "${1:?usage: sh deploy/backup.sh FOLDER}"
made=$(cd "$1" && pwd)/$(date -u +%Y%m%dT%H%M%SZ)
folder=$made.unfinished
mkdir "$folder"
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work" "$folder"' EXIT
trap 'exit 130' INT TERM

inside() { docker compose exec -T "$@"; }

dump() {
    echo "database $1"
    inside postgres pg_dump -U postgres -Fc --create "$1" >"$folder/$1.dump"
}

# copy <service> <folder in it> <file>: of a folder that is a volume
copy() {
    case $2 in
        *://*) echo "$2 is an object store: copy it now, while the stages wait, and press Enter"; read -r _ || true ;;
        *) echo "$2"; inside "$1" tar -C "$2" -cf - . >"$folder/$3" ;;
    esac
}

# The writers, in this order (docs/backup.md has the same three), held by a session that ends with this script
mkfifo "$work/statements"
inside postgres psql -U postgres -d marketing -X -A -t -q -v ON_ERROR_STOP=1 <"$work/statements" >"$work/held" &
exec 3>"$work/statements"
echo "waiting for what is being written"
echo "select pg_advisory_lock(4070110304); select pg_advisory_lock(4070110301);" >&3
echo "select pg_advisory_lock(-8892073182769218475); select 'all are held';" >&3
until grep -q 'all are held' "$work/held"; do
    kill -0 $! 2>/dev/null || { echo "The session that holds the locks has ended" >&2; exit 1; }
    sleep 1
done

lake=$(inside airflow-scheduler printenv LAKE_URI)
artifacts=$(inside mlflow printenv MLFLOW_ARTIFACTS_DESTINATION)
dump marketing
copy airflow-scheduler "$lake" lake.tar
dump mlflow
dump mlflow_auth
dump airflow
copy mlflow "$artifacts" mlflow.tar
exec 3>&-
dump warehouse
inside postgres pg_dumpall -U postgres --roles-only >"$folder/roles.sql"
inside postgres psql -U postgres -d marketing -X -A -t \
    -c "select 'snapshot ' || snapshot_id from marketing_internal.current_snapshot" >"$folder/current"
(cd "$folder" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
mv "$folder" "$made"
echo "$made: $(du -sh "$made" | cut -f1), $(cat "$made/current")"
