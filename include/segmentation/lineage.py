"""
Segments stay themselves: new clusters are matched to the champion's segments by the customers that they share.

Of the same customers, on the newest features, the champion says one segment and the new model one cluster. The
assignment that shares most (Jaccard index; Kuhn 1955) is taken. A pair above the limit is the same segment and keeps
its id and name; a cluster without one is new and gets an id that was never used; a segment without one is retired, and
its id is never used again.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Champion:
    """What is known of the segments in use.

    :param names: segment id -> the `segment_name` and `segment_name_zh` of its own model, the latter maybe None.
    :param retired: as in the metadata: `segment_id`, `segment_name`, `retired_on`.
    """

    version: str
    names: dict[int, tuple[str, str | None]]
    retired: tuple[dict[str, Any], ...]
    next_id: int

    @classmethod
    def of(cls, version: str, metadata: Mapping[str, Any], next_id: int = 1) -> "Champion":
        """:param next_id: ids below it are in use, or were, by what another model says."""
        names = {s["segment_id"]: (s["segment_name"], s.get("segment_name_zh")) for s in metadata["segments"]}
        past = metadata.get("lineage", {})
        known = max(max(names) + 1, past.get("next_id", 1), next_id)
        return cls(version, names, tuple(past.get("retired", ())), known)


@dataclass(frozen=True)
class Lineage:
    """What became of each segment.

    :param ids: the segment id of each cluster, in order of cluster numbers.
    :param rows: one per segment: `segment_id`, `event` (kept, new, retired), `cluster`, `overlap`, `champion_version`.
    :param retired: of now and of before.
    """

    ids: tuple[int, ...]
    rows: tuple[dict[str, Any], ...]
    retired: tuple[dict[str, Any], ...]
    next_id: int

    @property
    def kept(self) -> set[int]:
        """The ids of the segments that go on."""
        return {row["segment_id"] for row in self.rows if row["event"] == "kept"}

    def metadata(self) -> dict[str, Any]:
        """What the next training is to know."""
        return {"next_id": self.next_id, "retired": list(self.retired), "segments": list(self.rows)}

    def table(self) -> str:
        """As CSV."""
        return pd.DataFrame(self.rows).to_csv(index=False, float_format="%.4f")


def first(order: Sequence[int]) -> Lineage:
    """Of a shop's first segments: ids from 1.

    :param order: cluster numbers, in the order that ids are given in.
    """
    return _continued(order, {}, {}, None, None)


def continued(
    order: Sequence[int], labels: np.ndarray, before: np.ndarray, champion: Champion, least: float, day: dt.date
) -> Lineage:
    """Matches clusters to the champion's segments.

    :param order: cluster numbers, in the order that new ids are given in.
    :param labels: the cluster of each customer, shape (n,).
    :param before: the champion's segment id of the same customers.
    :param least: the Jaccard index from which a cluster is a segment of the champion's.
    """
    segments = sorted(champion.names)
    shared = overlaps(labels, before, len(order), segments)
    pairs = zip(*linear_sum_assignment(-shared), strict=True)
    found = {int(cluster): segments[place] for cluster, place in pairs if shared[cluster, place] >= least}
    return _continued(order, found, {c: shared[c, segments.index(s)] for c, s in found.items()}, champion, day)


def overlaps(labels: np.ndarray, before: np.ndarray, clusters: int, segments: Sequence[int]) -> np.ndarray:
    """The Jaccard index of each cluster and segment, shape (clusters, segments).

    >>> overlaps(np.array([0, 0, 1, 1]), np.array([7, 7, 7, 9]), 2, [7, 9])
    array([[0.66666667, 0.        ],
           [0.25      , 0.5       ]])
    """
    both = np.zeros((clusters, len(segments)))
    np.add.at(both, (labels, np.searchsorted(segments, before)), 1)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    return both / np.maximum(either, 1)


def _continued(
    order: Sequence[int],
    found: Mapping[int, int],
    shared: Mapping[int, float],
    champion: Champion | None,
    day: dt.date | None,
) -> Lineage:
    next_id = champion.next_id if champion else 1
    version = champion.version if champion else None
    ids, rows = {}, []
    for cluster in order:
        is_kept = cluster in found
        ids[cluster] = found[cluster] if is_kept else next_id
        next_id += not is_kept
        rows.append(
            {
                "segment_id": ids[cluster],
                "event": "kept" if is_kept else "new",
                "cluster": int(cluster),
                "overlap": float(shared[cluster]) if is_kept else None,
                "champion_version": version,
            }
        )
    retired = list(champion.retired) if champion else []
    for segment in sorted(set(champion.names) - set(found.values())) if champion else ():
        retired.append({"segment_id": segment, "segment_name": champion.names[segment][0], "retired_on": f"{day}"})
        gone = {"segment_id": segment, "event": "retired", "cluster": None, "overlap": None}
        rows.append({**gone, "champion_version": version})
    return Lineage(tuple(ids[cluster] for cluster in sorted(ids)), tuple(rows), tuple(retired), next_id)
