"""Makes the MLflow user that the DAGs log in as, or gives it the password of the environment. Run at every start.

Reads MLFLOW_URL, MLFLOW_AUTH_ADMIN_PASSWORD, MLFLOW_PIPELINE_PASSWORD. Such a user owns the experiments and models that
it makes, and may read those of others.
"""

import os
import sys

import requests

USER = "pipeline"


def main() -> None:
    """Exits with MLflow's own words if it refuses."""
    admin = ("admin", os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"])
    users = f"{os.environ['MLFLOW_URL']}/api/2.0/mlflow/users"
    login = {"username": USER, "password": os.environ["MLFLOW_PIPELINE_PASSWORD"]}
    answer = requests.post(f"{users}/create", json=login, auth=admin, timeout=60)
    if answer.status_code == requests.codes.bad_request and "ALREADY_EXISTS" in answer.text:
        answer = requests.patch(f"{users}/update-password", json=login, auth=admin, timeout=60)
    if not answer.ok:
        sys.exit(f"MLflow refuses its user {USER} (HTTP {answer.status_code}): {answer.text}")


main()
