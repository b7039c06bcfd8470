"""What is told of tastes and channels, on rows one can check by hand; families that are off are no error."""

import pandas as pd
import pytest

from segmentation import settings, tastes

CONFIG = settings.Score()


def told(column, **features):
    return list(tastes.of_customers(pd.DataFrame(features), CONFIG)[column])


def test_the_interest_group_is_what_is_bought_else_what_is_looked_at():
    features = {"category_top": ["tea", None, None], "viewed_category_top": ["books", "books", None]}
    assert told("interest_group", **features) == ["tea", "books", None]
    assert told("interest_group", category_top=["tea", None]) == ["tea", None]


def test_the_preferred_channel_is_where_campaigns_are_answered_else_where_the_customer_comes_else_orders():
    features = {"answered_channel": ["sms", None, None, None], "channel_top": ["email", "email", "unknown", None],
                "order_channel_top": ["web", "web", "store", None]}  # fmt: skip
    assert told("preferred_channel", **features) == ["sms", "email", "store", None]


@pytest.mark.parametrize(
    ("articles", "videos", "products", "wanted"),
    [(0, 0, 0, None), (0, 0, 9, "products"), (5, 4, 0, "articles"), (4, 5, 9, "videos"), (1, 1, 50, "products")],
)
def test_content_is_preferred_where_it_makes_a_good_part_of_the_looks(articles, videos, products, wanted):
    features = {"articles_90d": [articles], "videos_90d": [videos], "product_views_90d": [products]}
    assert told("content_preference", **features) == [wanted]


def test_a_shop_without_these_families_has_none_of_it():
    found = tastes.of_customers(pd.DataFrame({"orders_count": [1, 2]}), CONFIG)
    assert {name: list(values) for name, values in found.items()} == {
        "interest_group": [None, None], "preferred_channel": [None, None], "content_preference": [None, None],
    }  # fmt: skip
