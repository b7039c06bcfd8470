"""The bench of learnt policies: lines as a trial, halves by hash, and what is judged was not learnt from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from local import hillstrom
from local.bench import policy as bench
from local.source_file import open_source
from segmentation import uplift
from segmentation.policy_value import Curve, Value
from tests.local.test_hillstrom import LINES, written


def test_lines_become_a_trial(tmp_path):
    rows, *_ = hillstrom.customers(open_source(Path(written(tmp_path, LINES))), lambda *_: None)
    made = bench.trial(rows, "spend", 0.5)
    assert made.arm.tolist() == [2, 0, 1, 0]
    assert made.outcome == pytest.approx([-0.5, 29.99, -0.5, 29.99])
    assert list(made.known.columns) == list(bench.KNOWN)
    assert made.known["history"].tolist() == [142.44, 329.08, 801.5, 329.08]


def test_halves_are_the_same_whatever_else_is_in_the_file():
    names = pd.Series([f"hillstrom-{line}" for line in range(2, 20_002)])
    half = bench.halves(names, 1)
    assert half.mean() == pytest.approx(0.5, abs=0.015)
    assert (bench.halves(names[::-3], 1) == half[::-3]).all()
    # another seed, another split
    assert (bench.halves(names, 2) == half).mean() == pytest.approx(0.5, abs=0.015)


def test_what_is_judged_was_not_learnt_from():
    """Where the test half says the contrary of what was learnt, the policy is found to be worth less."""
    rng = np.random.default_rng(1)
    known = pd.DataFrame({"visits": rng.normal(size=1200)})
    arm = rng.integers(0, 3, 1200)
    effect = np.column_stack([np.zeros(1200), 1 + 2 * known["visits"], 1 - 2 * known["visits"]])
    noise = rng.normal(size=1200)
    chances = np.full(3, 1 / 3)
    learn = uplift.Trial(known, arm, effect[np.arange(1200), arm] + noise, chances)
    same = bench.judge(learn, learn, 0)
    contrary = bench.judge(learn, uplift.Trial(known, arm, effect[np.arange(1200), -arm % 3] + noise, chances), 0)
    assert same.policy.is_learnt
    assert same.against_single.low > 0
    assert contrary.against_single.high < 0
    assert contrary.always == contrary.against_single
    for curves in ("qini", "uplift"):
        assert getattr(same, curves)["mens_email"].low > 0 > getattr(contrary, curves)["mens_email"].high


def test_pictures_are_left_in_a_folder(tmp_path):
    curve = Curve(np.array([0.0, 1]), np.array([0.0, 1]), 0.1, 0.0, 0.2)
    curves, value = {"mens_email": curve}, Value(0.1, 0.1)
    bench.draw(bench.Judged(None, 10, value, value, value, value, curves, curves), "spend less 0.5", tmp_path / "new")
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files] == [f"{kind}_spend_less_0.5.png" for kind in ("qini", "uplift", "value")]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_another_file_is_judged_on_once(tmp_path):
    lines = [f"{1 + n % 12},2) $100 - $200,{100 + n},{n % 2},1,Rural,{n % 5 // 3},Web,{arm},{n % 3 // 2},0,0"
             for n in range(80) for arm in hillstrom.ARMS]  # fmt: skip
    rows = bench.read(written(tmp_path, lines))
    [found] = bench.measure(rows, rows.iloc[:90], "visit", 0.0, seeds=5)
    assert found.rows == 90
    assert bench.together([found.nobody], [90]) == found.nobody
    assert len(bench.measure(rows, None, "conversion", 0.0, seeds=0)) == 0


def test_two_halves_of_a_seed_are_one_value_and_seeds_do_not_make_it_surer():
    found = bench.together([Value(1, 0.3), Value(3, 0.4), Value(2, 0.3), Value(2, 0.4)], [100, 300, 100, 300])
    assert found.mean == pytest.approx(2.25)
    assert found.error == pytest.approx(np.hypot(0.3 * 100, 0.4 * 300) / 400)
