"""
The text of docs/DAGs.md: when each DAG runs, what it does, with which parameters, and what it tells others.

Made from the DAGs as Airflow parses them, in a process and a home of its own: what is written is what runs.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from local.errors import StackError

ROOT = Path(__file__).resolve().parents[1]
_HEAD = """# The DAGs

When each runs, what it does, and what it takes and tells. Made from `dags/` by `make docs`; the same texts are in
Airflow, behind the button "Dag Docs". Times are UTC; the environment changes them, by the names in
[defaults.py](../plugins/segmentation_airflow/defaults.py). A run is about one day, its logical date, and knows nothing
of what happened on it or later. In the pictures a task with double sides is as many as there are entities or models.

| DAG | when | what |
|---|---|---|
"""
_PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
if bag.import_errors:
    sys.exit(str(bag.import_errors))
told = {}
for dag in bag.dags.values():
    tasks = {
        each.task_id: {
            "down": sorted(each.downstream_task_ids), "tries": each.retries + 1, "is_mapped": each.is_mapped,
            "outlets": [asset.name for asset in each.outlets], "seconds": each.execution_timeout.total_seconds(),
        }
        for each in dag.topological_sort()
    }
    parameters = {name: dag.params.get_param(name) for name in dag.params}
    values = {name: each.value if each.has_value else None for name, each in parameters.items()}
    told[dag.dag_id] = {
        "doc": dag.doc_md, "schedule": dag.schedule, "tasks": tasks,
        "parameters": {name: [each.schema, values[name], each.description] for name, each in parameters.items()},
    }
json.dump(told, open(sys.argv[2], "w"))
"""


def dags() -> str:
    """The page, in Markdown with a Mermaid graph of each DAG's tasks.

    :raises StackError: a DAG file does not parse; says why.
    """
    told = sorted(_parsed().items(), key=lambda dag: (_order(dag[1]["schedule"]), dag[0]))
    rows = [f"| [{dag_id}](#{dag_id}) | {_when(facts)} | {_title(facts)[1]} |\n" for dag_id, facts in told]
    return "".join([_HEAD, *rows, *(_chapter(dag_id, facts) for dag_id, facts in told)])


def _parsed() -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as home:
        out = Path(home) / "dags.json"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "random"),
            "HOME": home,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "PYTHONPATH": f"{ROOT / 'include'}{os.pathsep}{ROOT / 'plugins'}",
        }
        command = [sys.executable, "-c", _PARSE, str(ROOT / "dags"), str(out)]
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
        if done.returncode:
            raise StackError(f"the DAGs do not parse: {done.stderr[-2000:]}")
        return json.loads(out.read_text(encoding="utf-8"))


def _chapter(dag_id: str, facts: Mapping[str, Any]) -> str:
    text, title = _title(facts)
    parts = [f"\n## {dag_id}\n\n**{title}**, {_when(facts)}.\n\n{text}\n", *_graph(facts["tasks"])]
    if facts["parameters"]:
        parts.append("\n| parameter | takes | without it | meaning |\n|---|---|---|---|\n")
        parts += [f"| `{name}` | {_row(*told)} |\n" for name, told in facts["parameters"].items()]
    tries = {task["tries"] for task in facts["tasks"].values()}
    hours = {f"{task['seconds'] / 3600:g} h" for task in facts["tasks"].values()}
    parts.append(f"\nEach task: up to {_numbers(tries)} tries, {_numbers(hours)} at most.")
    announced = {name: task for task, each in facts["tasks"].items() for name in each["outlets"]}
    parts += [f" `{task}` announces the asset `{name}`." for name, task in announced.items()]
    return "".join([*parts, "\n"])


def _title(facts: Mapping[str, Any]) -> tuple[str, str]:
    """(what the DAG says of itself below its heading, the heading)."""
    heading, _, text = facts["doc"].strip().partition("\n")
    return re.sub(r"docs/([\w/-]+\.md)", r"[\1](\1)", text.strip()), heading.removeprefix("# ")


def _graph(tasks: Mapping[str, Any]) -> Iterator[str]:
    if len(tasks) > 1:
        yield "\n```mermaid\nflowchart LR\n"
        for name, task in tasks.items():
            if task["is_mapped"]:
                yield f"    {name}[[{name}]]\n"
            yield from (f"    {name} --> {below}\n" for below in task["down"])
        yield "```\n"


def _row(schema: Mapping[str, Any], value: Any, meaning: str | None) -> str:
    kinds = schema.get("type", "any")
    takes = " or ".join(kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")
    if "format" in schema:
        takes = schema["format"]
    if "enum" in schema:
        takes = ", ".join(f"`{each}`" for each in schema["enum"])
    return f"{takes} | {'' if value in (None, []) else f'`{value}`'} | {meaning or schema.get('description') or ''}"


def _when(facts: Mapping[str, Any]) -> str:
    return f"`{facts['schedule']}`" if facts["schedule"] else "on request"


def _order(schedule: str | None) -> tuple[bool, str]:
    """Scheduled ones first, in the order of the day."""
    minute, hour = (schedule or "0 0").split()[:2]
    return schedule is None, f"{hour:>2}:{minute:>2}"


def _numbers(found: set) -> str:
    return " or ".join(str(each) for each in sorted(found))
