"""Segments that go on keep id and name, strangers get ids that were never used, the vanished are remembered."""

import datetime as dt

import numpy as np

from segmentation import cluster, lineage
from segmentation.lineage import Champion
from tests.segmentation.test_cluster import four_kinds

DAY = dt.date(2026, 1, 31)
METADATA = {
    "segments": [
        {"cluster": 0, "segment_id": 1, "segment_name": "one", "segment_name_zh": "一"},
        {"cluster": 1, "segment_id": 4, "segment_name": "four"},
    ],
    "lineage": {"next_id": 7, "retired": [{"segment_id": 6, "segment_name": "six", "retired_on": "2026-01-01"}]},
}


def test_first_segments_are_numbered_in_order():
    kin = lineage.first([2, 0, 1])
    assert kin.ids == (2, 3, 1)
    assert [row["event"] for row in kin.rows] == ["new"] * 3
    assert kin.next_id == 4


def test_clusters_are_matched_by_the_customers_that_they_share():
    before = np.repeat([1, 4], [60, 40])
    labels = np.repeat([1, 0, 2], [50, 45, 5])
    kin = lineage.continued([1, 0, 2], labels, before, Champion.of("3", METADATA), 1 / 3, DAY)
    assert kin.ids == (4, 1, 7)
    assert kin.kept == {1, 4}
    assert kin.next_id == 8
    overlap = {row["segment_id"]: row["overlap"] for row in kin.rows}
    assert overlap[1] == 50 / 60
    assert overlap[4] == 35 / 50
    assert overlap[7] is None


def test_what_shares_too_little_is_new_and_the_old_one_is_retired_for_ever():
    before = np.repeat([1, 4], [50, 50])
    labels = np.concatenate([np.zeros(50), np.arange(50) % 5 + 1]).astype(int)
    kin = lineage.continued(range(6), labels, before, Champion.of("3", METADATA), 1 / 3, DAY)
    assert kin.ids == (1, 7, 8, 9, 10, 11)
    assert {each["segment_id"]: each["retired_on"] for each in kin.retired} == {6: "2026-01-01", 4: "2026-01-31"}
    again = {"segments": [{"cluster": c, "segment_id": i, "segment_name": f"{i}"} for c, i in enumerate(kin.ids)]}
    next_ = Champion.of("4", {**again, "lineage": kin.metadata()})
    later = lineage.continued(range(1), np.zeros(60, int), np.repeat(kin.ids, 10), next_, 1 / 3, DAY)
    assert later.ids == (12,)
    assert {each["segment_id"] for each in later.retired} == {6, 4, 1, 7, 8, 9, 10, 11}
    assert ",retired,," in later.table()


def test_ids_that_another_champion_gave_out_are_not_given_again():
    assert Champion.of("3", METADATA, next_id=20).next_id == 20
    assert Champion.of("3", {"segments": METADATA["segments"]}).next_id == 5


def test_kept_segments_keep_their_names_and_new_ones_take_none_that_is_taken():
    rows = four_kinds()
    labels = np.repeat(np.arange(4), 100)
    first, _ = cluster.describe(rows, labels, lineage.first(range(4)))
    named = {segment["segment_id"]: segment["segment_name"] for segment in first}
    champion = Champion("1", {1: (named[2], "二"), 2: ("ours", None)}, (), 3)
    before = np.repeat([1, 2, 9, 9], 100)
    champion.names[9] = ("nine", "九")
    kin = lineage.continued(range(4), labels, before, champion, 0.6, DAY)
    assert kin.ids == (1, 2, 3, 4)
    segments, _ = cluster.describe(rows, labels, kin, champion)
    names = [(segment["segment_name"], segment["segment_name_zh"]) for segment in segments]
    assert names[0] == (named[2], "二")
    assert names[1] == ("ours", first[1]["segment_name_zh"])
    assert len({en for en, _ in names}) == len({zh for _, zh in names}) == 4
