"""The tables that DAGs announce to Airflow when they have written them: for lineage and for other teams' DAGs."""

from airflow.sdk import Asset

CUSTOMER_SEGMENTS = Asset(name="customer_segments", uri="fenqun://marketing/customer_segments", group="marketing")
CAMPAIGN_RESULTS = Asset(name="campaign_results", uri="fenqun://marketing/campaign_results", group="marketing")
PRODUCT_MOVEMENT = Asset(name="product_movement", uri="fenqun://marketing/product_movement", group="marketing")
MODELS = Asset(name="segmentation_models", uri="fenqun://registry/models", group="models")
