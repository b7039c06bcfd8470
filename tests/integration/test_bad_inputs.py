"""Every bad input through the real DAG: what has to come of it, and that docs/bad-inputs.md says so."""

import json
import os
import subprocess
import sys

import pytest

from local.bad_inputs import __main__ as page
from local.bad_inputs.cases import CASES, QUARANTINED, STOPPED
from local.state import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2400)]
WORKERS = 2


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What came of each case; tried in two processes at once, each with servers of its own."""
    home = tmp_path_factory.mktemp("outcomes")
    env = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'include'}:{REPOSITORY}"}
    running = []
    for number in range(WORKERS):
        names = [case.name for case in CASES[number::WORKERS]]
        command = [sys.executable, "-m", "local.bad_inputs", "--json", str(home / f"{number}.json"), *names]
        log = (home / f"{number}.log").open("w")
        running.append(subprocess.Popen(command, env=env, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT))
    for process in running:
        process.wait()
    found = {}
    for number in range(WORKERS):
        file = home / f"{number}.json"
        assert file.exists(), (home / f"{number}.log").read_text()[-4000:]
        found |= {told["name"]: told for told in map(json.loads, file.read_text().splitlines())}
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(outcomes, case):
    assert page.complaints(case, outcomes[case.name]) == []
    assert page.line(case, outcomes[case.name]) in page.PAGE.read_text(encoding="utf-8")


def test_the_page_has_every_case_and_no_other():
    text = page.PAGE.read_text(encoding="utf-8")
    assert text.startswith(page.HEAD)
    assert len(text.removeprefix(page.HEAD).splitlines()) == len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_entity_and_every_end_occurs():
    assert {case.outcome for case in CASES} >= {QUARANTINED, STOPPED}
    assert {case.table for case in CASES} == {
        "customers", "products", "orders", "order_items", "events", "support_tickets", "campaigns", "campaign_contacts"
    }  # fmt: skip
