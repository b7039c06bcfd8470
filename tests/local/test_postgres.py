"""The embedded server as it is: started, killed, found half made; no part of it is imitated."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.postgres import Postgres, PostgresError
from local.processes import wait_until
from segmentation import warehouse


@pytest.fixture
def server(tmp_path):
    postgres = Postgres(tmp_path / "pg", durable=False)
    yield postgres
    postgres.stop()


def ask(postgres: Postgres, query: str):
    with warehouse.connect(postgres.url()) as connection:
        return warehouse.fetch(connection, query)[0][0]


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    assert wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10)


def test_starts_answers_and_stops(server):
    assert not server.is_running()
    server.start()
    assert server.is_running()
    assert ask(server, "select 1") == 1
    assert ask(server, "select current_setting('TimeZone')") == "UTC"
    pid = server.pid
    server.stop()
    assert not server.is_running()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_starting_a_running_server_changes_nothing(server):
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_keeps_its_data_port_and_password_over_a_restart(server):
    server.start()
    url = server.url()
    with warehouse.connect(url) as connection:
        warehouse.execute(connection, "create table kept as select 42 as answer")
    server.stop()
    server.start()
    assert server.url() == url
    assert ask(server, "select answer from kept") == 42


def test_takes_another_port_when_its_own_was_taken(server):
    server.start()
    port = server.port
    server.stop()
    with socket.socket() as intruder:
        intruder.bind(("127.0.0.1", port))
        intruder.listen()
        server.start()
        assert server.port != port
        assert ask(server, "select 1") == 1


def test_a_durable_server_loses_nothing_to_kill_9_even_with_a_session_left_over(server):
    server.durable = True
    server.start()
    with warehouse.connect(server.url(), autocommit=True) as connection:
        warehouse.execute(connection, "create table kept as select 7 as answer")
        kill(server.pid)
        assert not server.is_running()
        server.start()
    assert ask(server, "select answer from kept") == 7


def test_a_pid_file_that_names_another_program_is_not_believed(server):
    server.start()
    pid_file = server.cluster / "postmaster.pid"
    text = pid_file.read_text()
    pid = server.pid
    server.stop()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        pid_file.write_text(text.replace(str(pid), str(bystander.pid), 1))
        assert not server.is_running()
        server.start()
        assert ask(server, "select 1") == 1
        server.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_stop_leaves_another_cluster_alone_whose_pid_is_in_a_stale_file(server, tmp_path):
    other = Postgres(tmp_path / "other", durable=False)
    server.start()
    other.start()
    try:
        text = (other.cluster / "postmaster.pid").read_text()
        server.stop()
        (server.cluster / "postmaster.pid").write_text(text)
        assert not server.is_running()
        server.stop()
        assert other.is_running()
    finally:
        other.stop()


def test_an_initdb_that_was_cut_short_is_begun_anew(server):
    half = server.data_dir / "cluster.unfinished"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    assert ask(server, "select 1") == 1
    assert not half.exists()


def test_two_clusters_run_side_by_side(server, tmp_path):
    other = Postgres(tmp_path / "other", durable=False)
    try:
        server.start()
        other.start()
        assert server.port != other.port
        assert ask(server, "select current_setting('data_directory')") == str(server.cluster)
        assert ask(other, "select current_setting('data_directory')") == str(other.cluster)
    finally:
        other.stop()


def test_two_commands_that_start_the_same_cluster_at_once_get_one_server(server):
    program = f"""
from pathlib import Path
from local.postgres import Postgres
Postgres(Path({str(server.data_dir)!r})).start()
"""
    commands = [subprocess.Popen([sys.executable, "-c", program], env=os.environ | here()) for _ in range(2)]
    assert [command.wait(60) for command in commands] == [0, 0]
    assert ask(server, "select 1") == 1
    masters = [p for p in psutil.process_iter(["name", "cmdline"]) if str(server.cluster) in (p.info["cmdline"] or [])]
    assert len(masters) == 1


def here() -> dict[str, str]:
    repository = Path(__file__).resolve().parents[2]
    return {"PYTHONPATH": f"{repository}{os.pathsep}{repository / 'include'}"}


def test_a_path_too_long_for_a_socket_does(tmp_path):
    postgres = Postgres(tmp_path / ("deep" * 30) / "pg", durable=False)
    try:
        postgres.start()
        assert ask(postgres, "select 1") == 1
    finally:
        postgres.stop()


def test_only_the_owner_may_read_the_password_and_it_is_needed(server):
    server.start()
    assert stat.S_IMODE((server.data_dir / "password").stat().st_mode) == 0o600
    assert not list(server.data_dir.glob("password.*"))
    with pytest.raises(Exception, match="password authentication failed"), warehouse.connect(server.url(password="no")):
        pass


def test_listens_on_loopback_only(server):
    server.start()
    assert ask(server, "show listen_addresses") == "127.0.0.1"
    assert ask(server, "show unix_socket_directories") == ""


def test_durable_is_the_default_and_can_be_given_up(server, tmp_path):
    server.start()
    assert ask(server, "show fsync") == "off"
    server.stop()
    durable = Postgres(server.data_dir)
    durable.start()
    assert ask(durable, "show fsync") == "on"


def test_a_server_that_cannot_start_says_why(server):
    server.start()
    server.stop()
    (server.cluster / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(PostgresError, match="no_such_setting"):
        server.start()


def test_a_server_that_never_ran_has_no_url(server):
    with pytest.raises(PostgresError, match="never been started"):
        server.port  # noqa: B018 - the access is the test


def test_parents_get_search_permission_and_nothing_else(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root lends its files to another account")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    postgres = Postgres(private / "pg", durable=False)
    try:
        postgres.start()
        assert stat.S_IMODE(private.stat().st_mode) == 0o701
        assert ask(postgres, "select 1") == 1
    finally:
        postgres.stop()


def test_survives_the_command_that_started_it_being_interrupted(server):
    program = (
        "import time; from pathlib import Path; from local.postgres import Postgres;"
        f"Postgres(Path({str(server.data_dir)!r}), durable=False).start(); print('up', flush=True); time.sleep(60)"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | here(), stdout=subprocess.PIPE, start_new_session=True
    )
    with command:
        assert any(line == b"up\n" for line in iter(command.stdout.readline, b""))
        os.killpg(command.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
        os.killpg(command.pid, signal.SIGKILL)
    assert server.is_running()
    assert ask(server, "select 1") == 1
