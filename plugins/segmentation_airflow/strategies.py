"""The task that chooses strategies, and the key that its control groups are drawn by."""

from airflow.sdk import Connection, task

HOLDOUT_KEY = "holdout_key"


def holdout_key() -> str:
    """The password of connection `holdout_key`. Whoever changes it draws every control group anew.

    :raises AirflowNotFoundException: the connection does not exist.
    :raises ValueError: it has no password.
    """
    password = Connection.get(HOLDOUT_KEY).password
    if not password:
        raise ValueError(f"connection {HOLDOUT_KEY} has no password: that is the key of the control groups")
    return password


@task
def strategy(day: str) -> dict:
    """The strategy of each scored customer; returns how many have which, what is off, and why."""
    from segmentation import strategy
    from segmentation_airflow.stages import as_day, stores

    return strategy.choose_strategies(as_day(day), stores(), holdout_key())
