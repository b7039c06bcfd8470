"""
The one notifier: tells of failures, late data, rejected snapshots, failed promotions, drift and missed deadlines.

Where it tells is said by Airflow's connections, either or both: `alerts_smtp` (type smtp; extra `to_email`, a list or
one, and what Airflow's mail provider takes) and `alerts_webhook` (type http; see `_address`; extra `shape`, one of
`alert_text.SHAPES`, and `headers`). Without them nothing is sent, and the log says so. It never fails a task: what goes
wrong here stands in the log. See docs/watching.md.
"""

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseNotifier, Connection, conf
from airflow.sdk.exceptions import AirflowNotFoundException

from segmentation import notices
from segmentation_airflow import run_log, runbooks
from segmentation_airflow.alert_text import SHAPES, Message

log = logging.getLogger(__name__)
SMTP, WEBHOOK = "alerts_smtp", "alerts_webhook"
# Airflow ends a task's process 20 s after its work has ended ([core] task_success_overtime): both ways fit into that.
PATIENCE_SECONDS = 7
# Unless extra `disable_ssl` says what the port does; any other speaks TLS from the beginning
STARTTLS_PORTS = (587, 25)


class Alert(BaseNotifier):
    """Tells of a task that has failed for good, of what one that ended well has found, or of a missed deadline."""

    def notify(self, context: Any) -> None:
        """Called by Airflow at the end of a task."""
        try:
            for message, ended in _messages(context):
                went = send(message)
                if ended is not None:
                    _note(ended, message.kind, bool(went))
        except Exception as error:
            log.warning("Nobody was told: %s", run_log.told(error))

    async def async_notify(self, context: Any) -> None:
        """Called by Airflow in the triggerer, where a deadline has been missed."""
        from asgiref.sync import sync_to_async

        await sync_to_async(self.notify)(context)


def send(message: Message) -> list[str]:
    """Sends a message every way there is a connection for; returns which ways it went."""
    ways, went = {WEBHOOK: _post, SMTP: _mail}, []
    connections = {name: found for name in ways if (found := _connection(name)) is not None}
    if not connections:
        log.info("There is neither connection %s nor %s: nobody is told of %s", SMTP, WEBHOOK, message.title)
    for name, connection in connections.items():
        try:
            ways[name](connection, message)
            went.append(name)
            log.info("Told by %s: %s", name, message.title)
        except Exception as error:
            log.warning("%s could not be told by %s: %s", message.title, name, run_log.told(error))
    return went


def _messages(context: Any) -> list[tuple[Message, Any]]:
    """What is news, each with the try that it is of; a deadline is of none."""
    if "deadline" in context:
        return [(_of_deadline(context), None)]
    ti = context["ti"]
    if run_log.in_own_process(context) and context["exception"] is None:
        found = notices.of_result(ti.task_id, run_log.result_of(context)) if notices.has_any(ti.task_id) else []
        ended = run_log.task_run(context, run_log.SUCCESS) if found else None
        told = [(each.kind, each.cause) for each in found]
    else:
        ended = run_log.task_run(context, run_log.FAILED)
        told = [(getattr(context.get("exception"), "kind", notices.FAILURE), ended.cause)]
    return [(_of_task(context, kind, cause), ended) for kind, cause in told if _is_news(ended, kind, cause)]


def _is_news(row: Any, kind: str, cause: str) -> bool:
    """Notes it in `ops.alerts`. Whether it was not told for another entity or model of the same task; if that cannot be
    asked, it is news."""
    from segmentation import task_runs

    try:
        return task_runs.claim(run_log.marketing(), row, kind, cause)
    except Exception as error:
        log.warning("It is not known what was told already: %s", run_log.told(error))
        return True


def _note(row: Any, kind: str, is_delivered: bool) -> None:
    """So that what went no way is tried again when the next part of the task fails."""
    from segmentation import task_runs

    try:
        task_runs.delivered(run_log.marketing(), row, kind, is_delivered)
    except Exception as error:
        log.warning("It could not be noted whether it was told: %s", run_log.told(error))


def _of_task(context: Any, kind: str, cause: str) -> Message:
    ti, day = context["ti"], run_log.day_of(context)
    return Message(
        kind=kind,
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        day=f"{day or ''}",
        task=run_log.stage_of(context),
        cause=cause,
        what_to_do=runbooks.FIRST[kind],
        runbook=runbooks.page_of(kind, ti.task_id),
        link=ti.log_url,
    )


def _of_deadline(context: Mapping[str, Any]) -> Message:
    run, due = context["dag_run"], context["deadline"]["deadline_time"]
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    return Message(
        kind=notices.DEADLINE,
        dag_id=dag_id,
        run_id=run_id,
        day=(run.get("logical_date") or "")[:10],
        task="",
        cause=f"the run was to have ended by {due:%Y-%m-%d %H:%M:%S %Z}"
        if hasattr(due, "strftime")
        else f"due by {due}",
        what_to_do=runbooks.FIRST[notices.DEADLINE],
        runbook=runbooks.page_of(notices.DEADLINE, None),
        link=f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}/runs/{run_id}",
    )


def _connection(name: str) -> Connection | None:
    try:
        return Connection.get(name)
    except AirflowNotFoundException:
        return None


def _post(connection: Connection, message: Message) -> None:
    import httpx

    extra = connection.extra_dejson
    shape = extra.get("shape", "flat")
    if shape not in SHAPES:
        raise ValueError(f"connection {WEBHOOK} has a shape that is none of {', '.join(SHAPES)}")
    answer = httpx.post(
        _address(connection), json=SHAPES[shape](message), headers=extra.get("headers"), timeout=PATIENCE_SECONDS
    )
    if not answer.is_success:  # not raise_for_status, which would name the address
        raise ConnectionError(f"the receiver answered {answer.status_code}")


def _address(connection: Connection) -> str:
    """`schema://host:port/path/password`, each where it is set: the part that is secret goes into the password."""
    host = connection.host or ""
    address = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    if connection.port:
        address = f"{address}:{connection.port}"
    parts = (address.rstrip("/"), str(connection.extra_dejson.get("path", "")), connection.password or "")
    return "/".join(part.strip("/") if number else part for number, part in enumerate(parts) if part)


def _mail(connection: Connection, message: Message) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    class Mail(SmtpHook):
        """Whose patience ends before Airflow's, and which does not ask for TLS inside of TLS, as it does by default."""

        timeout, smtp_retry_limit = PATIENCE_SECONDS, 0

        @property
        def use_ssl(self) -> bool:
            is_off = connection.extra_dejson.get("disable_ssl", connection.port in STARTTLS_PORTS)
            return not is_off

        @property
        def smtp_starttls(self) -> bool:
            return super().smtp_starttls and not self.use_ssl

    to = connection.extra_dejson.get("to_email")
    if not to:
        raise ValueError(f"connection {SMTP} has no extra to_email: nobody to write to")
    with Mail(SMTP) as mail:
        mail.send_email_smtp(to=to, subject=message.title, html_content=message.html)
