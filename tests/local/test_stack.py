"""The stack's book-keeping of processes, with real processes that stand in for the real programs."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local import components, database
from local.components import Component, is_component
from local.errors import StackError
from local.postgres import Postgres
from local.processes import Identity, free_port, is_free, spawn, stop, tail, wait, wait_until, working_in
from local.stack import Stack
from local.state import Folders, Running, State
from segmentation import warehouse

SLEEP = "import time; time.sleep(120)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(120)"
)
PARENT = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print('born', flush=True); {SLEEP}"
)


def _shows_its_arguments(identity: Identity) -> bool:
    try:
        return bool(psutil.Process(identity.pid).cmdline())
    except psutil.Error:  # it has ended already
        return True


@pytest.fixture
def start(tmp_path):
    """Starts a Python that runs a program; what is left of them is ended with the test."""
    begun = []

    def starts(program: str, *arguments: str, cwd: Path | None = None) -> Identity:
        log = tmp_path / f"{len(begun)}.log"
        command = [sys.executable, "-c", program, *arguments]
        identity = spawn(command, cwd=cwd or tmp_path, log=log, env=dict(os.environ))
        begun.append(identity)
        # Popen returns as soon as the new program has closed its pipe, which is before Linux shows its arguments.
        assert wait_until(lambda: _shows_its_arguments(identity), 10)
        if "print" in program:
            assert wait_until(lambda: bool(tail(log)), 10)
        return identity

    yield starts
    stop(begun, patience_seconds=0)


@pytest.fixture
def stack(tmp_path):
    made = Stack(tmp_path / "home")
    made.folders.create()
    yield made
    made.down(lambda line: None)


def running(identity: Identity, fingerprint: str = "") -> Running:
    return Running(identity.pid, identity.born, fingerprint)


class TestProcesses:
    def test_an_identity_is_alive_until_its_process_ends(self, start):
        identity = start(SLEEP)
        assert identity.is_alive()
        psutil.Process(identity.pid).kill()
        assert wait_until(lambda: not identity.is_alive(), 5)

    def test_a_reused_pid_is_neither_alive_nor_killed(self, start):
        bystander = start(SLEEP)
        remembered = Identity(bystander.pid, bystander.born - 3600)
        assert not remembered.is_alive()
        assert stop([remembered], patience_seconds=0) == []
        assert bystander.is_alive()

    def test_stop_kills_what_ignores_the_request_and_says_so(self, start):
        polite, deaf = start(SLEEP), start(STUBBORN)
        assert stop([polite, deaf], patience_seconds=1) == [deaf]
        assert not polite.is_alive()
        assert not deaf.is_alive()

    def test_stop_ends_descendants_too(self, start):
        parent = start(PARENT)
        (child,) = psutil.Process(parent.pid).children()
        stop([parent], patience_seconds=5)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

    def test_a_spawned_process_has_a_session_of_its_own_and_no_input(self, tmp_path):
        log = tmp_path / "log"
        program = "import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"
        identity = spawn([sys.executable, "-c", program], cwd=tmp_path, log=log, env=dict(os.environ))
        assert wait(identity, 20) == 0
        assert tail(log) == "True ''"

    def test_wait_gives_the_exit_code_or_ends_what_takes_too_long(self, start):
        assert wait(start("raise SystemExit(3)"), 20) == 3
        slow = start(SLEEP)
        assert wait(slow, 0.2) is None
        assert not slow.is_alive()

    def test_a_taken_port_is_replaced_and_a_free_one_kept(self):
        import socket

        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            assert not is_free(taken)
            assert free_port(taken) != taken
        assert free_port(taken) == taken
        assert free_port(taken, taken=[taken]) != taken

    def test_tail_starts_after_the_byte_asked_for(self, tmp_path):
        log = tmp_path / "log"
        log.write_text("old\nnew 1\nnew 2\n")
        assert tail(log, since=4) == "new 1\nnew 2"
        assert tail(log, lines=1) == "new 2"
        assert tail(tmp_path / "none") == ""


class TestStrays:
    """Left-over processes are known by the folder they work in."""

    def test_an_orphaned_worker_is_found_and_a_folder_elsewhere_is_not(self, start, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        worker, elsewhere = start(SLEEP, "airflow worker", cwd=run), start(SLEEP, "airflow worker")
        found = [process.pid for process in working_in(run, is_component)]
        assert worker.pid in found
        assert elsewhere.pid not in found

    def test_other_programs_in_the_folder_are_nobodys_business(self, start, tmp_path):
        own_script = start(SLEEP, "report.py", cwd=tmp_path)
        shell = subprocess.Popen(["/bin/sh", "-c", "sleep 60; : airflow"], cwd=tmp_path, start_new_session=True)
        try:
            assert not is_component(psutil.Process(own_script.pid))
            assert not is_component(psutil.Process(shell.pid))
        finally:
            for child in psutil.Process(shell.pid).children():
                child.kill()
            shell.kill()
            shell.wait()

    def test_a_python_at_a_terminal_is_a_persons(self, tmp_path):
        import pty

        leader, follower = pty.openpty()
        program = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); print('ready', flush=True); " + SLEEP
        person = subprocess.Popen(
            [sys.executable, "-c", program, "airflow"],
            stdin=follower, stdout=subprocess.PIPE, cwd=tmp_path, start_new_session=True,
        )  # fmt: skip
        try:
            assert person.stdout.readline() == b"ready\n"
            assert not is_component(psutil.Process(person.pid))
        finally:
            person.kill()
            person.communicate()
            os.close(leader)
            os.close(follower)

    def test_a_deleted_folder_still_gives_its_processes_away(self, start, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        worker = start(SLEEP, "airflow worker", cwd=run)
        run.rmdir()
        assert worker.pid in [process.pid for process in working_in(run, is_component)]


class TestDown:
    def test_stops_its_own_and_its_orphans_and_nothing_else(self, stack, start):
        scheduler = start(SLEEP, "airflow scheduler", cwd=stack.folders.run)
        orphan = start(SLEEP, "airflow worker", cwd=stack.folders.run)
        bystander = start(SLEEP, "airflow scheduler")
        State(components={"scheduler": running(scheduler)}).save(stack.folders.state)
        said = []
        stack.down(said.append)
        assert not scheduler.is_alive()
        assert not orphan.is_alive()
        assert bystander.is_alive()
        assert said == ["Stopped."]

    def test_a_pid_that_went_to_another_program_is_left_alone(self, stack, start):
        bystander = start(SLEEP, "airflow scheduler")
        stale = Running(bystander.pid, bystander.born - 3600, "")
        State(components={"scheduler": stale}).save(stack.folders.state)
        stack.down(lambda line: None)
        assert bystander.is_alive()

    def test_twice_is_no_error(self, stack):
        said = []
        stack.down(said.append)
        stack.down(said.append)
        assert said == ["The stack was not running."] * 2


class TestUp:
    def test_what_runs_with_other_settings_is_ended_and_so_are_strays(self, stack, start):
        old = start(SLEEP, "airflow scheduler", cwd=stack.folders.run)
        kept = start(PARENT, "airflow triggerer", cwd=stack.folders.run)
        stray = start(SLEEP, "airflow worker", cwd=stack.folders.run)
        wanted = {name: Component(name, ["airflow", name], {}) for name in ("scheduler", "triggerer")}
        state = State(
            components={
                "scheduler": running(old, "of another day"),
                "triggerer": running(kept, wanted["triggerer"].fingerprint),
            }
        )
        stack._end_unfit(state, wanted, lambda line: None)
        assert not old.is_alive()
        assert not stray.is_alive()
        assert kept.is_alive()
        assert len(psutil.Process(kept.pid).children()) == 1

    def test_a_started_component_is_remembered_and_not_started_twice(self, stack):
        component = Component("scheduler", [sys.executable, "-c", SLEEP, "airflow"], {"SETTING": "1"})
        state = State()
        stack._start(component, state)
        first = State.load(stack.folders.state).components["scheduler"]
        assert first.identity.is_alive()
        assert psutil.Process(first.pid).environ()["SETTING"] == "1"
        assert Path(psutil.Process(first.pid).cwd()) == stack.folders.run
        stack._start(component, state)
        assert State.load(stack.folders.state).components["scheduler"] == first

    def test_a_component_that_dies_while_starting_shows_its_last_words(self, stack):
        program = "raise SystemExit('the port is taken')"
        component = Component("mlflow", [sys.executable, "-c", program], {})
        state = State(ports={"mlflow": free_port(), "airflow": free_port()})
        stack._start(component, state)
        with pytest.raises(StackError, match=r"(?s)mlflow ended while starting.*the port is taken"):
            stack._wait_until_healthy({"mlflow": component}, set(), state, lambda line: None)

    def test_one_found_running_that_dies_is_started_anew(self, stack, start):
        port = free_port()
        serve = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"OK")
HTTPServer(("127.0.0.1", {port}), Healthy).serve_forever()
"""
        component = Component("mlflow", [sys.executable, "-c", serve, "mlflow"], {})
        dead = start("pass")
        assert wait_until(lambda: not dead.is_alive(), 10)
        state = State(ports={"mlflow": port}, components={"mlflow": running(dead)})
        said = []
        stack._wait_until_healthy({"mlflow": component}, {"mlflow"}, state, said.append)
        assert "does not answer" in said[0]
        assert "ready in" in said[1]
        assert state.components["mlflow"].identity.is_alive()

    def test_one_that_has_lost_its_database_counts_when_it_has_reported_since(self, stack, start, tmp_path):
        """It looked healthy by what it had reported before, and ended of the loss a moment later."""
        port, beat = free_port(), tmp_path / "beat"
        serve = f"""
import datetime, json, pathlib
from http.server import BaseHTTPRequestHandler, HTTPServer
class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        beat = pathlib.Path({str(beat)!r})
        moment = datetime.datetime.fromtimestamp(beat.stat().st_mtime, datetime.UTC).isoformat()
        self.send_response(200); self.send_header("Content-Type", "application/json"); self.end_headers()
        told = {{"status": "healthy", "latest_triggerer_heartbeat": moment}}
        self.wfile.write(json.dumps({{"triggerer": told}}).encode())
HTTPServer(("127.0.0.1", {port}), Health).serve_forever()
"""
        found = start("import time; time.sleep(4)")
        beat.touch()
        os.utime(beat, (found.born + 1, found.born + 1))
        start(serve)
        program = f"import pathlib, time; pathlib.Path({str(beat)!r}).touch(); time.sleep(60)"
        component = Component("triggerer", [sys.executable, "-c", program, "airflow"], {})
        state, said = State(ports={"airflow": port, "mlflow": 1}, components={"triggerer": running(found)}), []
        stack._wait_until_healthy({"triggerer": component}, {"triggerer"}, state, said.append, found.born + 2)
        assert "starting it anew" in said[0]
        assert state.components["triggerer"].pid != found.pid
        assert state.components["triggerer"].identity.is_alive()

    def test_ports_of_what_runs_are_kept_and_taken_ones_replaced(self, stack, start):
        import socket

        api = start(SLEEP)
        with socket.socket() as intruder:
            intruder.bind(("127.0.0.1", 0))
            intruder.listen()
            taken = intruder.getsockname()[1]
            state = State(ports={"mlflow": taken, "airflow": taken + 1}, components={"api-server": running(api)})
            stack._choose_ports(state)
        assert state.ports["airflow"] == taken + 1
        assert state.ports["mlflow"] not in (taken, taken + 1)

    def test_the_second_command_says_that_it_waits(self, tmp_path):
        folders = Folders(tmp_path)
        program = (
            "import sys; from pathlib import Path; from local.state import Folders\n"
            f"with Folders(Path({str(tmp_path)!r})).locked(lambda line: print(line, flush=True)): pass"
        )
        with folders.locked(lambda line: None):
            env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
            second = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=env)
            assert b"waiting for it" in second.stdout.readline()
            time.sleep(0.2)
            assert second.poll() is None
        second.communicate()
        assert second.returncode == 0


class TestState:
    def test_is_written_for_its_owner_only_and_read_back(self, tmp_path):
        path = tmp_path / "state.json"
        state = State(ports={"mlflow": 1}, components={"mlflow": Running(1, 2.5, "x")})
        state.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert State.load(path) == state

    @pytest.mark.parametrize("text", ["", "{", '{"secrets": {}}', '{"secrets": {"unknown": 1}}', "[]"])
    def test_a_damaged_file_is_a_new_state(self, tmp_path, text):
        (tmp_path / "state.json").write_text(text)
        assert State.load(tmp_path / "state.json").components == {}

    def test_secrets_are_never_twice_the_same(self):
        assert len({*State().secrets.roles.values(), *State().secrets.roles.values()}) == 6

    def test_home_can_be_set(self, monkeypatch, tmp_path):
        monkeypatch.setenv("FENQUN_LOCAL", str(tmp_path))
        assert Folders.default().home == tmp_path


class TestEnvironment:
    @pytest.fixture
    def wanted(self, stack, postgres_server):
        state = State(ports={"airflow": 1234, "mlflow": 5678})
        return components.all_of(stack.folders, state, postgres_server, stack.dags)

    def test_no_password_is_on_a_command_line(self, wanted, postgres_server):
        for component in wanted.values():
            assert "postgresql" not in " ".join(map(str, component.command))

    def test_everything_listens_on_loopback(self, wanted):
        assert "--skip-serve-logs" in wanted["scheduler"].command
        assert "--skip-serve-logs" in wanted["triggerer"].command
        for name in ("api-server", "mlflow"):
            command = list(wanted[name].command)
            assert command[command.index("--host") + 1] == "127.0.0.1"

    def test_the_callers_settings_stay_outside(self, monkeypatch):
        from local.environment import inherited

        for name in ("AIRFLOW__CORE__EXECUTOR", "MLFLOW_TRACKING_URI", "PGHOST", "PYTHONPATH"):
            monkeypatch.setenv(name, "theirs")
        monkeypatch.setenv("LANG", "C.UTF-8")
        assert "theirs" not in inherited().values()
        assert inherited()["LANG"] == "C.UTF-8"

    def test_another_setting_is_another_fingerprint(self):
        one, same, other = (Component("mlflow", ["mlflow"], {"PORT": port}) for port in ("1", "1", "2"))
        assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    postgres = Postgres(tmp_path_factory.mktemp("prepared"), durable=False)
    postgres.start()
    passwords = {"airflow": "a", "mlflow": "m", "pipeline": "p"}
    database.prepare(postgres, passwords)
    database.prepare(postgres, passwords)  # again, as at every start
    yield postgres
    postgres.stop()


class TestDatabase:
    def test_the_pipeline_reads_the_shop_and_makes_its_own_schemas(self, prepared):
        with warehouse.connect(prepared.url("warehouse", "pipeline", "p")) as connection:
            assert warehouse.fetch(connection, "select count(*) from shop.orders") == [(0,)]
            warehouse.execute(connection, "create schema marketing")
            with pytest.raises(Exception, match="permission denied"):
                warehouse.execute(connection, "delete from shop.orders")
            connection.rollback()

    @pytest.mark.parametrize(
        "statement",
        [
            "select * from truth.customers",
            "insert into shop.customers (customer_id, signed_up_at, updated_at) values ('a', now(), now())",
            "update shop.orders set total_amount = 0",
            "truncate shop.orders",
            "drop table shop.orders",
            "create table shop.mine (n int)",
            "create table truth.mine (n int)",
            "alter table shop.orders add column mine int",
            "alter table shop.orders owner to pipeline",
            "create role mine",
            "alter role pipeline superuser",
            "set role postgres",
            "select rolpassword from pg_authid",
            "copy (select 1) to program 'cat'",
            "select pg_read_file('/etc/passwd')",
            "alter system set log_statement = 'all'",
        ],
    )
    def test_the_pipeline_writes_only_what_it_owns_and_does_not_know_the_truth(self, prepared, statement):
        with warehouse.connect(prepared.url("warehouse")) as connection:
            warehouse.run_script(connection, "create schema if not exists truth")
            warehouse.run_script(connection, "create table if not exists truth.customers (customer_id text)")
        with (
            pytest.raises(Exception, match=r"permission denied|must be owner"),
            warehouse.connect(prepared.url("warehouse", "pipeline", "p"), autocommit=True) as connection,
        ):
            warehouse.run_script(connection, statement)
            raise AssertionError(f"it was allowed to: {statement}")

    def test_a_table_the_shop_gets_later_can_be_read_too(self, prepared):
        with warehouse.connect(prepared.url("warehouse")) as connection:
            warehouse.execute(connection, "create table shop.later (n int)")
        with warehouse.connect(prepared.url("warehouse", "pipeline", "p")) as connection:
            assert warehouse.fetch(connection, "select count(*) from shop.later") == [(0,)]

    def test_no_program_sees_anothers_database(self, prepared):
        with (
            pytest.raises(Exception, match="permission denied for database"),
            warehouse.connect(prepared.url("airflow", "pipeline", "p")),
        ):
            pass

    def test_new_passwords_take_the_place_of_old_ones(self, prepared):
        database.prepare(prepared, {"mlflow": "new"})
        with warehouse.connect(prepared.url("mlflow", "mlflow", "new")) as connection:
            assert warehouse.fetch(connection, "select 1") == [(1,)]

    def test_the_airflow_version_is_noted_with_the_database(self, prepared):
        assert database.airflow_version(prepared) is None
        database.set_airflow_version(prepared, "3.3.2")
        assert database.airflow_version(prepared) == "3.3.2"


def test_the_state_file_holds_plain_json(tmp_path):
    State().save(tmp_path / "state.json")
    assert set(json.loads((tmp_path / "state.json").read_text())) == {"secrets", "ports", "components"}
