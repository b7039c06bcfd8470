"""The words of an alert, and the shapes in which chat systems want them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Message:
    """What somebody is told.

    :param kind: one of `segmentation.notices`.
    :param day: the run's, yyyy-mm-dd, or empty if it has none.
    :param task: with the entity or model where there is one for each; empty where it is about the whole run.
    :param runbook: the page that says more than `what_to_do`.
    :param link: to the task, or to the run, in Airflow.
    """

    kind: str
    dag_id: str
    run_id: str
    day: str
    task: str
    cause: str
    what_to_do: str
    runbook: str
    link: str

    @property
    def title(self) -> str:
        """One line: `[fenqun] failed gate: segment_customers_daily of 2026-07-01, validate_raw`."""
        day, task = f" of {self.day}" * bool(self.day), f", {self.task}" * bool(self.task)
        return f"[fenqun] {self.kind}: {self.dag_id}{day}{task}"

    @property
    def text(self) -> str:
        """All of it, line by line."""
        lines = {
            "What": self.kind,
            "Run": f"{self.dag_id}, {self.run_id}",
            "Day": self.day or "none",
            "Task": self.task or "the whole run",
            "Cause": self.cause.replace("\n", "\n            "),
            "What to do": self.what_to_do,
            "Runbook": self.runbook,
            "In Airflow": self.link,
        }
        return "\n".join(f"{name + ':':<12}{told}" for name, told in lines.items())

    @property
    def html(self) -> str:
        """The same for a mail."""
        return f'<pre style="white-space: pre-wrap">{escape(self.text)}</pre>'


def _flat(message: Message) -> dict[str, Any]:
    return {"title": message.title, "text": message.text, **asdict(message)}


def _slack(message: Message) -> dict[str, Any]:
    return {"text": f"*{message.title}*\n{message.text}"}


def _feishu(message: Message) -> dict[str, Any]:
    return {"msg_type": "text", "content": {"text": f"{message.title}\n{message.text}"}}


def _teams(message: Message) -> dict[str, Any]:
    blocks = [
        {"type": "TextBlock", "text": message.title, "weight": "Bolder", "wrap": True},
        {"type": "TextBlock", "text": message.text, "fontType": "Monospace", "wrap": True},
    ]
    card = {"type": "AdaptiveCard", "version": "1.4", "body": blocks}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


SHAPES: Mapping[str, Callable[[Message], dict[str, Any]]] = {
    "flat": _flat,
    "slack": _slack,
    "feishu": _feishu,
    "teams": _teams,
}
