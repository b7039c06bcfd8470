"""
The features of the probabilistic purchase model: fitted on a snapshot's own order rhythm, so it knows what that knows.
"""

import logging

import numpy as np
import pyarrow as pa

from segmentation import engine, purchase_model, settings
from segmentation.purchase_model import PurchaseModel

log = logging.getLogger(__name__)

MEANING = (
    "What a probabilistic purchase model makes of the rhythm and the spend: BG/NBD (Fader, Hardie and Lee 2005) and "
    "Gamma-Gamma (Fader and Hardie 2013), fitted to all customers as of the day."
)
HORIZON_DAYS = 90
_UNFITTED = "never ordered, or the model could not be fitted"
# name, meaning, unit, window, null
COLUMNS = (
    ("alive_probability", "Probability that the customer has not left for good.", "probability", "now", _UNFITTED),
    (
        "expected_order_days_90d",
        "Days on which the customer is expected to order.",
        "days",
        "next 90 days",
        _UNFITTED,
    ),
    ("expected_day_spend", "Expected spend of a day with an order.", "currency", "next such day", _UNFITTED),
    ("expected_spend_90d", "Expected spend.", "currency", "next 90 days", _UNFITTED),
)
FIELDS = tuple(pa.field(name, pa.float64()) for name, *_ in COLUMNS)
RHYTHM = "feat.order_rhythm"  # what it is fitted on
_RHYTHM = ("repeat_order_days_count", "repeat_span_days", "first_order_age_days", "repeat_day_spend_mean")


def fit(session: engine.Session, config: settings.PurchaseModel) -> PurchaseModel | str:
    """The purchase model of the snapshot in a session that has `RHYTHM`; or why there is none, in words."""
    statement = f"""
        select {", ".join(_RHYTHM)} from (
            select *, row_number() over (order by md5(customer_id), customer_id) as place
            from {RHYTHM} where first_order_age_days is not null
        ) as buyers where place <= {int(config.most_customers)}
        order by {", ".join(_RHYTHM)}
    """  # noqa: S608 - names of this module, and a number
    found = engine.table_of(session.batches(statement))
    try:
        return purchase_model.fit(*(_floats(found[name]) for name in _RHYTHM), seed=config.seed)
    except purchase_model.NotFittedError as error:
        log.warning("no purchase model: %s", error)
        return str(error)


def add(batch: pa.RecordBatch, model: PurchaseModel | None) -> pa.RecordBatch:
    """A batch of features with the columns of `FIELDS` added; null for who never ordered, or without a model."""
    size = batch.num_rows
    values = {field.name: np.full(size, np.nan) for field in FIELDS}
    has_ordered = batch["first_order_age_days"].is_valid().to_numpy(zero_copy_only=False)
    if model is not None and has_ordered.any():
        rhythm = [_floats(batch[name])[has_ordered] for name in _RHYTHM]
        told = purchase_model.predict(model, *rhythm, HORIZON_DAYS)
        names = ("alive_probability", "expected_orders", "expected_order_value", "expected_spend")
        for field, name in zip(FIELDS, names, strict=True):
            values[field.name][has_ordered] = told[name]
    columns = [pa.array(values[field.name], field.type, from_pandas=True) for field in FIELDS]
    return pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema_with(batch.schema))


def schema_with(schema: pa.Schema) -> pa.Schema:
    """A schema with the columns of `FIELDS` added."""
    return pa.schema([*schema, *FIELDS])


def _floats(column) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
