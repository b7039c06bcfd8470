"""Runs by REST against a small server that answers as Airflow 3.3 does, over real HTTP."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from local import __main__ as cli
from local import airflow_api, failures, follow
from local.airflow_api import Airflow, AirflowError, Run
from local.processes import free_port

DAY = date(2011, 12, 10)


class FakeAirflow:
    """Just enough of the API: one DAG, its runs, its task instances and their logs."""

    def __init__(self, dag_file):
        self.dags = {"daily": self.dag("daily", dag_file)}
        self.runs: list[dict] = []
        self.backfills: list[dict] = []
        self.instances: list[dict] = []
        self.logs: dict[str, list] = {}
        self.import_errors: list[dict] = []
        self.asked: list[tuple[str, str, dict | None]] = []
        self.outages = 0
        self.tokens = 0
        self.expired: set[str] = set()

    @staticmethod
    def dag(dag_id, file, **changes):
        return {
            "dag_id": dag_id, "fileloc": str(file), "relative_fileloc": file.name, "file_token": "token",
            "is_stale": False, "is_paused": False, "last_parsed_time": datetime.now(UTC).isoformat(), **changes,
        }  # fmt: skip

    def answer(self, method, path, query, body):
        self.asked.append((method, path, body))
        parts = path.removeprefix("/api/v2").strip("/").split("/")
        match (method, *parts):
            case ("GET", "dags"):
                return 200, {"dags": list(self.dags.values())}
            case ("GET", "dags", dag_id) if dag_id in self.dags:
                return 200, self.dags[dag_id]
            case ("PATCH", "dags", dag_id):
                self.dags[dag_id] |= body
                return 200, self.dags[dag_id]
            case ("GET", "importErrors"):
                return 200, {"import_errors": self.import_errors}
            case ("PUT", "parseDagFile", _):
                self.dags["daily"]["last_parsed_time"] = datetime.now(UTC).isoformat()
                return 201, None
            case ("GET", "dags", _, "dagRuns"):
                wanted = query["logical_date_gte"][0]
                return 200, {"dag_runs": [run for run in self.runs if run["logical_date"] == wanted]}
            case ("POST", "dags", _, "dagRuns"):
                run = {"dag_run_id": f"run-{len(self.asked)}", "state": "queued", "run_type": "manual", **body}
                self.runs.append(run)
                return 200, run
            case ("POST", "dags", _, "dagRuns", _, "clear"):
                self.runs[0]["state"] = "queued"
                return 200, self.runs[0]
            case ("DELETE", "dags", _, "dagRuns", run_id):
                self.runs = [run for run in self.runs if run["dag_run_id"] != run_id]
                return 204, None
            case ("GET", "dags", _, "dagRuns", run_id):
                return next(((200, run) for run in self.runs if run["dag_run_id"] == run_id), (404, {"detail": "no"}))
            case ("GET", "dags", _, "dagRuns", _, "taskInstances"):
                offset = int(query["offset"][0])
                return 200, {"task_instances": self.instances[offset : offset + 100]}
            case ("GET", "dags", _, "tasks"):
                return 200, {"tasks": [
                    {"task_id": "publish", "downstream_task_ids": []},
                    {"task_id": "extract", "downstream_task_ids": ["publish"]},
                ]}  # fmt: skip
            case ("GET", *_, "taskInstances", task_id, "logs", _):
                return 200, {"content": self.logs.get(task_id, [])}
            case ("GET", "backfills"):
                return 200, {"backfills": [each for each in self.backfills if each["dag_id"] == query["dag_id"][0]]}
            case ("GET", "monitor", "health"):
                return 200, {"scheduler": {"status": "healthy"}}
        return 404, {"detail": "no such page"}


@contextmanager
def serving(fake, port=0):
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            url = urlsplit(self.path)
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if fake.outages > 0:
                fake.outages -= 1
                status, content = 503, {"detail": "restarting"}
            elif url.path == "/auth/token":
                fake.tokens += 1
                known = body == {"username": "admin", "password": "right"}
                status, content = (201, {"access_token": f"t{fake.tokens}"}) if known else (401, {"detail": "Unknown"})
            elif not token or token in fake.expired:
                status, content = 401, {"detail": "log in"}
            else:
                status, content = fake.answer(self.command, url.path, parse_qs(url.query), body)
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(airflow_api, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.02)


@pytest.fixture
def fake(tmp_path):
    file = tmp_path / "daily.py"
    file.write_text("a DAG")
    return FakeAirflow(file)


@pytest.fixture
def airflow(fake):
    with serving(fake) as address:
        yield Airflow(address, "right")


def start(airflow, conf=None, dag_id="daily"):
    said = []
    return airflow_api.start(airflow, dag_id, DAY, conf or {}, said.append), said


def sent(fake):
    return [(method, path) for method, path, _ in fake.asked if method != "GET"]


class TestStart:
    def test_the_logical_date_is_the_days_midnight_in_utc(self, airflow, fake):
        run, _ = start(airflow, {"k": 1})
        assert fake.runs == [
            {"dag_run_id": run.run_id, "state": "queued", "run_type": "manual",
             "logical_date": "2011-12-10T00:00:00Z", "conf": {"k": 1}}
        ]  # fmt: skip

    @pytest.mark.parametrize("state", ["success", "failed"])
    def test_a_day_that_was_run_is_run_again_as_the_same_run(self, airflow, fake, state):
        first, _ = start(airflow)
        fake.runs[0]["state"] = state
        again, _ = start(airflow)
        assert again == first
        (body,) = [body for _, path, body in fake.asked if path.endswith("/clear")]
        assert body == {"dry_run": False, "only_failed": False, "run_on_latest_version": True}

    def test_with_another_conf_it_becomes_a_new_run(self, airflow, fake):
        first, _ = start(airflow, {"k": 1})
        fake.runs[0]["state"] = "success"
        again, _ = start(airflow, {"k": 2})
        assert again.run_id != first.run_id
        assert [run["conf"] for run in fake.runs] == [{"k": 2}]

    @pytest.mark.parametrize("state", ["success", "failed", "queued"])
    def test_a_run_of_a_cancelled_back_fill_makes_room_for_a_new_one(self, airflow, fake, state):
        first = self.back_filled(airflow, fake, state, is_paused=True, completed_at="2011-12-11T01:00:00Z")
        again, _ = start(airflow)
        assert again.run_id != first.run_id
        assert [run["dag_run_id"] for run in fake.runs] == [again.run_id]

    @pytest.mark.parametrize(
        "backfill",
        [
            {"is_paused": False, "completed_at": "2011-12-11T01:00:00Z"},
            {"is_paused": True, "completed_at": "2011-12-11T01:00:00Z", "to_date": "2011-12-09T23:59:59Z"},
            {"is_paused": True, "completed_at": "2011-12-11T01:00:00Z", "dag_id": "weekly"},
        ],
    )
    def test_one_of_a_back_fill_that_has_ended_by_itself_is_run_again_as_the_same_run(self, airflow, fake, backfill):
        first = self.back_filled(airflow, fake, "failed", **backfill)
        assert start(airflow)[0] == first

    def test_one_that_a_back_fill_has_not_come_to_is_followed(self, airflow, fake):
        first = self.back_filled(airflow, fake, "queued", is_paused=True, completed_at=None)
        again, said = start(airflow)
        assert again == first
        assert "is going already" in said[0]

    @staticmethod
    def back_filled(airflow, fake, state, **backfill):
        run, _ = start(airflow)
        fake.runs[0] |= {"state": state, "run_type": "backfill"}
        days = {"from_date": "2011-12-09T00:00:00Z", "to_date": "2011-12-10T23:59:59Z"}
        fake.backfills.append({"id": 1, "dag_id": "daily", **days, **backfill})
        return run

    def test_a_run_that_is_going_is_followed(self, airflow, fake):
        first, _ = start(airflow)
        fake.runs[0]["state"] = "running"
        again, said = start(airflow)
        assert again == first
        assert "is going already" in said[0]
        assert len(sent(fake)) == 1

    def test_a_run_that_is_going_with_another_conf_is_not_disturbed(self, airflow, fake):
        start(airflow, {"k": 1})
        fake.runs[0]["state"] = "running"
        with pytest.raises(AirflowError, match="is going with CONF"):
            start(airflow, {"k": 2})
        assert len(sent(fake)) == 1

    def test_a_paused_dag_is_resumed(self, airflow, fake):
        fake.dags["daily"]["is_paused"] = True
        _, said = start(airflow)
        assert said == ["daily was paused in Airflow; resuming it."]
        assert not fake.dags["daily"]["is_paused"]

    def test_a_changed_file_is_read_again_first(self, airflow, fake):
        fake.dags["daily"]["last_parsed_time"] = "2000-01-01T00:00:00Z"
        start(airflow)
        assert sent(fake)[0] == ("PUT", "/api/v2/parseDagFile/token")
        assert len(sent(fake)) == 2

    def test_an_unknown_dag_is_answered_with_the_known_ones(self, airflow, monkeypatch):
        monkeypatch.setattr(airflow_api, "UNKNOWN_DAG_SECONDS", 0.1)
        with pytest.raises(AirflowError, match=r"knows no DAG weekly\. It knows: daily\."):
            start(airflow, dag_id="weekly")

    def test_a_broken_file_is_shown_with_its_error(self, airflow, fake):
        broken = {"filename": "weekly.py", "stack_trace": "NameError: x\n", "timestamp": datetime.now(UTC).isoformat()}
        fake.import_errors = [broken | {"filename": "other.py"}, broken]
        with pytest.raises(AirflowError, match=r"(?s)cannot import weekly\.py.*NameError: x"):
            start(airflow, dag_id="weekly")
        start(airflow, dag_id="daily")

    def test_an_import_error_from_before_the_last_change_does_not_count(self, airflow, fake):
        fake.import_errors = [{"filename": "daily.py", "stack_trace": "old", "timestamp": "2000-01-01T00:00:00Z"}]
        assert start(airflow)[0].run_id


class TestConnection:
    def test_a_wrong_password_is_said(self, fake):
        with serving(fake) as address, pytest.raises(AirflowError, match="refuses the login of admin: Unknown"):
            Airflow(address, "wrong").get("/dags")

    def test_an_expired_token_is_renewed(self, airflow, fake):
        assert airflow.get("/dags")
        fake.expired.add("t1")
        assert airflow.get("/dags")
        assert fake.tokens == 2

    def test_reading_waits_out_a_restart(self, fake):
        port = free_port()
        airflow = Airflow(f"http://127.0.0.1:{port}", "right")
        answers = []
        reader = threading.Thread(target=lambda: answers.append(airflow.get("/dags")))
        reader.start()
        reader.join(0.2)
        assert not answers
        fake.outages = 2
        with serving(fake, port):
            reader.join(10)
        assert answers[0]["dags"]

    def test_reading_gives_up_in_the_end(self, monkeypatch):
        monkeypatch.setattr(airflow_api, "OUTAGE_SECONDS", 0.1)
        with pytest.raises(AirflowError, match="make up"):
            Airflow(f"http://127.0.0.1:{free_port()}", "right").get("/dags")

    def test_a_proxy_of_the_callers_is_not_asked(self, airflow, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        assert airflow.get("/dags")

    def test_more_than_a_page_is_fetched_whole(self, airflow, fake):
        fake.instances = [{"task_id": str(number)} for number in range(250)]
        found = airflow.pages("/dags/daily/dagRuns/r/taskInstances", "task_instances")
        assert [entry["task_id"] for entry in found] == [str(number) for number in range(250)]


def instance(task_id, state, map_index=-1, try_number=1, begun=0, ended=None):
    at = "2026-01-01T00:00:{:02d}Z".format
    return {
        "task_id": task_id, "state": state, "map_index": map_index, "try_number": try_number,
        "start_date": None if begun is None else at(begun), "end_date": None if ended is None else at(ended),
    }  # fmt: skip


NOW = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


class TestTaskLines:
    def test_stand_in_the_order_of_the_dag(self):
        instances = [instance("publish", None, begun=None), instance("extract", "success", begun=2, ended=5)]
        lines = follow.task_lines(instances, {"extract": 0, "publish": 1}, NOW)
        assert [(line.task_id, line.words, line.seconds) for line in lines] == [
            ("extract", "success", 3.0),
            ("publish", "waiting", None),
        ]

    def test_mapped_instances_are_one_line_with_a_count(self):
        instances = [
            instance("extract", "success", 0, begun=1, ended=4),
            instance("extract", "running", 1, begun=2),
            instance("extract", None, 2, begun=None),
        ]
        (line,) = follow.task_lines(instances, {}, NOW)
        assert line.words == "running 1/3"
        assert line.seconds == 29.0

    @pytest.mark.parametrize(
        ("states", "shown"),
        [
            (["success", "success"], "success"),
            (["success", "failed"], "failed"),
            (["failed", "running"], "running"),
            (["up_for_retry", "success"], "up_for_retry"),
        ],
    )
    def test_the_state_that_matters_most_is_shown(self, states, shown):
        instances = [instance("extract", state, index, ended=1) for index, state in enumerate(states)]
        assert follow.task_lines(instances, {}, NOW)[0].state == shown


class TestFollow:
    def test_tells_changes_once_and_ends_with_the_run(self, airflow, fake, capsys):
        run, _ = start(airflow)
        fake.instances = [instance("extract", "success", ended=3), instance("publish", "running")]

        def end():
            fake.instances[1] = instance("publish", "success", ended=4)
            fake.runs[0]["state"] = "success"

        timer = threading.Timer(0.3, end)
        timer.start()
        result = follow.follow(airflow, run)
        timer.join()
        assert result.is_success
        lines = [line.split("s  ", 1)[1].split() for line in capsys.readouterr().out.splitlines()]
        assert [line[:2] for line in lines] == [["extract", "success"], ["publish", "running"], ["publish", "success"]]

    def test_a_failed_run_names_the_causes_and_not_what_followed(self, airflow, fake):
        run, _ = start(airflow)
        fake.runs[0]["state"] = "failed"
        fake.instances = [instance("extract", "failed", try_number=3), instance("publish", "upstream_failed")]
        fake.logs["extract"] = LOG
        result = follow.follow(airflow, run)
        assert not result.is_success
        (failure,) = result.failures
        assert str(failure) == (
            "extract failed at try 3:\n"
            "    120 rows read\n"
            "    disk nearly full\n"
            "    ValueError: no customers\n"
            "      at /shop/include/extract.py:12 in extract\n"
            "    caused by KeyError: 'customer_id'"
        )

    def test_a_run_that_was_deleted_is_not_waited_for(self, airflow):
        assert follow.follow(airflow, Run("daily", "gone", DAY)).state == "deleted"

    def test_a_missing_scheduler_is_said_and_then_given_up_on(self, airflow, fake, monkeypatch):
        run, _ = start(airflow)
        monkeypatch.setattr(follow, "HEALTH_CHECK_SECONDS", 0)
        monkeypatch.setattr(follow, "OUTAGE_SECONDS", 0.3)
        answer = fake.answer
        fake.answer = lambda method, path, *rest: (
            (200, {"scheduler": {"status": "unhealthy"}}) if path.endswith("health") else answer(method, path, *rest)
        )
        said = []
        with pytest.raises(AirflowError, match="stands still"):
            follow.follow(airflow, run, said.append)
        assert said == ["Airflow's scheduler does not run: `make up` starts it again. Waiting."]


LOG = [
    {"event": "::group::Log message source details"},
    {"event": "Filling up the DagBag", "level": "info", "logger": "airflow.dag_processing"},
    {"event": "old pattern", "level": "warning", "logger": "py.warnings", "category": "DeprecationWarning"},
    {"event": "120 rows read", "level": "info", "logger": "task.stdout"},
    {"event": "disk nearly full", "level": "warning", "logger": "airflow.something"},
    {
        "event": "Task failed with exception", "level": "error", "logger": "task",
        "error_detail": [
            {
                "exc_type": "ValueError", "exc_value": "no customers", "exc_notes": [],
                "frames": [
                    {"filename": "/v/lib/python3.11/site-packages/airflow/x.py", "lineno": 1, "name": "run"},
                    {"filename": "/shop/include/extract.py", "lineno": 12, "name": "extract"},
                ],
            },
            {"exc_type": "KeyError", "exc_value": "'customer_id'", "frames": []},
        ],
    },
]  # fmt: skip


class TestFailures:
    def test_only_the_last_lines_are_shown(self):
        events = [{"event": f"line {number}", "logger": "task.stdout"} for number in range(40)]
        assert failures.lines_of(events) == [f"line {number}" for number in range(25, 40)]

    def test_a_killed_task_has_no_exception_and_that_is_said(self):
        assert "killed" in failures.error_of([{"event": "started"}])


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--dag=", "--day=2011-12-10"], "DAG is missing"),
            (["--dag=a b", "--day=2011-12-10"], "DAG must be the id of a DAG"),
            (["--dag=daily", "--day="], "DAY is missing"),
            (["--dag=daily", "--day=2011-02-30"], "DAY must be a date as yyyy-mm-dd, not '2011-02-30'"),
            (["--dag=daily", "--day=20111210"], "DAY must be a date"),
            (["--dag=daily", "--day=2011-12-10", "--conf={"], "CONF must be a JSON object, but is not JSON"),
            (["--dag=daily", "--day=2011-12-10", "--conf=[1]"], "CONF must be a JSON object such as"),
        ],
    )
    def test_a_mistake_gets_one_sentence(self, arguments, sentence, capsys):
        with pytest.raises(SystemExit) as exit_:
            cli.main(["run", *arguments])
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith(sentence)
        assert error.count("\n") == 1

    def test_good_arguments_are_understood(self):
        assert cli.a_day("2011-12-10") == DAY
        assert cli.a_conf('{"k": [1, 2]}') == {"k": [1, 2]}
        assert cli.a_conf("") == {}

    @pytest.mark.parametrize("command", [["warehouse-url"], ["psql"], ["run", "--dag=daily", "--day=2011-12-10"]])
    def test_a_stack_that_is_down_gets_one_sentence(self, command, monkeypatch, tmp_path, capsys):
        monkeypatch.setenv("FENQUN_LOCAL", str(tmp_path))
        assert cli.main(command) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err == "The stack is not running: `make up` starts it.\n"
