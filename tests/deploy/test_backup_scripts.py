"""
deploy/backup.sh and deploy/restore.sh on a real Postgres and real folders, without containers: `docker compose exec`
and `run` are played by a script that runs the same command here. In containers `make compose-smoke` tries them.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local.postgres import Postgres
from segmentation import erasure_ledger, erasures, lake, warehouse
from segmentation.settings import Stores
from tests.conftest import REPOSITORY
from tests.segmentation.test_segments_page import DAY, put

DATABASES = ("marketing", "mlflow", "mlflow_auth", "airflow", "warehouse")
DOCKER = """#!/bin/sh
verb=$2
shift 2
case $verb in
    down|up) echo "$verb $*" >>"$DOCKER_LOG" ;;
    exec) shift 2; exec "$@" ;;
    run) shift 4; exec "$@" ;;
esac
"""


class Deployed:
    """What a deployment has, and a terminal on its host."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        dsn = server.url("marketing")
        self.stores = Stores(warehouse=dsn, marketing=dsn, lake=f"{folder / 'lake'}", registry="unused")
        self.artifacts, self.ledger, self.backups = folder / "mlflow", folder / "erased", folder / "backups"
        bin_ = folder / "bin"
        bin_.mkdir()
        (bin_ / "docker").write_text(DOCKER)
        (bin_ / "docker").chmod(0o755)
        at = urlsplit(dsn)
        programs = (bin_, Postgres.bin("psql").parent, Path(sys.executable).parent, os.environ["PATH"])
        self.environment = os.environ | {
            "PATH": ":".join(map(str, programs)),
            "PYTHONPATH": f"{REPOSITORY / 'include'}",
            "PGHOST": at.hostname, "PGPORT": f"{at.port}", "PGPASSWORD": server.password,
            "LAKE_URI": self.stores.lake, "MLFLOW_ARTIFACTS_DESTINATION": f"{self.artifacts}",
            "AIRFLOW_CONN_MARKETING": dsn, erasure_ledger.VARIABLE: f"{self.ledger}",
            "DOCKER_LOG": f"{folder / 'docker.log'}",
        }  # fmt: skip

    def types(self, script, *words):
        return subprocess.run(
            ["sh", REPOSITORY / "deploy" / script, *map(str, words)],
            env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip

    def ask(self, database, query):
        with warehouse.connect(self.server.url(database)) as connection:
            return warehouse.fetch(connection, query)

    def told(self):
        """All that is to be the same again."""
        marks = [self.ask(name, "select mark from mark") for name in DATABASES]
        files = {f"{path}": path.read_bytes() for path in self.folder.glob("[lm]*/**/*") if path.is_file()}
        published = self.ask("marketing", "select customer_id, segment_id from marketing.customer_segments order by 1")
        return marks, files, published


@pytest.fixture
def deployed(tmp_path, tmp_path_factory):
    server = Postgres(tmp_path_factory.mktemp("server"), durable=False)
    server.start()
    try:
        with warehouse.connect(server.url("postgres"), autocommit=True) as connection:
            for name in DATABASES:
                warehouse.execute(connection, f"create database {name}")
        for name in DATABASES:
            with warehouse.connect(server.url(name)) as connection:
                warehouse.execute(connection, f"create table mark as select '{name} as it was' as mark")
        found = Deployed(tmp_path, server)
        put(found.stores, DAY, [1] * 20 + [2] * 20)
        erasures.ensure_schema(found.stores.marketing)
        found.artifacts.mkdir()
        (found.artifacts / "model.skops").write_bytes(b"\x00\xffa model")
        yield found
    finally:
        server.stop()


def whole(deployed):
    made = deployed.types("backup.sh", "backups")
    assert made.returncode == 0, made.stdout + made.stderr
    [folder] = deployed.backups.iterdir()
    assert f"{folder}: " in made.stdout
    assert folder.stat().st_mode & 0o077 == 0, "it has personal data"
    return folder


def test_all_that_was_lost_is_there_again_and_who_was_erased_since_is_asked_for(deployed, monkeypatch):
    before, folder = deployed.told(), whole(deployed)
    monkeypatch.setenv(erasure_ledger.VARIABLE, f"{deployed.ledger}")
    erasure_ledger.note(deployed.stores, ["c000"])
    for name in DATABASES:
        with warehouse.connect(deployed.server.url(name)) as connection:
            warehouse.execute(connection, "drop table mark")
    with warehouse.connect(deployed.stores.marketing) as connection:
        warehouse.execute(connection, "drop schema marketing cascade")
    shutil.rmtree(deployed.artifacts)
    deployed.artifacts.mkdir()
    (deployed.artifacts / "later").write_text("not of then")
    done = deployed.types("restore.sh", folder, "--replace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployed.told() == before
    assert "1 persons were erased since: trigger erase_customers without ids" in done.stdout
    assert deployed.ask("marketing", "select count(*) from privacy.requests") == [(1,)]
    assert (deployed.folder / "docker.log").read_text().splitlines() == [
        "down ", "up --detach --wait postgres", "up --detach --wait"
    ]  # fmt: skip
    assert "restored: snapshot 1" in done.stdout


def test_a_backup_waits_for_who_is_writing_and_leaves_nothing_when_it_is_stopped(deployed):
    with warehouse.connect(deployed.stores.marketing) as connection:
        warehouse.execute(connection, "select pg_advisory_xact_lock(4070110301)")  # an acceptance
        process = subprocess.Popen(
            ["sh", REPOSITORY / "deploy" / "backup.sh", "backups"], env=deployed.environment, cwd=deployed.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdout.readline() == "waiting for what is being written\n"
        time.sleep(3)
        assert [path.name for path in deployed.backups.glob("*/*")] == [], "nothing is read meanwhile"
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
    assert process.returncode != 0
    assert list(deployed.backups.iterdir()) == []
    whole(deployed)


def test_what_is_no_whole_backup_is_refused_before_anything_is_replaced(deployed):
    folder = whole(deployed)
    refused = deployed.types("restore.sh", folder)
    assert (refused.returncode, "This replaces all" in refused.stderr) == (2, True)
    with (folder / "marketing.dump").open("r+b") as file:
        file.seek(100)
        file.write(b"\x01\x02\x03")
    refused = deployed.types("restore.sh", folder, "--replace")
    assert refused.returncode != 0
    assert "marketing.dump: FAILED" in refused.stdout + refused.stderr
    (folder / "SHA256SUMS").unlink()
    refused = deployed.types("restore.sh", folder, "--replace")
    assert "is no whole backup" in refused.stderr
    assert not (deployed.folder / "docker.log").exists()


def test_what_lies_in_an_object_store_is_said_and_not_copied(deployed):
    deployed.environment |= {"LAKE_URI": "s3://fenqun/lake"}
    made = deployed.types("backup.sh", "backups")
    assert made.returncode == 0, made.stdout + made.stderr
    assert "s3://fenqun/lake is an object store: copy it now" in made.stdout
    [folder] = deployed.backups.iterdir()
    assert not (folder / "lake.tar").exists()
    assert (folder / "mlflow.tar").exists()
    assert lake.has(deployed.stores.lake, "score.customer_daily", DAY)
