"""
What customers like, and where they are met: the published columns that need no model, only a look at the features.
"""

import numpy as np
import pandas as pd

from segmentation import settings

_UNKNOWN = "unknown"  # a session whose channel the shop does not tell


def of_customers(features: pd.DataFrame, config: settings.Score) -> dict[str, np.ndarray]:
    """`interest_group`, `preferred_channel` and `content_preference`, each of shape (n,), None where nothing is known.

    Of families that are off for the shop, the features are not there: what is told without them is told.

    :param features: rows of `feat.customer_daily`.
    """
    return {
        "interest_group": interest_group(features),
        "preferred_channel": preferred_channel(features),
        "content_preference": content_preference(features, config),
    }


def interest_group(features: pd.DataFrame) -> np.ndarray:
    """The category that the customer buys most from; of who bought nothing lately, the one looked at most."""
    return _first_known(features, ("category_top", "viewed_category_top"))


def preferred_channel(features: pd.DataFrame) -> np.ndarray:
    """The channel over which the customer answers campaigns; of who has answered none, the one that they come over;
    without a session lately, the one of most orders."""
    return _first_known(features, ("answered_channel", "channel_top", "order_channel_top"))


def content_preference(features: pd.DataFrame, config: settings.Score) -> np.ndarray:
    """`articles` or `videos`, whichever there is more of, where they make a good part of what the customer looks at;
    else `products`."""
    articles, videos, products = (
        _counts(features, name) for name in ("articles_90d", "videos_90d", "product_views_90d")
    )
    content = articles + videos
    looks = content + products
    rules = [looks == 0, content < config.least_content_share * looks, videos > articles]
    return np.select(rules, [None, "products", "videos"], "articles")


def _first_known(features: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    found = np.full(len(features), None, dtype=object)
    for name in names:
        if name in features:
            told = features[name].astype(object)
            told = told.where(told.notna() & (told != _UNKNOWN), None).to_numpy()
            found = np.where(pd.isna(found), told, found)
    return found


def _counts(features: pd.DataFrame, name: str) -> np.ndarray:
    return features[name].fillna(0).to_numpy("float64") if name in features else np.zeros(len(features))
