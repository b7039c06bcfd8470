"""Schedules of Airflow's that it does not have itself."""

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable


class WhenAsked(CronTriggerTimetable):
    """A cadence that a back-fill goes through, and that makes no run by itself.

    Airflow back-fills only what has a schedule, and a practice shop's days lie in the past: its DAGs must not run by
    the clock. Asks by the clock come with `catchup` off, as all DAGs here have it; those of a back-fill with it on.
    """

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )

    @property
    def summary(self) -> str:
        return "when asked"
