"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import segmentation

FOLDER = Path(segmentation.__file__).parent
WITH_EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if ">>> " in path.read_text())


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_the_docstrings(module: str):
    found = doctest.testmod(importlib.import_module(f"segmentation.{module}"))
    assert found.attempted
    assert not found.failed
