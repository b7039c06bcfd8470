"""Which page of docs/runbooks/ helps with which task, and what to do first. docs/runbooks/README.md lists the same."""

import os

from segmentation import notices

# Where the pages are read: a folder of the repository, or its address in a browser.
BASE = os.environ.get("SEGMENTATION_RUNBOOKS", "docs/runbooks").rstrip("/")

_GATE, _TASK = "failed-gate.md", "failed-task.md"
TASKS = {
    "extract": f"{_TASK}#extract",
    "validate_raw": f"{_GATE}#validate_raw",
    "aggregates": f"{_TASK}#aggregates",
    "features": f"{_TASK}#features",
    "validate_features": f"{_GATE}#validate_features",
    "score": f"{_TASK}#score",
    "validate_scores": f"{_GATE}#validate_scores",
    "recommend": f"{_TASK}#recommend",
    "strategy": f"{_TASK}#strategy",
    "validate_strategies": f"{_GATE}#validate_strategies",
    "publish": f"{_TASK}#publish",
    "compact": f"{_TASK}#compact",
    "drop_snapshots": f"{_TASK}#drop_snapshots",
    "performance": f"{_TASK}#performance",
    "drift": f"{_TASK}#drift",
    "retrain": f"{_TASK}#retrain",
    "train_models_weekly": f"{_TASK}#train_models_weekly",
    "training_examples": f"{_TASK}#training_examples",
    "cluster": f"{_TASK}#cluster",
    "classify": f"{_TASK}#classify",
    "compare": f"{_TASK}#compare",
    "questions": f"{_TASK}#questions",
    "decide": f"{_TASK}#decide",
    "promote": f"{_TASK}#promote",
    "evaluate": f"{_TASK}#evaluate",
    "contact_examples": f"{_TASK}#contact_examples",
    "learn": f"{_TASK}#learn",
    "movement": f"{_TASK}#movement",
    "export": f"{_TASK}#export",
    "erase": f"{_TASK}#erase",
    "roll_back": f"{_TASK}#roll_back",
}
# Of these kinds, the page does not depend on the task
KINDS = {
    notices.LATE: "late-data.md",
    notices.SNAPSHOT: "rejected-snapshot.md",
    notices.PROMOTION: "failed-promotion.md",
    notices.DRIFT: "drift.md",
    notices.TRAINING: "drift.md",
    notices.DEADLINE: "deadline-missed.md",
}
FIRST = {
    notices.FAILURE: "Read the cause and the task's log, mend it, then clear the task: it writes over what it wrote.",
    notices.GATE: "Nothing after the gate has run; readers keep what they had. Look at the Data Docs, mend the data "
    "at their source, or the rule; then run the day again.",
    notices.LATE: "Ask the shop's warehouse team for the load that is missing. When it is there, run the day again.",
    notices.SNAPSHOT: "Readers keep the snapshot before. Find out why the audit refused this one; run the day again.",
    notices.PROMOTION: "See the comparison in MLflow: a worse model, or wrong data? In the second case train again.",
    notices.DRIFT: "The day is published. See which columns moved: a mistake in the data, or other customers?",
    notices.TRAINING: "A training has been started. See that it ends well and what it promotes.",
    notices.DEADLINE: "The day may still be published. See which task is running or waiting, and why.",
}


def page_of(kind: str, task_id: str | None) -> str:
    """Where the page about it is read, with the place on it.

    :param task_id: None where it is about a run as a whole.
    """
    page = KINDS.get(kind) or TASKS.get(task_id, "README.md")
    return f"{BASE}/{page}"
