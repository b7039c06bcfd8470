"""The errors that trying again does not mend. Light to import: Airflow looks them up whenever it parses a DAG."""


class FinalError(Exception):
    """Bad data, a missing model or a broken contract: a task that raises it fails at once and is not retried."""
