"""
Names for segments that a marketer understands, from what sets each apart: `recent_loyal_big_spenders`.

A name says, in this order, how lately the segment's customers bought, how often, and how much they spend, each against
all buyers. Two segments that would share a name get one word more, about what differs most between them.
"""

import pandas as pd

# column -> (word for the low end, word for the high end), used to tell namesakes apart
_CONTRASTS = {
    "last_order_age_days": ("more_recent", "longer_silent"),
    "orders_count": ("fewer_orders", "more_orders"),
    "spend_total": ("lower_spend", "higher_spend"),
}
_LOW, _HIGH = 0.4, 0.6


def name_segments(ranks: pd.DataFrame, median_orders: pd.Series) -> pd.Series:
    """One unique name per segment.

    :param ranks: index segment; columns `last_order_age_days`, `orders_count`, `spend_total`: mean percentile rank of
        the segment's customers among all buyers, 0..1.
    :param median_orders: index segment; the median number of orders.

    >>> ranks = pd.DataFrame({"last_order_age_days": [0.2, 0.8], "orders_count": [0.8, 0.2], "spend_total": [0.9, 0.1]})
    >>> list(name_segments(ranks, pd.Series([7, 1])))
    ['recent_loyal_big_spenders', 'lapsed_one_time_small_spenders']
    """
    first = pd.Series({segment: _words(ranks.loc[segment], median_orders[segment]) for segment in ranks.index})
    return pd.concat(_told_apart(name, ranks.loc[group.index]) for name, group in first.groupby(first)).loc[ranks.index]


def _words(rank: pd.Series, median_orders: float) -> str:
    recency = _band(rank["last_order_age_days"], "recent", "cooling", "lapsed")
    frequency = "one_time" if median_orders <= 1 else _band(rank["orders_count"], "occasional", "repeat", "loyal")
    return f"{recency}_{frequency}_{_band(rank['spend_total'], 'small', 'medium', 'big')}_spenders"


def _band(rank: float, low: str, middle: str, high: str) -> str:
    return low if rank < _LOW else high if rank > _HIGH else middle


def _told_apart(name: str, ranks: pd.DataFrame) -> pd.Series:
    """Splits namesakes in two at the widest gap of their most differing column, until each stands alone."""
    if len(ranks) == 1:
        return pd.Series([name], index=ranks.index)
    gaps = {column: ranks[column].sort_values().diff().max() for column in _CONTRASTS}
    column = max(gaps, key=gaps.get)
    ordered = ranks.sort_values(column, kind="stable")
    cut = int(ordered[column].diff().fillna(-1).to_numpy().argmax())
    cut = max(cut, 1)
    low, high = _CONTRASTS[column]
    return pd.concat(
        [_told_apart(f"{name}_{low}", ordered.iloc[:cut]), _told_apart(f"{name}_{high}", ordered.iloc[cut:])]
    )
