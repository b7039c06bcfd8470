"""
Keeps a copy of the segments in another database, by the feed: `python follow_feed.py SOURCE TARGET`.

SOURCE and TARGET are SQLAlchemy URLs, of a login in `crm_reader` and of any database that SQLAlchemy knows. Run it as
often as you like (cron, a loop); it ends when the copy is up to date. It needs SQLAlchemy 1.4 or later and the drivers.

The feed says who has changed, the table says what is so now. Each batch is one transaction in the target, together with
the cursor, so the program may be killed at any moment and run again. The first time, and if it has slept for longer
than the feed is kept, it copies the whole table; so it does where the copy lacks a column.

Who is `in_holdout` in the copy must not be contacted.
"""

import argparse

import sqlalchemy as sa

BATCH = 5_000
COLUMNS = ("segment_id", "segment_name", "value_tier", "churn_risk", "strategy_id", "offer", "contact_channel",
           "in_holdout")  # fmt: skip
TYPES = {"segment_id": sa.Integer, "in_holdout": sa.Boolean}
METADATA = sa.MetaData()
COPY = sa.Table(
    "customer_segments",
    METADATA,
    sa.Column("customer_id", sa.String(200), primary_key=True),
    *(sa.Column(name, TYPES.get(name, sa.String(200))) for name in COLUMNS),
)
CURSOR = sa.Table("segments_cursor", METADATA, sa.Column("change_id", sa.BigInteger, nullable=False))

LAST = "select max(last_change_id) from marketing.snapshots"
OLDEST = "select min(change_id) from marketing.segment_changes"
# Snapshot and cursor belong together only if both are read from one state of the database: hence repeatable read.
BEGIN = """
    select last_change_id from marketing.snapshots
    where snapshot_id = (select snapshot_id from marketing.customer_segments limit 1)
"""
WHOLE = f"select customer_id, {', '.join(COLUMNS)} from marketing.customer_segments"  # noqa: S608 - constants
CHANGED = f"""
    with changed as (
        select change_id, customer_id from marketing.segment_changes
        where change_id > :cursor order by change_id limit {BATCH}
    )
    select max(c.change_id) over () as last_change, c.customer_id, {", ".join(f"s.{name}" for name in COLUMNS)}
    from (select customer_id, max(change_id) as change_id from changed group by customer_id) as c
    left join marketing.customer_segments as s on c.customer_id = s.customer_id
"""  # noqa: S608 - constants


def main(source_url: str, target_url: str) -> None:
    source = sa.create_engine(source_url, isolation_level="REPEATABLE READ")
    target = sa.create_engine(target_url)
    _drop_narrow(target)
    METADATA.create_all(target)
    while True:
        with target.begin() as copy, source.connect() as shop:
            cursor = copy.execute(sa.select(CURSOR.c.change_id)).scalar()
            if cursor is None or _is_cut(shop, cursor):
                cursor, changes = _copy_all(shop, copy), -1
            else:
                cursor, changes = _apply(shop, copy, cursor)
            copy.execute(CURSOR.delete())
            copy.execute(CURSOR.insert(), [{"change_id": cursor}])
        print(f"up to change {cursor}: {'copied whole' if changes < 0 else f'{changes} customers'}", flush=True)
        if changes == 0:
            return


def _drop_narrow(target: sa.engine.Engine) -> None:
    """Drops a copy that lacks a column, its cursor first: without that, the table is copied anew."""
    found = sa.inspect(target)
    if not found.has_table(COPY.name):
        return
    if not {column["name"] for column in found.get_columns(COPY.name)} >= set(COPY.columns.keys()):
        CURSOR.drop(target, checkfirst=True)
        COPY.drop(target)


def _is_cut(shop: sa.engine.Connection, cursor: int) -> bool:
    """Whether the feed no longer reaches back to the cursor."""
    last, oldest = shop.execute(sa.text(LAST)).scalar(), shop.execute(sa.text(OLDEST)).scalar()
    return (last or 0) > cursor and (oldest is None or oldest > cursor + 1)


def _copy_all(shop: sa.engine.Connection, copy: sa.engine.Connection) -> int:
    cursor = shop.execute(sa.text(BEGIN)).scalar() or 0
    copy.execute(COPY.delete())
    found = shop.execution_options(stream_results=True).execute(sa.text(WHOLE))
    while rows := found.fetchmany(BATCH):
        copy.execute(COPY.insert(), [dict(row._mapping) for row in rows])
    return cursor


def _apply(shop: sa.engine.Connection, copy: sa.engine.Connection, cursor: int) -> tuple[int, int]:
    """(the cursor after a batch, how many customers it was about)."""
    rows = [dict(row._mapping) for row in shop.execute(sa.text(CHANGED), {"cursor": cursor})]
    if not rows:
        return cursor, 0
    last = rows[0]["last_change"]
    gone = [{"gone": row["customer_id"]} for row in rows]
    copy.execute(COPY.delete().where(COPY.c.customer_id == sa.bindparam("gone")), gone)
    there = [row for row in rows if row.pop("last_change") and row["segment_id"] is not None]
    if there:
        copy.execute(COPY.insert(), there)
    return last, len(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    given = parser.parse_args()
    main(given.source, given.target)
