"""
features: `agg.*` and `raw.*` -> `feat.contact_examples`: what was known of those whom past campaigns drew, when they
were chosen. What came of the contacts is beside it in `learn_policy`.
"""

import datetime as dt
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from segmentation import engine, erasures, feature_snapshot, lake, randomised, sql, tables
from segmentation.settings import Stores


@erasures.holds_off_erasure
def build_contact_features(day: dt.date, stores: Stores) -> dict[str, int]:
    """Writes `feat.contact_examples` of one day: the features of everyone whom past campaigns drew, as of the day that
    they were chosen on, from what `day` knows. Which campaigns and days these are: `randomised`.

    :returns: day of the choice -> rows.
    :raises history.NotAcceptedError: the day has not passed the gate, or its aggregates are not built.
    """
    with engine.session(stores.lake) as session:
        planned = randomised.look_up(session, day, stores)
        contacted = engine.table_of(session.batches(sql.read("learn_policy", "contacted")))
    campaigns_of: dict[dt.date, list[str]] = {}
    for each in planned:
        campaigns_of.setdefault(each.chosen_on, []).append(each.campaign.campaign_id)
    rows: dict[str, int] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        for chosen_on, campaigns in sorted(campaigns_of.items()):
            ours = contacted.filter(pc.is_in(contacted["campaign_id"], pa.array(campaigns, pa.string())))
            rows[f"{chosen_on}"] = 0
            for batch in _of_contacted(day, chosen_on, stores, ours):
                rows[f"{chosen_on}"] += batch.num_rows
                yield batch

    stream = batches()
    first = next(stream, None)
    schema = pa.schema([("customer_id", pa.string()), ("as_of_date", pa.date32())]) if first is None else first.schema
    lake.write(stores.lake, tables.CONTACT_EXAMPLES, day, stream, schema)
    return rows


def _of_contacted(day: dt.date, chosen_on: dt.date, stores: Stores, contacted: pa.Table) -> Iterator[pa.RecordBatch]:
    """The features of some customers as of a past day; the first batch is empty and typed."""
    with engine.session(stores.lake) as session:
        made = feature_snapshot.build(session, stores, known=day, as_of=chosen_on)
        session.create(tables.CUSTOMER_FEATURES, feature_snapshot.side_by_side(), {"as_of": chosen_on})
        session.put(tables.CONTACTED, contacted)
        yield from session.batches(sql.read("learn_policy", "features"), function=made.finish)
