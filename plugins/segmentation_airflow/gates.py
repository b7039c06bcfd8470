"""The gates as operators, so that a red one links to what it has found."""

from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink, conf


class DataDocsLink(BaseOperatorLink):
    """From a gate to the Data Docs of its day."""

    name = "Data Docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page of the day, in Airflow itself."""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}/segmentation/data-docs/{operator.day}/index.html"


class GateOperator(BaseOperator):
    """Has a gate look at what lies before it; fails at once, with the reasons, if that must not go on.

    :param table: the table by day to look at; None: what the extract has staged of all entities.
    :param day: the day, yyyy-mm-dd.
    :param is_reload: `True` where rows of a day that has passed the gate were loaded again.
    """

    template_fields = ("day", "is_reload")
    operator_extra_links = (DataDocsLink(),)
    ui_color = "#f2e9d8"

    def __init__(self, *, table: str | None = None, day: str = "{{ ds }}", is_reload: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.day = day
        self.is_reload = is_reload

    def execute(self, context: Any) -> dict[str, Any]:
        """What was found, in numbers; see `validate.accept_raw` and `validate.validate_table`."""
        from segmentation import validate
        from segmentation_airflow.stages import as_day, stores

        day, run_id = as_day(self.day), context["run_id"]
        if self.table is None:
            return validate.accept_raw(day, stores(), run_id, is_reload=bool(self.is_reload))
        return validate.validate_table(self.table, day, stores(), run_id)
