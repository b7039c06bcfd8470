"""deploy/airflow/clean_logs.sh deletes what is old, and nothing else."""

import os
import subprocess
import time

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "deploy" / "airflow" / "clean_logs.sh"
DAY = 86_400


def clean(folder, **settings):
    environment = {"PATH": os.environ["PATH"], "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{folder}", **settings}
    subprocess.run(["sh", SCRIPT, "--once"], env=environment, check=True, timeout=60)


def put(path, days, text="a line"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = time.time() - days * DAY
    os.utime(path, (at, at))
    return path


def test_old_logs_and_their_empty_folders_go_and_the_others_stay(tmp_path):
    old = put(tmp_path / "dag_id=d" / "run_id=old" / "attempt=1.log", 92)
    young = put(tmp_path / "dag_id=d" / "run_id=young" / "attempt=1.log", 88)
    other = put(tmp_path / "openlineage.jsonl", 200)
    os.utime(old.parent, (0, 0))
    begun = tmp_path / "dag_id=d" / "run_id=begun"
    begun.mkdir()
    clean(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert other.exists()
    assert begun.exists(), "somebody is about to write there"
    os.utime(old.parent, (0, 0))
    clean(tmp_path)
    assert not old.parent.exists()


def test_the_days_are_a_setting(tmp_path):
    log = put(tmp_path / "a.log", 12)
    clean(tmp_path, AIRFLOW__LOG_RETENTION_DAYS="15")
    assert log.exists()
    clean(tmp_path, AIRFLOW__LOG_RETENTION_DAYS="10")
    assert not log.exists()


def test_a_large_file_of_events_is_set_aside_once(tmp_path):
    events = put(tmp_path / "openlineage.jsonl", 0, "x" * (1024 * 1024 + 1))
    clean(tmp_path)
    assert events.exists()
    clean(tmp_path, OPENLINEAGE_MOST_MIB="1")
    assert not events.exists()
    assert (tmp_path / "openlineage.jsonl.1").stat().st_size == 1024 * 1024 + 1


def test_without_a_folder_it_goes_on(tmp_path):
    clean(tmp_path / "none")  # raises if the script fails
    assert not (tmp_path / "none").exists()
