"""Whatever is published, published again, back-filled and gone back to: feed and history tell what is current."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation import erase_marketing, lake, publish, snapshots, warehouse
from segmentation import settings as product
from segmentation.personal_data import Persons
from segmentation.settings import Stores
from tests import frames
from tests.segmentation.test_publish import put_scores

FIRST = dt.date(2026, 1, 1)
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
ANY_MIGRATION = product.Gates(
    rules={"marketing.customer_segments: too many customers have moved to another segment": {"max_value": 1}}
)
MEMBERS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.integers(1, 3), st.sampled_from(["high", "low"]), st.sampled_from([None, "x", "y"])),
    min_size=1,
)
STEPS = st.lists(
    st.tuples(st.just("publish"), st.integers(0, 4), MEMBERS)
    | st.tuples(st.just("go back"), st.integers(0, 9))
    | st.tuples(st.just("erase"), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=2, unique=True)),
    min_size=1,
    max_size=8,
)


NOTHING_ELSE = {"order_id": {}, "event_id": {}, "ticket_id": {}}


@pytest.fixture(autouse=True)
def _any_migration(monkeypatch):
    monkeypatch.setattr(product, "load", lambda: product.Settings(gates=ANY_MIGRATION))


def write(stores, day, members):
    rows = [
        {"customer_id": name, "as_of_date": day, "segment_id": segment, "segment_name": f"s{segment}",
         "lifecycle_stage": "active", "value_tier": tier, "strategy_id": strategy, "scored_at": NOW,
         "model_versions": "{}", "reasons": ["bought lately"]}
        for name, (segment, tier, strategy) in members.items()
    ]  # fmt: skip
    put_scores(stores, day, rows)


def fetch(stores, query):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(connection, query)


def without(members, names):
    return {name: told for name, told in members.items() if name not in names}


def erase(stores, names):
    with snapshots.only_publisher(stores.marketing) as connection:
        erase_marketing.erase(connection, Persons(tuple(names), NOTHING_ELSE))


class Model:
    """What has to be: each kept snapshot, the published one of each day, and what was so on each day."""

    def __init__(self):
        self.snapshots, self.published, self.told = {}, {}, {}

    @property
    def current(self):
        return self.published[max(self.published)]

    def publish(self, number, day, members):
        self.snapshots[number] = (day, members)
        self.published[day] = number
        if self.current == number:
            self._tell(day, members)

    def go_back(self, number):
        day, members = self.snapshots[number]
        if number == self.current:
            return
        self.published = {each: kept for each, kept in self.published.items() if each < day} | {day: number}
        self._tell(day, members)

    def erase(self, names):
        self.snapshots = {number: (day, without(members, names)) for number, (day, members) in self.snapshots.items()}
        self.told = {day: without(members, names) for day, members in self.told.items()}

    def _tell(self, day, members):
        self.told = {each: were for each, were in self.told.items() if each < day} | {day: members}

    def on(self, day):
        return self.told[max(each for each in self.told if each <= day)] if min(self.told) <= day else {}


def replayed(members, changes):
    members = dict(members)
    for name, change, was, now, was_strategy, now_strategy in changes:
        if change == "erased":
            members.pop(name, None)
            continue
        assert members.get(name, (None, None)) == (was, was_strategy), (name, change)
        assert change == (
            "entered" if name not in members else "left" if now is None else "moved" if was != now else "updated"
        )
        if change == "left":
            del members[name]
        else:
            members[name] = (now, now_strategy)
    return members


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_feed_and_history_tell_what_is_current(new_warehouse, tmp_path_factory, steps):
    with new_warehouse() as dsn:
        stores, model = Stores(dsn, dsn, str(tmp_path_factory.mktemp("lake")), "unused"), Model()
        for kind, *told in steps:
            if kind == "publish":
                day = FIRST + dt.timedelta(days=told[0])
                write(stores, day, told[1])
                model.publish(publish.publish_segments(day, stores)["snapshot_id"], day, told[1])
            elif kind == "erase" and model.snapshots:
                erase(stores, told[0])
                model.erase(told[0])
            elif model.snapshots:
                number = sorted(model.snapshots)[told[0] % len(model.snapshots)]
                publish.roll_back_segments(number, stores)
                model.go_back(number)
            else:
                continue
            _check(stores, model)


def _check(stores, model):
    day, members = model.snapshots[model.current]
    current = fetch(stores, "select customer_id, segment_id, value_tier, strategy_id, as_of_date "
                            "from marketing.customer_segments")  # fmt: skip
    assert {row[0]: row[1:4] for row in current} == members
    assert {row[4] for row in current} == ({day} if members else set())

    feed = fetch(stores, "select change_id, customer_id, change, from_segment_id, to_segment_id, from_strategy_id, "
                         "to_strategy_id from marketing.segment_changes order by change_id")  # fmt: skip
    assert [row[0] for row in feed] == sorted({row[0] for row in feed})
    now = {name: (segment, strategy) for name, (segment, _, strategy) in members.items()}
    assert replayed({}, [row[1:] for row in feed]) == now
    for number, cursor in fetch(stores, "select snapshot_id, last_change_id from marketing.snapshots"):
        if cursor is not None:
            then = {name: (segment, strategy) for name, (segment, _, strategy) in model.snapshots[number][1].items()}
            assert replayed(then, [row[1:] for row in feed if row[0] > cursor]) == now

    history = fetch(stores, "select customer_id, segment_id, value_tier, strategy_id, segment_name, valid_from, "
                            "valid_to from marketing.segment_history")  # fmt: skip
    assert {row[0]: row[1:4] for row in history if row[6] is None} == members
    assert all(row[4] == f"s{row[1]}" and (row[6] is None or row[5] < row[6]) for row in history)
    for each in (FIRST + dt.timedelta(days=n) for n in range(6)):
        so = [row for row in history if row[5] <= each and (row[6] is None or each < row[6])]
        assert len({row[0] for row in so}) == len(so)
        assert {row[0]: row[1:4] for row in so} == model.on(each)


def test_what_changes_from_day_to_day_by_itself_is_no_change(stores):
    write(stores, FIRST, {"a": (1, "low", None), "b": (2, "low", None)})
    publish.publish_segments(FIRST, stores)
    write(stores, FIRST + dt.timedelta(days=1), {"a": (1, "low", None), "b": (2, "low", None)})
    assert publish.publish_segments(FIRST + dt.timedelta(days=1), stores)["changes"] == 0
    assert publish.publish_segments(FIRST + dt.timedelta(days=1), stores)["changes"] == 0
    assert fetch(stores, "select snapshot_id, last_change_id from marketing.snapshots order by 1") == [
        (1, 2), (2, 2), (3, 2)
    ]  # fmt: skip


def test_who_has_withdrawn_since_the_day_was_scored_leaves(stores):
    members = {"a": (1, "low", None), "b": (2, "low", None)}
    write(stores, FIRST, members)
    publish.publish_segments(FIRST, stores)
    scores = lake.read(stores.lake, "score.customer_daily", FIRST).to_pylist()
    put_scores(stores, FIRST, scores, consenting=["a"])
    assert publish.publish_segments(FIRST, stores) == {
        "snapshot_id": 2, "rows": 1, "is_current": True, "changes": 1
    }  # fmt: skip
    feed = "select customer_id, change from marketing.segment_changes order by change_id desc limit 1"
    assert fetch(stores, feed) == [("b", "left")]


def test_what_a_version_of_before_the_feed_has_published_is_told_whole(stores):
    members = {"a": (1, "low", None), "b": (2, "low", None)}
    write(stores, FIRST, members)
    publish.publish_segments(FIRST, stores)
    with warehouse.connect(stores.marketing) as connection:  # as such a version left it
        warehouse.run_script(
            connection,
            "drop table marketing_internal.change_rows_1; delete from marketing_internal.publications; "
            "delete from marketing.segment_history; update marketing.snapshots set last_change_id = null",
        )
    write(stores, FIRST + dt.timedelta(days=1), members)
    assert publish.publish_segments(FIRST + dt.timedelta(days=1), stores)["changes"] == 2
    assert fetch(stores, "select customer_id, change from marketing.segment_changes order by 1") == [
        ("a", "entered"), ("b", "entered")
    ]  # fmt: skip
    assert fetch(stores, "select count(*) from marketing.segment_history where valid_to is null") == [(2,)]
    publish.roll_back_segments(1, stores)
    assert fetch(stores, "select count(*), max(valid_from) from marketing.segment_history") == [(2, FIRST)]


def test_going_back_does_not_bring_back_who_has_withdrawn(stores):
    write(stores, FIRST, {"a": (1, "low", None), "b": (2, "low", None), "c": (2, "low", None)})
    publish.publish_segments(FIRST, stores)
    write(stores, FIRST + dt.timedelta(days=1), {"a": (1, "low", None), "c": (3, "low", None)})
    rows = lake.read(stores.lake, "score.customer_daily", FIRST + dt.timedelta(days=1)).to_pylist()
    put_scores(stores, FIRST + dt.timedelta(days=1), [*rows, {**rows[0], "customer_id": "b"}], consenting=["a", "c"])
    publish.publish_segments(FIRST + dt.timedelta(days=1), stores)
    assert publish.roll_back_segments(1, stores)["changes"] == 1
    assert fetch(stores, "select customer_id, segment_id from marketing.customer_segments order by 1") == [
        ("a", 1), ("c", 2)
    ]  # fmt: skip
    assert fetch(stores, "select row_count from marketing.snapshots where snapshot_id = 1") == [(2,)]
    assert fetch(stores, "select customer_id from marketing.segment_history where valid_to is null order by 1") == [
        ("a",), ("c",)
    ]  # fmt: skip


def test_a_snapshot_that_is_not_there_or_was_refused_cannot_be_gone_back_to(stores):
    write(stores, FIRST, {"a": (1, "low", None)})
    publish.publish_segments(FIRST, stores)
    with pytest.raises(
        publish.NoSuchSnapshotError, match=r"no kept snapshot 7 to go back to; there are: 1 \(2026-01-01\)"
    ):
        publish.roll_back_segments(7, stores)


def test_going_back_does_not_bring_back_a_channel_that_was_withdrawn(stores):
    for number, names in enumerate(("ab", "abc")):
        day = FIRST + dt.timedelta(days=number)
        write(stores, day, dict.fromkeys(names, (1, "low", "x")))
        rows = lake.read(stores.lake, "score.customer_daily", day).to_pylist()
        put_scores(stores, day, [{**row, "contact_channel": "email"} for row in rows])
        agreed = [{"customer_id": name, "email_consent": True, "updated_at": FIRST} for name in names]
        frames.accept(stores, day, customers=agreed)
        publish.publish_segments(day, stores)
    later = FIRST + dt.timedelta(days=2)
    frames.accept(stores, later, customers=[{"customer_id": "b", "email_consent": False, "updated_at": later}])
    publish.roll_back_segments(1, stores)
    channels = "select customer_id, contact_channel from marketing.customer_segments order by 1"
    assert fetch(stores, channels) == [("a", "email"), ("b", None)]
