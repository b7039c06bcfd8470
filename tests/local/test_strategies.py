"""`make strategies`: what a marketer is told of the file."""

import pytest

from local import strategies
from segmentation import strategy_file


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("FENQUN_LOCAL", str(tmp_path))


def test_without_a_scored_day_the_file_is_checked_all_the_same(nowhere, capsys):
    assert strategies.check() == 0
    told = capsys.readouterr().out
    assert "18 strategies, nothing wrong with them" in told
    assert "`make demo`" in told


def test_problems_are_printed_with_their_lines(nowhere, tmp_path, monkeypatch, capsys):
    path = tmp_path / "strategies.yaml"
    path.write_text(strategy_file.CONFIG.read_text(encoding="utf-8").replace("'general'", "'genral'"), encoding="utf-8")
    monkeypatch.setattr(strategies.strategy_file.read, "__defaults__", (path,))
    assert strategies.check() == 1
    told = capsys.readouterr().out
    assert "strategies.yaml has 2 problems" in told
    assert "line 25: best_sellers: who: new_customer_potential is never 'genral'" in told


def test_a_condition_that_meets_nobody_is_a_problem_and_one_that_is_off_is_none(capsys):
    assert strategies.told({"a": 1200, "b": "this shop has no events"}, {"a": 1, "b": 9}, "2026-01-31") == 0
    assert strategies.told({"a": 0}, {"a": 7}, "2026-01-31") == 1
    told = capsys.readouterr().out
    assert "1,200" in told
    assert "off: this shop has no events" in told
    assert "line 7: its condition meets nobody" in told
