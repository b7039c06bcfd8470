"""What the DAGs promise: ids, order, retries, docs, and that nothing is published unvalidated."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
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
        "file": dag.fileloc, "doc": dag.doc_md or "", "tags": sorted(dag.tags),
        "deadlines": [d.interval.total_seconds() for d in dag.deadline or []],
        "schedule": dag.schedule and str(getattr(dag.schedule, "summary", dag.schedule)),
        "catchup": dag.catchup, "max_active_runs": dag.max_active_runs, "start": str(dag.start_date),
        "tasks": {
            t.task_id: {
                "down": sorted(t.downstream_task_ids), "retries": t.retries, "owner": t.owner,
                "timeout": t.execution_timeout.total_seconds(), "retry_delay": t.retry_delay.total_seconds(),
                "failure": [type(c).__name__ for c in t.on_failure_callback],
                "success": [type(c).__name__ for c in t.on_success_callback],
                "records": [getattr(c, "__name__", "") for kind in ("failure", "success", "retry", "skipped")
                            for c in getattr(t, f"on_{kind}_callback")],
                "rules": [str(r.exception) for r in t.retry_policy.rules],
                "outlets": [a.name for a in t.outlets], "pool": t.pool,
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


def test_every_dag_tells_of_its_failures_and_findings_and_keeps_how_it_went(dag):
    _, each = dag
    for task, facts in each["tasks"].items():
        assert "Alert" in facts["failure"], task
        assert "Alert" in facts["success"], task
        assert {"failed", "succeeded", "will_retry", "skipped"} <= set(facts["records"]), task


def test_the_daily_run_has_a_deadline_that_the_environment_sets(parsed, tmp_path):
    deadlines = {dag_id: dag["deadlines"] for dag_id, dag in parsed["dags"].items() if dag["deadlines"]}
    assert deadlines == {"segment_customers_daily": [7200.0]}
    assert parse(tmp_path, SEGMENTATION_DAILY_DEADLINE_MINUTES="")["dags"]["segment_customers_daily"]["deadlines"] == []
    refused = parse(tmp_path, SEGMENTATION_DAILY_DEADLINE_MINUTES="soon")
    assert "SEGMENTATION_DAILY_DEADLINE_MINUTES must be a number of minutes above 0, not 'soon'" in json.dumps(
        refused["errors"]
    )


def test_how_long_a_retry_waits_is_set_by_the_environment(parsed, tmp_path):
    waits = {facts["retry_delay"] for dag in parsed["dags"].values() for facts in dag["tasks"].values()}
    assert waits == {30.0}
    set_so = parse(tmp_path, SEGMENTATION_RETRY_SECONDS="600")["dags"]["segment_customers_daily"]["tasks"]
    assert {facts["retry_delay"] for facts in set_so.values()} == {600.0}
    refused = parse(tmp_path, SEGMENTATION_RETRY_SECONDS="-1")
    assert "SEGMENTATION_RETRY_SECONDS must be a number of seconds, not '-1'" in json.dumps(refused["errors"])


def test_every_task_has_a_runbook_that_is_there_and_listed(parsed):
    from segmentation import notices
    from segmentation_airflow import runbooks

    tasks = {task for dag in parsed["dags"].values() for task in dag["tasks"]}
    assert set(runbooks.TASKS) == tasks
    assert set(runbooks.FIRST) == set(notices.KINDS)
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    for task, page in runbooks.TASKS.items():
        assert f"| `{task}` | [{page}]({page}) |" in index
    pages = [runbooks.page_of(kind, task) for kind in notices.KINDS for task in [None, *tasks]]
    for page in dict.fromkeys(pages):
        path, _, heading = page.partition("#")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not heading or f"\n## {heading}\n" in text, page
    for page in runbooks.KINDS.values():
        assert f"[{page}]({page})" in index


def test_the_tasks_that_have_something_to_tell_and_the_lineage_are_of_tasks_that_exist(parsed):
    from segmentation import notices
    from segmentation_airflow import lineage_events

    tasks = {task for dag in parsed["dags"].values() for task in dag["tasks"]}
    assert set(lineage_events.TABLES) <= tasks
    assert {task for task in tasks if notices.has_any(task)} == {"validate_raw", "promote", "drift", "retrain"}


def test_tasks_that_read_the_shop_s_warehouse_share_a_pool_that_deployments_are_given(parsed):
    pools = {
        (dag_id, task): facts["pool"]
        for dag_id, dag in parsed["dags"].items()
        for task, facts in dag["tasks"].items()
        if facts["pool"] != "default_pool"
    }
    readers = [
        "classify_products_weekly", "evaluate_campaigns_daily", "learn_policy_weekly", "segment_customers_daily",
        "train_models_weekly",
    ]  # fmt: skip
    assert pools == {(dag_id, "extract"): "shop_warehouse" for dag_id in readers}
    given = json.loads((ROOT / "plugins" / "segmentation_airflow" / "pools.json").read_text(encoding="utf-8"))
    assert given["shop_warehouse"]["slots"] >= 1


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
    assert changed["dags"]["train_models_weekly"]["schedule"] == "when asked"


def test_dag_files_are_short_and_hold_no_logic():
    for path in (ROOT / "dags").glob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 80, path
        assert not [line for line in lines if line.lstrip().startswith(("if ", "for ", "while ", "try"))], path


def test_the_targets_and_answers_of_the_dags_are_those_of_the_product():
    """Spelt once more in plugins/, because parsing must not import the product's libraries."""
    sys.path.insert(0, str(ROOT / "plugins"))
    try:
        from segmentation_airflow import promotion, stages
    finally:
        sys.path.pop(0)
    from segmentation import promote, tables

    assert list(tables.TARGETS) == stages.TARGETS
    assert tables.UPLIFT_MODEL == stages.UPLIFT
    assert (promote.APPROVE, promote.KEEP) == (promotion.APPROVE, promotion.KEEP)
