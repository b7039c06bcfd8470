"""The tasks about products: what customers are recommended, and how products sell."""

from airflow.sdk import task

from segmentation_airflow.assets import PRODUCT_MOVEMENT
from segmentation_airflow.stages import as_day
from segmentation_airflow.stores import stores


@task
def recommend(day: str) -> dict:
    """A list of products for each customer; returns how many got one, and what each sign was worth."""
    from segmentation import recommend

    return recommend.recommend_products(as_day(day), stores())


@task(outlets=[PRODUCT_MOVEMENT])
def movement(day: str) -> dict:
    """How each product sells, and what to do about it; returns how many there are of each action."""
    from segmentation import movement

    return movement.classify_products(as_day(day), stores())
