"""What of a stage's result somebody is told."""

import datetime as dt
from types import SimpleNamespace

import pytest

from segmentation import gate, notices, suites, tables
from segmentation.notices import Notice


def test_late_tables_are_told_and_other_warnings_are_not():
    late = "raw.events: the newest row is too old: newest_age_days is 4 (at most 2)"
    found = {"tables": {"raw.events": {"warnings": [late, "raw.events: half a day"]}, "raw.orders": {"warnings": []}}}
    assert notices.of_result("validate_raw", found) == [Notice("late data", late)]
    assert notices.of_result("validate_raw", {"accepted_batch": 7}) == []


def test_the_suites_call_the_rule_of_late_data_so():
    found = {}
    for entity in tables.ENTITIES.values():
        suite = suites.read(entity.table, suites.parameters(dt.date(2026, 1, 2)))
        found[entity.table] = [list(rule.columns) for rule in suite.whole if rule.name == notices.LATE_RULE]
    late = ("raw.customers", "raw.orders", "raw.events", "raw.support_tickets")
    assert found == {table: [["newest_age_days"]] if table in late else [] for table in found}


LATE = "raw.orders: the newest row is too old: newest_age_days is 30 (at most 14)"
REFUSED = "raw.orders: too many rows are quarantined: 898 of 898 rows, 100.0% (at most 5%)"


@pytest.mark.parametrize(
    ("stops", "kind"),
    [
        ([LATE], notices.LATE),
        ([LATE, "raw.orders: the last day is out of proportion: last_day_ratio is 0.1"], notices.LATE),
        ([REFUSED, LATE], notices.GATE),
        ([REFUSED, LATE, LATE.replace("orders", "events")], notices.LATE),
        ([REFUSED.replace("orders", "events"), LATE], notices.LATE),
        ([REFUSED], notices.GATE),
    ],
)
def test_a_table_whose_newest_rows_were_refused_is_not_called_late(stops, kind):
    assert gate._kind([SimpleNamespace(table="raw.orders")], stops) == kind


def test_the_suites_call_the_rule_of_refused_rows_so():
    for entity in tables.ENTITIES.values():
        suite = suites.read(entity.table, suites.parameters(dt.date(2026, 1, 2)))
        assert notices.QUARANTINED_RULE in {rule.name for rule in suite.whole}


def test_a_refused_model_is_told_and_a_promoted_one_is_not():
    outcomes = {"churn_90d": "version 2 refused: auc; version 1 goes on", "spend_90d": "version 2, champion: passed"}
    assert notices.of_result("promote", outcomes) == [
        Notice("failed promotion", "churn_90d: version 2 refused: auc; version 1 goes on")
    ]
    assert notices.of_result("promote", {"spend_90d": "skipped: no examples"}) == []


@pytest.mark.parametrize(("is_far", "count"), [(True, 1), (False, 0)])
def test_drift_is_told_where_it_is_more_than_ordinary(is_far, count):
    found = notices.of_result("drift", {"feature": ["a", "b"], "score": ["c"], "is_far": is_far})
    assert len(found) == count
    assert not found or found[0].cause.splitlines() == [
        "1 score column has drifted, most of all c",
        "2 feature columns have drifted, most of all a, b",
    ]


def test_a_training_before_its_time_is_told_with_its_reasons():
    assert notices.of_result("retrain", ["auc fell"]) == [Notice("training before its time", "auc fell")]
    assert notices.of_result("retrain", []) == notices.of_result("score", {"rows": 1}) == []
