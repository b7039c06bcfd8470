"""The errors that trying again does not mend. Light to import: Airflow looks them up whenever it parses a DAG."""

from segmentation import notices


class FinalError(Exception):
    """Bad data, a missing model or a broken contract: a task that raises it fails at once and is not retried.

    :param summary: the same in words that name no row, for who may not see rows; None: `causes` makes it from the text.
    :param kind: what those are told who are to mend it, one of `notices`; None: the class's `usual`.
    """

    usual = notices.FAILURE

    def __init__(self, *told: object, summary: str | None = None, kind: str | None = None) -> None:
        super().__init__(*told)
        self.summary = summary
        self.kind = kind or self.usual
