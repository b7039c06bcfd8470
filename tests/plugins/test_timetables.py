"""A cadence that only a back-fill goes through."""

import datetime as dt

from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import TimeRestriction

from segmentation_airflow.timetables import WhenAsked

FIRST = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def days(timetable, first, last, catchup):
    found, before = [], None
    limits = TimeRestriction(earliest=first, latest=last, catchup=catchup)
    while info := timetable.next_dagrun_info(last_automated_data_interval=before, restriction=limits):
        found.append(info.logical_date.date())
        before = info.data_interval
    return found


def test_the_clock_asks_for_nothing_and_a_back_fill_for_each_day_at_midnight():
    timetable = WhenAsked("0 0 * * *", timezone="UTC")
    last = FIRST + dt.timedelta(days=2, hours=23)
    assert days(timetable, FIRST, last, catchup=False) == []
    assert days(timetable, FIRST, None, catchup=False) == []
    assert days(timetable, FIRST, last, catchup=True) == [dt.date(2026, 6, day) for day in (1, 2, 3)]


def test_it_survives_airflow_s_database(monkeypatch):
    from airflow import plugins_manager

    registered = {"segmentation_airflow.timetables.WhenAsked": WhenAsked}
    monkeypatch.setattr(plugins_manager, "get_timetables_plugins", lambda: registered)
    kept = decode_timetable(encode_timetable(WhenAsked("0 0 * * 1", timezone="UTC")))
    assert isinstance(kept, WhenAsked)
    assert days(kept, FIRST, FIRST + dt.timedelta(days=8), catchup=True) == [dt.date(2026, 6, 1), dt.date(2026, 6, 8)]
    assert kept.summary == "when asked"
