"""What comes out of a run's templates."""

from datetime import UTC, date, datetime

import pytest

from segmentation_airflow import stages


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T11:04:05+08:00"])
def test_times_are_utc_unless_they_say_otherwise(text):
    assert stages.as_time(text) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_nothing_is_no_time_and_a_day_is_a_day():
    assert stages.as_time("") is None
    assert stages.as_day("2026-01-02") == date(2026, 1, 2)
