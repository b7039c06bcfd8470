"""What part of an entity is read: a window on `updated_at`."""

import datetime as dt
from dataclasses import dataclass

from segmentation import warehouse


@dataclass(frozen=True)
class Window:
    """Rows with `since` <= `updated_at` < `until`; None is open. Rows without `updated_at` belong to every window."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def reaches(self, moment: dt.datetime | None) -> bool:
        """Whether nothing is left out between what was read up to a moment and this window."""
        return self.since is None or (moment is not None and self.since <= moment)

    def around(self, query: str) -> str:
        """The query, restricted to the window."""
        bounds = []
        if self.since:
            bounds.append(f"updated_at >= {warehouse.literal(self.since)}")
        if self.until:
            bounds.append(f"updated_at < {warehouse.literal(self.until)}")
        if not bounds:
            return query
        return f"select * from ({query}) as q where ({' and '.join(bounds)}) or updated_at is null"  # noqa: S608
