"""Each gate lets sound data through, takes out what breaks a row rule, and stops for the rest by name and example."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest

from segmentation import data_docs, gate, history, lake, settings, tables, validate, warehouse
from tests import frames

DAY = frames.DAY
NAN, INF = float("nan"), float("inf")
NEXT = DAY + dt.timedelta(days=1)
AGO = {days: DAY - dt.timedelta(days=days) for days in range(1, 12)}
CUSTOMERS = [{"customer_id": f"c{n}", "signed_up_at": AGO[5]} for n in range(40)]
ORDERS = [
    {"order_id": f"o{n}", "customer_id": f"c{n % 40}", "ordered_at": AGO[n % 10 + 1], "updated_at": DAY}
    for n in range(400)
]
ITEMS = [{"order_id": f"o{n}"} for n in range(400)]
PRODUCTS = [{"product_id": "p1"}]
SOUND = {"customers": CUSTOMERS, "orders": ORDERS, "order_items": ITEMS, "products": PRODUCTS}
EVENTS = [{"event_id": f"e{n}", "customer_id": "c1", "occurred_at": AGO[1], "updated_at": DAY} for n in range(40)]


def judge(stores, day=DAY, **rows):
    """Stages rows and has the gate judge them."""
    frames.stage(stores, day, **rows)
    return validate.accept_raw(day, stores, "a run")


def known(stores, name, day=DAY):
    entity = tables.ENTITIES[name]
    return {row[0] for row in frames.rows_of(history.known(stores, name, day), list(entity.key))}


def quarantined(stores, *columns):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(connection, f"select {', '.join(columns)} from quarantine.rows order by row_id")


def results(stores, where="true"):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(
            connection, f"select table_name, rule, broken_count from quality.results where {where} order by result_id"
        )


def test_sound_tables_are_accepted_whole(stores):
    found = judge(stores, **SOUND, events=EVENTS)["tables"]
    assert {table: each["accepted"] for table, each in found.items() if each["rows"]} == {
        "raw.customers": 40, "raw.products": 1, "raw.orders": 400, "raw.order_items": 400, "raw.events": 40
    }  # fmt: skip
    assert all(each["quarantined"] == 0 and each["warnings"] == [] for each in found.values())
    assert len(known(stores, "orders")) == 400
    assert results(stores, "not is_met") == []


def test_optional_tables_may_be_empty(stores):
    found = judge(stores, customers=CUSTOMERS, orders=ORDERS)["tables"]
    assert [found[table]["accepted"] for table in ("raw.products", "raw.events", "raw.order_items")] == [0, 0, 0]


def test_an_accepted_day_is_not_judged_again(stores):
    batch = judge(stores, **SOUND)["batch"]
    assert judge(stores, customers=[{"customer_id": "late"}]) == {"accepted_batch": batch}
    assert validate.accept_raw(DAY, stores) == {"accepted_batch": batch}
    assert "late" not in known(stores, "customers")


def test_rows_that_are_loaded_again_are_judged_for_an_accepted_day_too(stores):
    judge(stores, **SOUND)
    frames.stage(stores, orders=[{**ORDERS[0], "status": "cancelled"}, {**ORDERS[1], "total_amount": -1}])
    found = validate.accept_raw(DAY, stores, is_reload=True)["tables"]["raw.orders"]
    assert (found["accepted"], found["quarantined"]) == (1, 1)
    rows = frames.rows_of(history.known(stores, "orders", DAY), ["order_id", "status"])
    assert {("o0", "cancelled"), ("o1", "delivered")} <= rows


def test_a_day_that_was_not_staged_is_said(stores):
    Path(stores.lake).mkdir()
    with pytest.raises(lake.MissingDayError, match=r"staged\.customers for 2026-01-31"):
        validate.accept_raw(DAY, stores)


BROKEN_ROWS = [
    ("customers", {"customer_id": None}, "customer_id is missing"),
    ("customers", {"customer_id": " c41"}, "customer_id is empty or padded with spaces"),
    ("customers", {"customer_id": "c41", "birth_year": 1776}, "birth_year is impossible"),
    ("customers", {"customer_id": "c41", "profiling_consent": None}, "profiling_consent is missing"),
    ("customers", {"customer_id": "c41", "income_band": "huge"}, "income_band is unknown"),
    ("customers", {"customer_id": "c41", "city": "M\ufffdnchen"}, "city holds damaged characters"),
    ("orders", {"total_amount": -5}, "total_amount is negative"),
    ("orders", {"total_amount": None}, "total_amount is missing"),
    ("orders", {"total_amount": 99_000_000}, "total_amount is too large to be true"),
    ("orders", {"status": "lost"}, "status is unknown"),
    ("orders", {"ordered_at": dt.date(2026, 3, 1)}, "ordered_at is in the future"),
    ("orders", {"ordered_at": dt.date(1066, 10, 14)}, "ordered_at is before 1990"),
    ("orders", {"customer_id": "ghost"}, "orphan: customer_id is not in raw.customers"),
    ("order_items", {"order_id": "o999"}, "orphan: order_id is not in raw.orders"),
    ("order_items", {"order_id": "o1", "line_no": 2, "quantity": 0}, "quantity is below 1"),
    ("order_items", {"order_id": "o1", "line_no": 2, "returned_quantity": 3}, "more is returned than was bought"),
    ("order_items", {"order_id": "o1", "line_no": 2, "unit_price": -1}, "unit_price is negative"),
    ("events", {"event_id": "e99", "customer_id": "c1", "dwell_seconds": NAN}, "dwell_seconds is not a number"),
    ("events", {"event_id": "e99", "customer_id": "c1", "dwell_seconds": -INF}, "dwell_seconds is not a number"),
    ("events", {"event_id": "e99", "customer_id": "c1", "event_type": "dance"}, "event_type is unknown"),
    ("support_tickets", {"ticket_id": "t", "customer_id": "c1", "satisfaction": 9}, "satisfaction is not 1 to 5"),
    ("campaigns", {"campaign_id": "k", "ends_at": dt.date(2024, 1, 1)}, "it ends before it starts"),
    ("campaign_contacts", {"campaign_id": "k9", "customer_id": "c9"}, "orphan: campaign_id is not in raw.campaigns"),
]  # fmt: skip


PLAIN = {
    "customers": {"signed_up_at": AGO[5]},
    "orders": {"customer_id": "c1", "ordered_at": AGO[1], "updated_at": DAY},
    "order_items": {"order_id": "o1"},
    "events": {"customer_id": "c1", "occurred_at": AGO[1], "updated_at": DAY},
}


@pytest.fixture(scope="module")
def refused(module_stores):
    """What became of a day that brings all those rows among sound ones: counts by table, results, quarantined rows."""
    rows = {**SOUND, "events": EVENTS, "campaigns": [{"campaign_id": "k1"}]}
    for number, (table, row, _) in enumerate(BROKEN_ROWS):
        keys = {"orders": {"order_id": f"x{number}"}, "order_items": {"line_no": 100 + number}}
        rows[table] = [*rows.get(table, []), {**PLAIN.get(table, {}), **keys.get(table, {}), **row}]
    found = judge(module_stores, **rows)["tables"]
    columns = ("source", "table_name", "reason", "reasons", "row", "day", "run_id")
    return found, results(module_stores, "not is_met"), quarantined(module_stores, *columns), rows


@pytest.mark.parametrize(("table", "row", "reason"), BROKEN_ROWS)
def test_a_row_that_breaks_a_rule_goes_to_quarantine_with_its_reason(refused, table, row, reason):
    _, broken, rows, _ = refused
    same = [kept for _, name, _, reasons, kept, *_ in rows if name == f"raw.{table}" and reason in reasons]
    shown = [value if value is None else str(value) for value in row.values()]
    assert any(
        all(str(kept[name]).startswith(str(value)) for name, value in zip(row, shown, strict=True)) for kept in same
    )
    assert any(name == f"raw.{table}" and rule == reason and count >= 1 for name, rule, count in broken)


def test_nothing_is_lost_and_nothing_broken_is_accepted(refused, module_stores):
    found, _, rows, staged = refused
    for name, entity in tables.ENTITIES.items():
        told = found[entity.table]
        of_table = [row for row in rows if row[1] == entity.table]
        assert told["rows"] == len(staged.get(name, [])) == told["accepted"] + told["quarantined"]
        assert len(of_table) == told["quarantined"] == sum(table == name for table, *_ in BROKEN_ROWS)
        assert len(known(module_stores, name)) <= told["accepted"]
        for source, _, reason, reasons, kept, day, run in of_table:
            assert (source, reason, day, run) == ("raw gate", reasons[0], DAY, "a run")
            assert set(kept) == set(entity.schema.names)
    assert len(known(module_stores, "orders")) == 400


def test_a_row_keeps_all_its_reasons_and_every_value_as_it_was(stores):
    bad = {"order_id": "o999", "customer_id": "c1", "ordered_at": dt.datetime(2026, 1, 30, 1, 2, 3, 4, tzinfo=dt.UTC)}
    judge(
        stores, **{**SOUND, "orders": [*ORDERS, {**bad, "total_amount": "-0.50", "status": "lost", "channel": 'a"\\'}]}
    )
    [(reasons, row)] = quarantined(stores, "reasons", "row")
    assert reasons == ["status is unknown", "total_amount is negative"]
    assert (row["total_amount"], row["channel"], row["ordered_at"]) == (
        "-0.50",
        'a"\\',
        "2026-01-30 01:02:03.000004+00",
    )


def test_duplicates_leave_one_or_none(stores):
    twice = [{**ORDERS[0]}, {**ORDERS[1], "total_amount": 77}]
    found = judge(stores, **{**SOUND, "orders": [*ORDERS, *twice]})["tables"]["raw.orders"]
    assert (found["rows"], found["accepted"]) == (402, 399)
    assert [reason for (reason,) in quarantined(stores, "reason")] == [
        "key occurs twice with different content",
        "exact repeat of another row",
        "key occurs twice with different content",
        "orphan: order_id is not in raw.orders",
    ]
    assert len(known(stores, "orders") & {"o0", "o1"}) == 1


def test_of_duplicates_the_latest_may_be_kept(stores, monkeypatch):
    config = settings.Settings(clean=settings.Clean(duplicates="latest"))
    monkeypatch.setattr(settings, "load", lambda: config)
    older = {**ORDERS[1], "total_amount": 77, "updated_at": dt.date(2026, 1, 30)}
    found = judge(stores, **{**SOUND, "orders": [*ORDERS, older]})["tables"]["raw.orders"]
    assert (found["accepted"], found["quarantined"]) == (400, 1)
    assert quarantined(stores, "reason", "row ->> 'total_amount'") == [
        ("older version of a key that occurs twice", "77.00")
    ]


def test_a_row_that_is_read_again_is_quarantined_once_and_its_copies_each(stores):
    bad = {**ORDERS[0], "order_id": "o999", "total_amount": -1}
    judge(stores, **{**SOUND, "orders": [*ORDERS, bad]})
    judge(stores, NEXT, orders=[bad, {**bad, "status": "lost"}])
    judge(stores, NEXT + dt.timedelta(days=1), customers=[{"customer_id": "c50"}] * 3)
    assert quarantined(stores, "row ->> 'order_id'", "row ->> 'status'", "reason", "copy_no") == [
        ("o999", "delivered", "total_amount is negative", 1),
        ("o999", "lost", "status is unknown", 1),
        (None, None, "exact repeat of another row", 1),
        (None, None, "exact repeat of another row", 2),
    ]


def test_orphans_come_back_with_their_parents_and_bring_their_own_children(stores):
    order = {"order_id": "o999", "customer_id": "late", "ordered_at": dt.date(2026, 1, 29)}
    judge(stores, **{**SOUND, "orders": [*ORDERS, order], "order_items": [*ITEMS, {"order_id": "o999"}]})
    assert [row for (row,) in quarantined(stores, "reason")] == [
        "orphan: customer_id is not in raw.customers",
        "orphan: order_id is not in raw.orders",
    ]
    assert "o999" not in known(stores, "orders")
    found = judge(stores, NEXT, customers=[{"customer_id": "late"}])["tables"]
    assert [found[table]["taken_back"] for table in ("raw.orders", "raw.order_items")] == [1, 1]
    assert "o999" in known(stores, "orders", NEXT)
    assert ("o999", 1) in frames.rows_of(history.known(stores, "order_items", NEXT), ["order_id", "line_no"])
    assert "o999" not in known(stores, "orders"), "a day keeps what it knew"
    assert [batch for (batch,) in quarantined(stores, "released_batch")] == [2, 2]
    assert judge(stores, NEXT + dt.timedelta(days=1))["tables"]["raw.orders"]["taken_back"] == 0


def test_an_orphan_does_not_come_back_over_a_later_version_of_itself(stores):
    old = {**ORDERS[0], "order_id": "o999", "customer_id": "late", "updated_at": dt.date(2026, 1, 10)}
    judge(stores, **{**SOUND, "orders": [*ORDERS, old]})
    new = {**old, "status": "shipped", "updated_at": dt.date(2026, 1, 12)}
    judge(stores, NEXT, customers=[{"customer_id": "late"}], orders=[new])
    judge(stores, NEXT + dt.timedelta(days=1))
    rows = frames.rows_of(history.latest(stores, "orders"), ["order_id", "status"])
    assert ("o999", "shipped") in rows


def test_what_waits_too_long_does_not_come_back(stores, monkeypatch):
    config = settings.Settings(gates=settings.Gates(rules={"raw.orders: the newest row is too old": {"max_value": 90}}))
    monkeypatch.setattr(settings, "load", lambda: config)
    judge(stores, **{**SOUND, "orders": [*ORDERS, {**ORDERS[0], "order_id": "o999", "customer_id": "late"}]})
    found = judge(stores, DAY + dt.timedelta(days=61), customers=[{"customer_id": "late"}])
    assert found["tables"]["raw.orders"]["taken_back"] == 0


def test_events_of_a_customer_who_is_deleted_go_with_the_customer(stores):
    judge(stores, **SOUND, events=[*EVENTS, {"event_id": "x", "customer_id": "c2"}])
    frames.stage(stores, NEXT)
    gone = frames.typed([{"customer_id": "c1", "is_deleted": True}], tables.CUSTOMERS.staged_schema)
    lake.write(stores.lake, tables.CUSTOMERS.staged, NEXT, gone.to_batches(), gone.schema)
    validate.accept_raw(NEXT, stores)
    assert known(stores, "events", NEXT) == {"x"}
    assert len(known(stores, "events")) == 41


def test_what_could_not_be_read_goes_to_quarantine_as_it_came(stores):
    frames.stage(stores, **SOUND)
    staged = frames.staged(tables.ORDERS, frames.table(tables.ORDERS, ORDERS)).to_pylist()
    staged[5] |= {"total_amount": None, "unreadable": json.dumps({"total_amount": "NaN"})}
    data = pa.Table.from_pylist(staged, schema=tables.ORDERS.staged_schema)
    lake.write(stores.lake, tables.ORDERS.staged, DAY, data.to_batches(), data.schema)
    found = validate.accept_raw(DAY, stores)["tables"]["raw.orders"]
    assert (found["accepted"], found["quarantined"]) == (399, 1)
    [first, second] = quarantined(stores, "reason", "reasons", "row ->> 'total_amount'")
    assert first == (
        "total_amount cannot be read as its type",
        ["total_amount cannot be read as its type", "total_amount is missing"],
        "NaN",
    )
    assert second[0] == "orphan: order_id is not in raw.orders"


def last_days(per_day, days=40, hours=range(8, 22)):
    """Orders on each of the days before DAY, spread over the hours."""
    for back in range(1, days + 1):
        for n in range(per_day(back)):
            at = dt.datetime.combine(DAY - dt.timedelta(days=back), dt.time(hours[n % len(hours)]), dt.UTC)
            yield {"order_id": f"o{back}-{n}", "customer_id": f"c{n % 40}", "ordered_at": at, "updated_at": DAY}


STOPPED = [
    ("customers", [], r"raw\.customers: the table is empty: rows_in_all is 0 \(at least 1\)"),
    ("orders", [], r"raw\.orders: the table is empty"),
    (
        "orders",
        [{**order, "total_amount": -1} if n % 8 == 0 else order for n, order in enumerate(ORDERS)],
        r"raw\.orders: too many rows are quarantined: 50 of 400 rows, 12\.5% \(at most 5%\): "
        r"total_amount is negative: 50, for example o0, o104, o112",
    ),
    (
        "orders",
        [*ORDERS, *({**order, "total_amount": 3} for order in ORDERS[:30])],
        r"raw\.orders: keys occur twice: 60 of 430 rows, 14\.0% \(at most 1%\), for example o0, o1, o10",
    ),
    (
        "orders",
        [{**order, "ordered_at": order["ordered_at"] - dt.timedelta(days=90)} for order in ORDERS],
        r"raw\.orders: the newest row is too old: newest_age_days is 91 \(at most 14\): the newest is of 2025-11-01 "
        r"00:00 UTC, for example o\d+, o\d+, o\d+",
    ),
    (
        "orders",
        list(last_days(lambda back: 500 if back == 1 else 50)),
        r"raw\.orders: the last day is out of proportion: last_day_ratio is 10 \(at least 0\.2, at most 5\): "
        r"500 rows on 2026-01-30; usual are 50, for example o1-\d+, o1-\d+, o1-\d+",
    ),
    (
        "orders",
        list(last_days(lambda back: 5 if back == 1 else 50)),
        r"the last day is out of proportion: last_day_ratio is 0\.1 .* 5 rows on 2026-01-30; usual are 50",
    ),
    (
        "orders",
        [o for o in last_days(lambda back: 50) if o["ordered_at"] < dt.datetime(2026, 1, 30, 12, tzinfo=dt.UTC)],
        r"raw\.orders: the last day ends too early: silent_hours_beyond_usual is \d+ \(at most 6\): \d+ rows on "
        r"2026-01-30, the last at 11:00 UTC; usual are 50",
    ),
]


@pytest.mark.parametrize(("table", "rows", "message"), STOPPED)
def test_a_table_that_breaks_a_rule_stops_the_run_and_nothing_is_accepted(stores, table, rows, message):
    with pytest.raises(gate.GateError, match=message) as caught:
        judge(stores, **{**SOUND, "order_items": [], table: rows})
    assert history.accepted_batch(stores, DAY) is None
    assert quarantined(stores, "reason") == []
    assert results(stores, "not is_met and severity = 'stop'")
    page = str(caught.value).rsplit("Data Docs: ", 1)[1]
    assert page == data_docs.day_page(stores, DAY)
    assert "the table is empty" in lake.read_text(page) or "✗" in lake.read_text(page)


def test_a_table_whose_parent_stops_the_run_is_not_checked_against_it(stores):
    with pytest.raises(gate.GateError, match=r"breaks 1 rule;") as caught:
        judge(stores, **{**SOUND, "customers": []})
    assert "orphan" not in str(caught.value)


def test_a_weekday_on_which_the_shop_is_closed_is_no_alarm(stores):
    assert (DAY - dt.timedelta(days=1)).weekday() == 4
    quiet = [o for o in last_days(lambda back: 60) if o["ordered_at"].weekday() != 4 or o["order_id"].endswith("-1")]
    assert judge(stores, **{**SOUND, "order_items": [], "orders": quiet})["tables"]["raw.orders"]["warnings"] == []


def test_the_first_days_of_a_shop_are_no_alarm(stores):
    young = list(last_days(lambda back: 300 if back == 1 else 30, days=6))
    assert judge(stores, **{**SOUND, "order_items": [], "orders": young})["tables"]["raw.orders"]["warnings"] == []


def test_vanished_rows_stop_the_run(stores):
    judge(stores, **SOUND)
    frames.stage(stores, NEXT)
    gone = frames.typed([{"order_id": f"o{n}", "is_deleted": True} for n in range(100)], tables.ORDERS.staged_schema)
    lake.write(stores.lake, tables.ORDERS.staged, NEXT, gone.to_batches(), gone.schema)
    with pytest.raises(gate.GateError, match=r"too many rows have vanished: 100 of 400 rows, 25\.0% .*example o0"):
        validate.accept_raw(NEXT, stores)


def test_drift_is_a_warning_by_name(stores):
    old = [{**o, "channel": "web"} for o in last_days(lambda back: 20)]
    judge(stores, **{**SOUND, "order_items": [], "orders": old})
    new = [
        {**o, "order_id": f"n{n}", "channel": "app", "ordered_at": dt.datetime(2026, 1, 31, 8 + n % 12, tzinfo=dt.UTC)}
        for n, o in enumerate(old[:400])
    ]
    config = {"raw.orders: the last day is out of proportion": {"severity": "warn"}}
    with pytest.MonkeyPatch.context() as patch:
        changed = settings.Settings(gates=settings.Gates(rules=config))
        patch.setattr(settings, "load", lambda: changed)
        found = judge(stores, NEXT, orders=new)["tables"]["raw.orders"]
    assert any("channel has drifted: psi.channel is" in warning for warning in found["warnings"])
    assert any("the last day is out of proportion" in warning for warning in found["warnings"])
    assert ("raw.orders", "channel has drifted", 0) in results(stores, "not is_met and severity = 'warn'")


def test_limits_are_changed_by_settings_and_unknown_rules_refused(stores, monkeypatch):
    rules = {"raw.orders: total_amount is negative": {"min_value": -100}}
    changed = settings.Settings(gates=settings.Gates(rules=rules))
    monkeypatch.setattr(settings, "load", lambda: changed)
    found = judge(stores, **{**SOUND, "orders": [{**order, "total_amount": -1} for order in ORDERS]})
    assert found["tables"]["raw.orders"]["accepted"] == 400
    wrong = settings.Settings(gates=settings.Gates(rules={"raw.orders: no such rule": {}}))
    monkeypatch.setattr(settings, "load", lambda: wrong)
    with pytest.raises(validate.FinalError, match=r"names 'raw\.orders: no such rule', but raw\.orders\.yaml has no"):
        judge(stores, NEXT, **SOUND)


def write_scores(stores, scores):
    features = pa.table({"customer_id": ["a", "b"], "as_of_date": [DAY, DAY]})
    lake.write(stores.lake, tables.CUSTOMER_FEATURES, DAY, features.to_batches(), features.schema)
    plain = {"as_of_date": DAY, "segment_id": 1, "segment_name": "x", "lifecycle_stage": "new", "value_tier": "low"}
    plain |= {"model_versions": "{}", "scored_at": DAY}
    rows = [{**plain, "customer_id": key, **row} for key, row in scores.items()]
    data = frames.typed(rows, tables.SEGMENT_COLUMNS)
    lake.write(stores.lake, tables.CUSTOMER_SCORES, DAY, data.to_batches(), data.schema)


def test_sound_scores_pass(stores):
    write_scores(stores, {"a": {"churn_probability_90d": 0.5, "churn_risk": "medium"}, "b": {}})
    found = validate.validate_table(tables.CUSTOMER_SCORES, DAY, stores)
    assert (found["rows"], found["warnings"]) == (2, [])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": {}}, r"not exactly the customers with features are scored: rows_in_all 1, rows_wanted 2"),
        ({"a": {}, "c": {}}, r"orphan: customer_id is not in feat\.customer_daily: 1 of 2 rows, for example c"),
        ({"a": {"segment_id": None}, "b": {}}, r"segment_id is missing: 1 of 2 rows, for example a"),
        ({"a": {"churn_probability_90d": 1.5}, "b": {}}, r"churn_probability_90d is no probability: 1 of 2.* a"),
        ({"a": {"churn_probability_90d": float("nan")}, "b": {}}, r"churn_probability_90d is not a number: 1 of 2"),
        ({"a": {"value_tier": "golden"}, "b": {}}, r"value_tier is unknown: 1 of 2 rows, for example a"),
        ({"a": {"service_risk": "general"}, "b": {}}, r"service_risk is unknown: 1 of 2 rows, for example a"),
        ({"a": {"new_customer_potential": "low"}, "b": {"new_customer_potential": "medium"}}, r"potential is unknown"),
        ({"a": {"high_value_probability_90d": -0.1}, "b": {}}, r"high_value_probability_90d is no probability"),
        ({"a": {"expected_spend_90d": -1}, "b": {}}, r"expected_spend_90d is negative: 1 of 2 rows, for example a"),
        ({"a": {"reasons": []}, "b": {}}, r"reasons are not one to three: 1 of 2 rows, for example a"),
        ({"a": {"reasons": ["x"] * 4}, "b": {"reasons": ["x"] * 3}}, r"reasons are not one to three: 1 of 2"),
        ({"a": {"as_of_date": dt.date(2026, 1, 30)}, "b": {}}, r"as_of_date is another day: 1 of 2"),
    ],
)
def test_broken_scores_are_stopped(stores, scores, message):
    write_scores(stores, scores)
    with pytest.raises(gate.GateError, match=message):
        validate.validate_table(tables.CUSTOMER_SCORES, DAY, stores)


def test_a_missing_column_of_the_features_is_told(stores):
    write_scores(stores, {"a": {}, "b": {}})
    with pytest.raises(gate.GateError, match=r"feat\.customer_daily of 2026-01-31: column tenure_days, orders_count"):
        validate.validate_table(tables.CUSTOMER_FEATURES, DAY, stores)


def test_a_translation_that_lets_pass_what_great_expectations_refuses_is_caught(stores, monkeypatch):
    predicate = validate.row_rules.predicate

    def wrong(rule, parents):
        return "false" if "negative" in rule.name else predicate(rule, parents)

    monkeypatch.setattr(validate.row_rules, "predicate", wrong)
    with pytest.raises(validate.DisagreementError, match=r"raw\.orders: .* 1 rows of which 'total_amount is negative'"):
        judge(stores, **{**SOUND, "orders": [*ORDERS[1:], {**ORDERS[0], "total_amount": -1}]})
