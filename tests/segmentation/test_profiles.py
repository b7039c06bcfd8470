"""Profiles tell of segments, and of no small group of customers, not even by subtraction."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from segmentation import profiles, publish
from tests.segmentation.test_feed import FIRST, fetch
from tests.segmentation.test_publish import put_scores

NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)


def write(stores, day, segments, tiers):
    """Customers in order of number; a segment and a tier for each."""
    put_scores(
        stores,
        day,
        [
            {"customer_id": f"c{n:03d}", "as_of_date": day, "segment_id": segment, "segment_name": f"s{segment}",
             "lifecycle_stage": "prospect" if segment == 0 else "active", "value_tier": tier, "scored_at": NOW,
             "expected_spend_90d": 10 * segment, "purchase_probability_30d": 0.5,
             "churn_probability_90d": None if segment == 0 else 0.25, "model_versions": "{}", "reasons": ["x"]}
            for n, (segment, tier) in enumerate(zip(segments, tiers, strict=True))
        ],
    )  # fmt: skip


def profile_rows(stores, snapshot):
    return fetch(
        stores,
        "select segment_id, customers, share, average_expected_spend_90d::float, average_churn_probability_90d, "
        f"sets_apart, came_from from marketing.segment_profiles where snapshot_id = {snapshot} order by 1",
    )


def test_a_segment_in_numbers_and_where_its_customers_came_from(stores):
    write(stores, FIRST, [0] * 20 + [1] * 30 + [2] * 50, ["low"] * 20 + ["high"] * 30 + ["medium"] * 50)
    publish.publish_segments(FIRST, stores)
    prospects, best, others = profile_rows(stores, 1)
    assert prospects[:5] == (0, 20, 0.2, 0, None)
    assert best[:5] == (1, 30, 0.3, 10, 0.25)
    assert best[5][0] == {"column": "value_tier", "value": "high", "share": 1.0, "of_all": 0.3}
    assert others[6] == {}
    next_day = FIRST + dt.timedelta(days=1)
    write(stores, next_day, [0] * 20 + [1] * 18 + [2] * 72, ["low"] * 20 + ["high"] * 30 + ["medium"] * 60)
    publish.publish_segments(next_day, stores)
    assert [row[6] for row in profile_rows(stores, 2)] == [{"0": 20}, {"1": 18}, {"1": 12, "2": 50, "entered": 10}]


def test_small_groups_are_not_told(stores):
    write(stores, FIRST, [1] * 4 + [2] * 12 + [3] * 60, ["low"] * 76)
    publish.publish_segments(FIRST, stores)
    first, second, third = profile_rows(stores, 1)
    assert first[1:] == second[1:] == (None, None, None, None, [], {})
    assert third[1] == 60
    next_day = FIRST + dt.timedelta(days=1)
    write(stores, next_day, [3] * 4 + [2] * 12 + [3] * 60, ["low"] * 76)
    publish.publish_segments(next_day, stores)
    assert [row[6] for row in profile_rows(stores, 2)] == [{"2": 12}, {"few": 64}]


@given(st.dictionaries(st.integers(0, 20), st.integers(0, 40), max_size=8), st.integers(1, 12))
def test_what_is_left_out_cannot_be_found_by_subtraction(groups, smallest):
    hidden = profiles.suppressed(groups, smallest)
    told = {key: count for key, count in groups.items() if key not in hidden}
    assert all(count == 0 or count >= smallest for count in told.values())
    left_out = [count for key, count in groups.items() if key in hidden]
    if any(told.values()):
        assert not left_out or (len(left_out) >= 2 and sum(left_out) >= smallest)
