"""
Which day's choice of strategies a campaign went by, and what share of its customers was to be held out then.

`strategy` keeps with each day's choices the `holdout_share` of every strategy that was in the file that day: an edit of
the file changes nothing of campaigns that were drawn before it.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence

from segmentation import lake, tables

_NOTE = "holdout_shares"


def choice_day(contact: dt.date, days: Sequence[dt.date], most: int) -> dt.date | None:
    """The latest day, at most so many days before a campaign's first contact, that strategies were chosen on.

    >>> choice_day(dt.date(2026, 1, 9), [dt.date(2026, 1, 1), dt.date(2026, 1, 8), dt.date(2026, 1, 10)], 7)
    datetime.date(2026, 1, 8)
    >>> choice_day(dt.date(2026, 1, 9), [dt.date(2026, 1, 1)], 7)
    """
    return max((day for day in days if day <= contact and (contact - day).days <= most), default=None)


def notes(shares: Mapping[str, float]) -> dict[str, str]:
    """What is kept with a day's choices.

    :param shares: strategy -> the share of its customers that is held out, 0..1.
    """
    return {_NOTE: json.dumps(dict(shares), sort_keys=True)}


def holdout_share(strategy_id: str | None, chosen_on: dt.date | None, stores_lake: str) -> float | None:
    """The share that was to be held out of a strategy, 0..1 without the ends; None: nobody was, or it is not known.

    :param chosen_on: see `choice_day`; None: the campaign went by no choice.
    """
    if strategy_id is None or chosen_on is None or not lake.has(stores_lake, tables.STRATEGIES, chosen_on):
        return None
    with lake.open_parquet(stores_lake, tables.STRATEGIES, chosen_on) as file:
        told = (file.metadata.metadata or {}).get(_NOTE.encode())
    share = json.loads(told).get(strategy_id) if told else None
    return share if share and 0 < share < 1 else None
