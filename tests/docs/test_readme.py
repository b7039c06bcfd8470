"""The Chinese README tells what the English one tells: one that lags sends its reader down a path that is gone."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.docs import documented

ENGLISH, CHINESE = ((documented.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))


def _commands(text: str) -> list[str]:
    return [documented.form(shown) for shown in documented._shown(text)]


def _links(text: str) -> Counter[str]:
    """Addresses of documents and pictures; not where either README leads to the other."""
    addresses = Counter(re.findall(r"\]\(([^)\s]+)\)", text))
    del addresses["README.md"], addresses["README.zh-CN.md"]
    return addresses


def _headings(text: str) -> list[str]:
    return re.findall(r"^#+(?= )", text, re.MULTILINE)


def _names(text: str) -> set[str]:
    """What is not translated: settings in blocks; connections, tables, files between backticks. Commands are apart."""
    spans = {re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", text)}
    settings = re.findall(r"^    ([A-Z_]+)=", text, re.MULTILINE)
    return {span for span in spans if not _commands(f"`{span}`")}.union(settings)


@pytest.mark.parametrize("told", [_commands, _links, _headings, _names], ids=lambda told: told.__name__.strip("_"))
def test_both_languages_tell_the_same(told: Callable):
    expected = told(ENGLISH)
    assert expected, "nothing is compared"
    assert told(CHINESE) == expected
