#!/bin/sh
# The MLflow server, with logins. MLflow takes the address of its users' database from a file only; others could read
# a command line.
set -eu
umask 077
export MLFLOW_AUTH_CONFIG_PATH=/tmp/basic_auth.ini
cat > "$MLFLOW_AUTH_CONFIG_PATH" << END
[mlflow]
default_permission = READ
database_uri = $MLFLOW_AUTH_STORE_URI
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END
umask 022
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 1 \
    --serve-artifacts --artifacts-destination "$MLFLOW_ARTIFACTS_DESTINATION" --allowed-hosts "$MLFLOW_HOSTS"
