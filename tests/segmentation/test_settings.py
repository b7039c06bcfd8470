"""Numbers that can't be right are refused by name; secrets are not shown."""

import pytest
from pydantic import ValidationError

from segmentation import settings


def test_the_environment_overrides_a_default(monkeypatch):
    monkeypatch.setenv("SEGMENTATION_CLUSTER__K_MAX", "11")
    assert settings.Settings().cluster.k_max == 11


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SEGMENTATION_CLUSTER__K_MAX", "3", "k_max 3 is below k_min 4"),
        ("SEGMENTATION_CLUSTER__MIN_SHARE", "0.9", "min_share"),
        ("SEGMENTATION_SCORE__ACTIVE_DAYS", "400", "active_days 400 must be below lapsing_days 180"),
        ("SEGMENTATION_SCORE__HIGH_VALUE_SHARE", "0.8", "nobody for the low tier"),
        ("SEGMENTATION_SCORE__MEDIUM_CHURN_PROBABILITY", "0.8", "must be below high_churn_probability"),
        ("SEGMENTATION_DUCKDB__MEMORY_LIMIT", "lots", "memory_limit"),
        ("SEGMENTATION_SCORE__NEW_DAYZ", "3", "new_dayz"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_by_name(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=message):
        settings.Settings()


def test_groups_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        settings.Settings().cluster.k_max = 3


def test_stores_do_not_show_passwords():
    shown = repr(settings.Stores("postgresql://u:geheim@h/d", "postgresql://u:geheim@h/d", "/lake", "http://mlflow"))
    assert "geheim" not in shown
    assert "/lake" in shown


@pytest.mark.parametrize("shares", [{"control": 1.0}, {"control": 0.0, "mail": 1.0}])
def test_intended_shares_are_of_two_arms_or_more(shares):
    with pytest.raises(ValidationError, match="spring"):
        settings.Evaluate(intended_shares={"spring": shares})


def test_only_the_ratio_of_intended_shares_counts():
    found = settings.Evaluate(intended_shares={"spring": {"control": 1, "mail": 3}}).intended_shares
    assert found == {"spring": {"control": 0.25, "mail": 0.75}}
