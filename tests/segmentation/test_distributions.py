"""Bins and the stability index on numbers one can check by hand, and on samples of one population."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from segmentation import distributions, measures, settings

CONFIG = settings.Drift()


def column(values, kind=None):
    return pa.chunked_array([pa.array(values, kind, from_pandas=True)])


def compared(now, before):
    """(index, threshold)"""
    bins = distributions.Bins.of(before, CONFIG)
    counts, usual = bins.counts(now), bins.counts(before)
    return measures.stability(counts, usual), distributions.threshold(counts, usual, CONFIG)


def test_the_index_is_the_same_to_the_last_digit_in_every_process():
    """Texts have another hash in each process, and sets of them another order."""
    program = (
        "from segmentation import measures; "
        "print(repr(measures.stability({f'x{n}': n * n for n in range(40)}, {f'x{n}': 3 * n + 1 for n in range(40)})))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(measures.__file__).parents[1])},
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert len(told) == 1


def test_numbers_fall_into_ten_equal_bins_and_the_missing_into_their_own():
    values = column([*range(100), None, None])
    bins = distributions.Bins.of(values, CONFIG)
    assert bins.counts(values) == {f"{place}": 10 for place in range(10)} | {"missing": 2}
    assert bins.counts(column([-5.0, 0.0, 98.5, 1e9, float("nan")])) == {"0": 2, "9": 2, "missing": 1}


def test_a_frequent_value_has_a_bin_to_itself():
    values = column([0] * 60 + [5] * 30 + list(range(10, 20)))
    bins = distributions.Bins.of(values, CONFIG)
    places = [next(iter(bins.counts(column([each])))) for each in (-1, 0, 5, 12)]
    assert len(set(places)) == 4
    assert sum(bins.counts(values).values()) == 100


def test_levels_count_by_name_and_rare_ones_together():
    values = column(["a"] * 60 + ["b"] * 38 + ["c", "d"] + [None] * 100)
    config = settings.Drift(least_level_share=0.02)
    bins = distributions.Bins.of(values, config)
    assert bins.counts(values) == {"a": 60, "b": 38, "others": 2, "missing": 100}
    assert bins.counts(column(["new", "a"])) == {"a": 1, "others": 1}
    assert distributions.Bins.of(column([True, False]), config).counts(column([True, True])) == {"true": 2}


def test_the_index_by_hand():
    # half of the rows move from one level to another: (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5)
    before, now = column(["a"] * 5000 + ["b"] * 5000), column(["a"] * 2500 + ["b"] * 7500)
    index, limit = compared(now, before)
    assert index == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5), rel=1e-3)
    assert (limit, index > limit) == (0.25, True)


def test_what_is_missing_all_at_once_is_seen():
    before = column(np.arange(1000.0))
    index, limit = compared(column([None] * 1000, pa.float64()), before)
    assert index > 10 * limit


@pytest.mark.parametrize("rows", [60, 300, 3000])
def test_samples_of_one_population_do_not_drift_however_small(rows):
    """Their index is about (bins - 1)(1/n + 1/m) on average, which in small shops passes 0.25 by itself."""
    rng = np.random.default_rng(rows)
    found = [compared(*(column(rng.lognormal(size=rows)) for _ in range(2))) for _ in range(300)]
    assert np.mean([index for index, _ in found]) == pytest.approx(9 * 2 / rows, rel=0.25)
    assert sum(index > limit for index, limit in found) <= 2


def test_a_frequent_value_that_is_fitted_anew_does_not_drift():
    rng = np.random.default_rng(1)
    spread = rng.lognormal(5, 0.5, 700)
    index, _ = compared(column([*spread, *[151.0] * 300]), column([*spread, *[150.0] * 300]))
    assert index < 0.1


def test_a_column_without_a_value_has_nothing_but_missing():
    empty = column([None] * 5, pa.float64())
    assert distributions.Bins.of(empty, CONFIG).counts(empty) == {"missing": 5}
    index, limit = compared(column([1.0] * 500), column([None] * 500, pa.float64()))
    assert index > limit
