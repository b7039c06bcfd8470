"""The benches of stages run through, at sizes that say nothing about cost: what they print is of the code as it is."""

import os
import re
import subprocess
import sys

import pytest


def told_by(*command: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("options", [[], ["--whole"]], ids=["scores", "whole"])
def test_publishing(options, tmp_path):
    told = told_by("local.bench.publish", "--customers", "2000", "--folder", str(tmp_path), *options)
    assert "2,000 customers" in told
    assert "anything but one whole snapshot: never" in told
    looked_up = [int(found.replace(",", "")) for found in re.findall(r"(?:idle|published) │ +([\d,]+) │", told)]
    assert len(looked_up) == 2, told
    assert all(looked_up)


def test_scoring(tmp_path):
    sizes = ["--customers", "3000", "--shop", "900", "--trees", "10", "--depth", "2"]
    told = told_by("local.bench.score", *sizes, "--folder", str(tmp_path))
    assert re.search(r"│ +3,000 │ +[\d.]+ │", told), told
    assert "exact TreeSHAP" in told
