"""What the DAGs promise: ids, order, retries, docs, and that nothing is published unvalidated."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TAGS = {
    "classify_products_weekly": "weekly",
    "erase_customers": "on request",
    "evaluate_campaigns_daily": "daily",
    "export_customer": "on request",
    "export_segment": "on request",
    "learn_policy_weekly": "weekly",
    "roll_back_model": "on request",
    "roll_back_segments": "on request",
    "segment_customers_daily": "daily",
    "train_models_weekly": "weekly",
}
DAGS = {f"{dag_id}.py": {dag_id} for dag_id in TAGS}
EDGES = {
    "segment_customers_daily": {
        "extract": {"validate_raw"},
        "validate_raw": {"aggregates"},
        "aggregates": {"features"},
        "features": {"validate_features"},
        "validate_features": {"score", "recommend"},
        "recommend": {"publish"},
        "score": {"validate_scores", "strategy"},
        "validate_scores": {"publish"},
        "strategy": {"validate_strategies"},
        "validate_strategies": {"publish"},
        "publish": {"compact", "drop_snapshots", "performance", "drift"},
        "compact": set(),
        "drop_snapshots": set(),
        "performance": {"retrain"},
        "drift": {"retrain"},
        "retrain": {"train_models_weekly"},
        "train_models_weekly": set(),
    },
    "train_models_weekly": {
        "extract": {"validate_raw"},
        "validate_raw": {"aggregates"},
        "aggregates": {"training_examples"},
        "training_examples": {"cluster", "classify"},
        "cluster": {"compare"},
        "classify": {"compare"},
        "compare": {"questions", "promote"},
        "questions": {"decide"},
        "decide": {"promote"},
        "promote": set(),
    },
    "learn_policy_weekly": {
        "extract": {"validate_raw"},
        "validate_raw": {"aggregates"},
        "aggregates": {"contact_examples"},
        "contact_examples": {"learn"},
        "learn": {"compare"},
        "compare": {"questions", "promote"},
        "questions": {"decide"},
        "decide": {"promote"},
        "promote": set(),
    },
    "erase_customers": {"erase": set()},
    "export_customer": {"export": set()},
    "evaluate_campaigns_daily": {
        "extract": {"validate_raw"},
        "validate_raw": {"evaluate"},
        "evaluate": set(),
    },
    "classify_products_weekly": {
        "extract": {"validate_raw"},
        "validate_raw": {"aggregates"},
        "aggregates": {"movement"},
        "movement": set(),
    },
    "export_segment": {"export": set()},
    "roll_back_model": {"roll_back": set()},
    "roll_back_segments": {"roll_back": set()},
}
HEAVY = {
    "pandas", "numpy", "sklearn", "mlflow", "great_expectations", "duckdb", "pyarrow", "matplotlib", "psycopg2",
    "pyspark", "scipy",
}  # fmt: skip

# Parsed in a process of its own, as Airflow does it, with a home of its own.
PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
dags = {}
for dag in bag.dags.values():
    dags[dag.dag_id] = {
        "file": dag.fileloc, "doc": dag.doc_md or "", "tags": sorted(dag.tags), "schedule": dag.schedule,
        "catchup": dag.catchup, "max_active_runs": dag.max_active_runs, "start": str(dag.start_date),
        "tasks": {
            t.task_id: {
                "down": sorted(t.downstream_task_ids), "retries": t.retries, "owner": t.owner,
                "timeout": t.execution_timeout.total_seconds(),
                "rules": [str(r.exception) for r in t.retry_policy.rules],
                "outlets": [a.name for a in t.outlets],
            }
            for t in dag.tasks
        },
    }
result = {"errors": bag.import_errors, "dags": dags, "modules": sorted({m.split(".")[0] for m in sys.modules})}
open(sys.argv[2], "w").write(json.dumps(result))
"""


def parse(home: Path, **environment: str) -> dict:
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}",
        **environment,
    }
    out = home / "parsed.json"
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(ROOT / "dags"), str(out)], env=env, cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    return parse(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(params=sorted(EDGES))
def dag(request, parsed):
    return request.param, parsed["dags"][request.param]


def test_each_file_has_exactly_its_dags(parsed):
    assert parsed["errors"] == {}
    found: dict[str, set] = {}
    for dag_id, each in parsed["dags"].items():
        found.setdefault(Path(each["file"]).name, set()).add(dag_id)
    assert found == DAGS
    assert {path.name for path in (ROOT / "dags").glob("*.py")} == set(DAGS)


def test_parsing_imports_nothing_heavy(parsed):
    assert HEAVY & set(parsed["modules"]) == set()


def test_the_tasks_follow_each_other_as_drawn(dag):
    dag_id, each = dag
    assert {task: set(facts["down"]) for task, facts in each["tasks"].items()} == EDGES[dag_id]


def test_nothing_publishes_or_trains_on_what_was_not_validated(dag):
    """On every path to a task that writes for others, the table it takes has passed its gate right before."""
    _, each = dag
    upstream = {task: {t for t, f in each["tasks"].items() if task in f["down"]} for task in each["tasks"]}
    before = {"publish": {"validate_scores", "validate_strategies"}, "score": {"validate_features"}}
    before |= {"aggregates": {"validate_raw"}, "evaluate": {"validate_raw"}, "recommend": {"validate_features"}}
    # which only read what was accepted
    before |= {key: {"aggregates"} for key in ("features", "training_examples", "movement", "contact_examples")}
    besides = {"publish": {"recommend"}}  # lists that nothing judges: products that passed the raw gate
    for task, gates in before.items():
        if task in upstream:
            assert upstream[task] == gates | besides.get(task, set())


def test_each_dag_explains_itself_and_never_runs_twice_at_once(dag):
    dag_id, each = dag
    assert each["doc"].strip().startswith("# ")
    assert len(each["doc"]) > 300
    assert set(each["tags"]) == {"segmentation", TAGS[dag_id]}
    assert (each["catchup"], each["max_active_runs"]) == (False, 1)
    assert each["start"] < "1995"


def test_every_task_is_retried_bounded_and_owned_and_bad_data_is_not_retried(dag):
    _, each = dag
    for task, facts in each["tasks"].items():
        assert facts["retries"] == 2, task
        assert facts["timeout"] == timedelta(hours=1).total_seconds(), task
        assert facts["owner"] == "data-engineering", task
        assert "segmentation.errors.FinalError" in facts["rules"][0], task


def test_what_is_written_for_others_is_announced(parsed):
    announced = {
        (dag_id, task): facts["outlets"]
        for dag_id, dag in parsed["dags"].items()
        for task, facts in dag["tasks"].items()
        if facts["outlets"]
    }
    assert announced == {
        ("evaluate_campaigns_daily", "evaluate"): ["campaign_results"],
        ("classify_products_weekly", "movement"): ["product_movement"],
        ("segment_customers_daily", "publish"): ["customer_segments"],
        ("train_models_weekly", "promote"): ["segmentation_models"],
        ("learn_policy_weekly", "promote"): ["segmentation_models"],
        ("roll_back_model", "roll_back"): ["segmentation_models"],
        ("erase_customers", "erase"): ["customer_segments"],
        ("roll_back_segments", "roll_back"): ["customer_segments"],
    }


def test_the_schedules_are_set_by_the_environment(parsed, tmp_path):
    schedules = {dag_id: dag["schedule"] for dag_id, dag in parsed["dags"].items()}
    assert schedules == {
        "evaluate_campaigns_daily": "0 7 * * *",
        "segment_customers_daily": "0 5 * * *",
        "train_models_weekly": "0 2 * * 1",
        "learn_policy_weekly": "0 8 * * 1",
        "erase_customers": None,
        "export_customer": None,
        "classify_products_weekly": "0 6 * * 1",
        "export_segment": None,
        "roll_back_model": None,
        "roll_back_segments": None,
    }
    changed = parse(
        tmp_path,
        SEGMENTATION_DAILY_SCHEDULE="30 6 * * *",
        SEGMENTATION_WEEKLY_SCHEDULE="",
        SEGMENTATION_CAMPAIGNS_SCHEDULE="0 9 * * *",
    )
    assert changed["dags"]["evaluate_campaigns_daily"]["schedule"] == "0 9 * * *"
    assert changed["dags"]["segment_customers_daily"]["schedule"] == "30 6 * * *"
    assert changed["dags"]["train_models_weekly"]["schedule"] is None


def test_dag_files_are_short_and_hold_no_logic():
    for path in (ROOT / "dags").glob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 80, path
        assert not [line for line in lines if line.lstrip().startswith(("if ", "for ", "while ", "try"))], path


def test_the_targets_and_answers_of_the_dags_are_those_of_the_product():
    """Spelt once more in plugins/, because parsing must not import the product's libraries."""
    sys.path.insert(0, str(ROOT / "plugins"))
    try:
        from segmentation_airflow import decision, stages
    finally:
        sys.path.pop(0)
    from segmentation import promote, tables

    assert list(tables.TARGETS) == stages.TARGETS
    assert tables.UPLIFT_MODEL == stages.UPLIFT
    assert (promote.APPROVE, promote.KEEP) == (decision.APPROVE, decision.KEEP)
