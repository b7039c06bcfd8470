"""
Every command that the documents show is run here, in the order of a new user's first days, on a stack of its own.

Values are put in as a reader would: the shop's day, a customer's id. What is not run has its reason in `EXCUSED`.
"""

import datetime as dt
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from local import environment
from local.stack import Stack
from local.state import State
from segmentation import tables, warehouse
from segmentation.registry import Registry
from tests.docs import documented

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

# what the documents show -> what is run, and what its output has to show
FIRST_DAYS = {
    "make": ("make", "make demo"),
    "make demo": ("make demo", "Running segment_customers_daily"),
    "make up": ("make up", "The stack is up"),
    "make status": ("make status", "scheduler +healthy"),
    "make load": ("make load", "The shop holds"),
    "make strategies": ("make strategies", "^Customers of .* whom the condition meets"),
    "make -s warehouse-url": ("make -s warehouse-url", "^postgresql://"),
    "make psql": ("make psql ARGS='-c \"select count(*) from marketing.customer_segments\"'", r"^ +\d+$"),
    "python docs/examples/follow_feed.py sqlite:///crm.db": (
        "python docs/examples/follow_feed.py {url} sqlite:///{here}/crm.db",
        "",
    ),
    "make simulate DAYS=": ("make simulate DAYS=1", ""),
    "make run DAG=segment_customers_daily DAY=": ("make run DAG=segment_customers_daily DAY={next_day}", "publish"),
    "make why DAY=": ("make why DAY={next_day}", "publish"),
    "make run DAG=segment_customers_daily DAY= CONF=": (
        'make run DAG=segment_customers_daily DAY={next_day} CONF=\'{{"reload_since": "{day}T00:00:00Z"}}\'',
        "publish",
    ),
    "make run DAG=train_models_weekly DAY=": ("make run DAG=train_models_weekly DAY={next_day}", "promote"),
    "make run DAG=classify_products_weekly DAY=": ("make run DAG=classify_products_weekly DAY={next_day}", "movement"),
    "make run DAG=evaluate_campaigns_daily DAY=": ("make run DAG=evaluate_campaigns_daily DAY={next_day}", "evaluate"),
    "make backfill FROM= TO=": ("make backfill FROM={next_day} TO={next_day}", "has been run already"),
    "make backfill FROM= TO= REPROCESS=": (
        "make backfill FROM={next_day} TO={next_day} REPROCESS=completed",
        "{next_day}  success",
    ),
    "make backfill DAG=evaluate_campaigns_daily FROM= TO=": (
        "make backfill DAG=evaluate_campaigns_daily FROM={day} TO={day}",
        "{day}  success",
    ),
    "airflow backfill create --dag-id --from-date --to-date --max-active-runs --reprocess-behavior": (
        "airflow backfill create --dag-id segment_customers_daily --from-date {next_day} --to-date {next_day}T23:59:59 "
        "--max-active-runs 1 --reprocess-behavior failed --dry-run",
        "",
    ),
    "airflow pools import plugins/segmentation_airflow/pools.json": (
        "airflow pools import plugins/segmentation_airflow/pools.json",
        "Uploaded 1 pool",
    ),
    "make backup": ("make backup", r"\d+ files"),
    "make backup TO= KEEP=": ("make backup TO={here}/backups KEEP=1", r"\d+ files"),
    "make restore BACKUP=": ("make restore BACKUP={backup} FORCE=1", "Restored"),
    "make run DAG=learn_policy_weekly DAY=": ("make run DAG=learn_policy_weekly DAY={next_day}", "promote"),
    "make rollback SNAPSHOT=": ("make rollback SNAPSHOT=1", "1"),
    "make rollback-model MODEL= VERSION=": ("make rollback-model MODEL=churn_90d VERSION=1", "churn_90d"),
    "make rollback-model MODEL=": ("make rollback-model MODEL=purchase_30d", "purchase_30d"),
    "airflow dags trigger export_segment --conf": (
        'airflow dags trigger export_segment --conf \'{{"segment_id": {segment}, "format": "csv"}}\'',
        "export_segment",
    ),
    "airflow dags trigger roll_back_model --conf": (
        'airflow dags trigger roll_back_model --conf \'{{"model": "churn_90d"}}\'',
        "roll_back_model",
    ),
    "airflow dags trigger roll_back_segments --conf": (
        "airflow dags trigger roll_back_segments --conf '{{\"snapshot_id\": 1}}'",
        "roll_back_segment",  # the table that Airflow prints breaks the name
    ),
    "airflow dags trigger erase_customers --conf": (
        'airflow dags trigger erase_customers --conf \'{{"ids": ["{customer}"]}}\'',
        "erase_customers",
    ),
    "make export-customer ID=": ("make export-customer ID={other}", "exports/customers/"),
    "make erase-customer ID=": ("make erase-customer ID={other}", ""),
    "make docs": ("make docs", "features.md"),
    "make audit": ("make audit", "^Vulnerabilities"),
    "make licences": ("make licences", "licences.md"),
    ".venv/bin/python -m pytest tests/sql -k weekend": (  # a case that the page's reader writes: another one is run
        "python -m pytest tests/sql -k order_frequency -p no:cacheprovider",
        "passed",
    ),
    "make simulate DAYS= ANSWER=": ("make simulate DAYS=1 ANSWER=1", "it answered to .* campaigns"),
    "make simulate CUSTOMERS= DAYS=": ("make simulate CUSTOMERS=300 DAYS=120", ""),
    "make load DATA=": ("make load DATA={log}", "Loaded"),
    "make down": ("make down", "Stopped"),
}
EXCUSED = {
    "make test": "it is what runs this",
    "make test-long": "the same",
    "make lint": "what is handed in passes it before this is run",
    "make chaos": "takes an hour; what it is made of, in tests/local/test_chaos.py",
    "make chaos FAULTS=": "the same",
    "make chaos FAULTS= SEED=": "the same",
    "make soak": "the same, in tests/local/test_soak.py",
    "make soak CUSTOMERS= DAYS=": "the same",
    "make lock": "what it writes depends on the day's releases",
    "make demo DATA=": "`make demo` and `make load DATA=` are run above; what is loaded so, in tests/local/",
    "make run": "no command by itself",
    "make backfill": "no command by itself",
    "make restore": "no command by itself",
    "make rollback": "no command by itself",
    "make rollback-model": "no command by itself",
    "airflow dags trigger segment_customers_daily --logical-date": "`make run` starts runs by the same API",
    "airflow dags test": "Airflow's own; told of because of a defect of it",
    "airflow rotate-fernet-key": "tests/deploy/test_airflow_logins.py rotates one",
    "airflow db clean": "Airflow's own; no command by itself",
    "pip install -r requirements-spark.txt": "the same pins are in requirements-dev.txt: see below",
    ".venv/bin/python -m pytest -k name": "the other one with -k is run",
    "psql -c": "`make psql` is run",
    "make bench": "tests/local/test_bench_daily.py runs it, at its smallest; what it measures is for an idle machine",
    "make bench SIZES=": "the same",
    "make bench SIZES= AIRFLOW=": "the same",
    "make bench SIZES= PAGE=": "the same",
    "make bench SIZES= DAYS= PAGE=": "the same",
    "make compose-smoke": "needs Docker; tests/deploy/ has what can be tested without",
    "make compose-smoke ARGS=": "the same",
    "docker compose down": "the same",
    "docker compose exec postgres psql --username --file": "the same; the script is run in tests/deploy/",
    "docker compose up --detach": "the same",
    "docker compose up --detach --build --wait": "the same",
    "docker compose up --detach --wait": "the same",
    "docker compose up --detach --wait --scale": "the same",
    "docker compose exec airflow-scheduler airflow db clean --clean-before-timestamp --yes": "the same; without the "
    "container in tests/deploy/test_airflow_logins.py",
    "sh deploy/new_env.sh": "tests/deploy/test_compose.py runs it",
    "sh deploy/backup.sh /backups": "tests/deploy/test_backup_scripts.py runs both, and `make compose-smoke`",
    "sh deploy/restore.sh /backups/20260701T020000Z --replace": "the same",
    "sqlite3 crm.db": "reads what docs/examples/follow_feed.py has written, as tests/segmentation/test_clients.py does",
    "python -m local.bad_inputs": "every line of its page has a test: tests/integration/test_bad_inputs.py",
    "python -m local.bad_inputs NAME": "the same",
}


class Reader:
    """Somebody with a terminal in the clone."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stack = Stack(home / "stack")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        self._environment = {**kept, "FENQUN_LOCAL": str(home / "stack"), "PYTHONPATH": "include:."}

    def types(self, command: str) -> subprocess.CompletedProcess:
        words = shlex.split(command)
        environment_ = dict(self._environment)
        if words[0] in ("python", "airflow"):
            words[0] = str(documented.ROOT / ".venv" / "bin" / words[0])
        if command.startswith("airflow"):
            state = State.load(self.stack.folders.state)
            environment_ = environment.inherited() | environment.of_airflow(
                self.stack.folders, state, self.stack.postgres, self.stack.dags
            )
        return subprocess.run(words, cwd=documented.ROOT, env=environment_, capture_output=True, text=True)

    def fetch(self, query: str):
        with warehouse.connect(self.stack.addresses().warehouse) as connection:
            return warehouse.fetch(connection, query)

    def values(self) -> dict[str, str]:
        """What a reader puts into a command."""
        if not self.stack.postgres.is_running():
            return {}
        found = {"url": self.stack.addresses().warehouse, "here": str(self.home), "log": str(_log(self.home))}
        [(last,)] = self.fetch("select max(ordered_at)::date from shop.orders")
        found |= {"day": f"{last}", "next_day": f"{last + dt.timedelta(days=1)}"}
        found["backup"] = f"{max((self.home / 'backups').glob('2*'), default='')}"
        if self.fetch("select to_regclass('marketing.customer_segments')") == [(None,)]:  # of a shop that is new
            return found
        [(first, other)] = self.fetch("select min(customer_id), max(customer_id) from marketing.customer_segments")
        [(segment,)] = self.fetch(
            "select segment_id from marketing.customer_segments group by 1 order by count(*) desc limit 1"
        )
        return found | {"customer": first, "other": other, "segment": str(segment)}


def _log(home: Path) -> Path:
    """A log of CDNOW's form."""
    path = home / "cdnow.txt"
    path.write_text("".join(f" {n:05} {n:04} 199701{n % 28 + 1:02} 1   {n}.00\n" for n in range(1, 200)))
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    reader = Reader(tmp_path_factory.mktemp("reader"))
    try:
        yield reader
    finally:
        reader.stack.down()


def test_every_command_of_the_documents_is_tried_or_excused():
    shown = {form for form in documented.commands() if not form.startswith("python -m local.bench.")}
    known = set(FIRST_DAYS) | set(EXCUSED)
    assert shown - known == set(), "commands that no test runs"
    assert known - shown == set(), "commands that no page shows any more"


@pytest.mark.long
@pytest.mark.parametrize("shown", FIRST_DAYS)
def test_the_first_days(reader, shown):
    command, expected = FIRST_DAYS[shown]
    values = reader.values()
    if "VERSION=1" in command:
        _let_the_second_version_pass(reader)
    done = reader.types(command.format(**values) if values else command)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(expected.format(**values) if values else expected, done.stdout, re.MULTILINE), done.stdout


def _let_the_second_version_pass(reader: Reader) -> None:
    """Whether the second training is better, is not the question here."""
    registry = Registry(reader.stack.addresses().mlflow)
    for model in tables.TARGETS:
        registry.promote(model, "2", "tried")


def test_what_spark_needs_is_installed_here_as_well():
    wanted, installed = (
        {line.partition(";")[0].strip() for line in (documented.ROOT / name).read_text().splitlines()}
        for name in ("requirements-spark.txt", "requirements-dev.txt")
    )
    assert wanted - installed == set()


BENCHES = sorted(form for form in documented.commands() if form.startswith("python -m local.bench."))


@pytest.mark.parametrize("shown", BENCHES)
def test_a_bench_has_the_options_that_are_shown(reader, shown):
    """They are run by hand, on an idle machine; what they measure is in the documents."""
    _, _, module, *options = shown.split()
    told = reader.types(f"python -m {module} --help")
    assert told.returncode == 0, told.stderr
    for option in options:
        assert option in told.stdout
