"""A gap between groups counts when chance does not explain it."""

import pandas as pd
import pytest

from segmentation import strategy_audit


def counted(**groups):
    return pd.DataFrame([{"gender": name, "customers": n, "offers": k} for name, (k, n) in groups.items()])


def test_a_gap_in_large_groups_is_found_and_told():
    audit = strategy_audit.judge(counted(female=(6000, 10_000), male=(3000, 10_000)))
    assert 0.28 < audit.gap < 0.30
    assert audit.told == "gender: 60.0% of 10,000 female and 30.0% of 10,000 male"
    assert audit.shares == {"gender": {"female": 0.6, "male": 0.3}}


def test_the_same_gap_in_small_groups_is_chance():
    assert strategy_audit.judge(counted(female=(6, 10), male=(3, 10))).gap == 0


def test_who_is_not_known_is_no_group():
    frame = counted(female=(600, 1000), male=(590, 1000))
    frame.loc[2] = [None, 1000, 0]
    audit = strategy_audit.judge(frame)
    assert audit.gap == 0
    assert audit.shares["gender"]["unknown"] == 0


@pytest.mark.parametrize("ages", [(20, 40), (24, 65)])
def test_ages_go_by_bands_and_rows_of_a_group_add_up(ages):
    rows = [
        {"age_years": age, "customers": 500, "offers": 100 + 300 * (age == ages[0])} for age in ages for _ in range(2)
    ]
    audit = strategy_audit.judge(pd.DataFrame(rows))
    assert audit.shares["age_band"]["under 25"] == 0.8
    assert 0.5 < audit.gap < 0.6


def test_without_groups_there_is_no_gap():
    audit = strategy_audit.judge(counted(female=(10, 10)))
    assert (audit.gap, audit.told) == (0, "there are no two groups to compare")
