"""
What a view of the Segments page takes, and what counting for it adds to a publication: `python -m local.bench.page`.

A published snapshot of made-up customers, moved by 5 % since a week before, in an embedded Postgres; beside it as much
as years of daily runs leave: 3 years of snapshots with their profiles, 200 campaigns evaluated on 45 days each, 3 years
of rules of the gates, 100,000 products. Told: the time of the counts, and of the page as HTML, many views after one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console

console = Console(width=110, highlight=False)
DAY = dt.date(2026, 7, 8)
VIEWS = 100
# name -> statement; rows as the pipeline leaves them, but for what no statement of the page looks at
LEFT_BY_YEARS = {
    "snapshots": """
        insert into marketing.snapshots (as_of_date, status, row_count, model_versions, published_at, is_kept)
        select cast(:day as date) - n, 'published', :customers, jsonb_build_object('customer_segments', n / 7,
            'churn_90d', n / 7, 'purchase_30d', n / 30, 'spend_90d', n / 30), now(), false
        from generate_series(8, 1095) as n
    """,
    "profiles": """
        insert into marketing.segment_profiles
        select s.snapshot_id, n, 'segment_' || n, :customers / 8 + s.snapshot_id % 7 * 100, 0.125, 10, 0.3, 0.5,
            '[{"column": "value_tier", "value": "high", "share": 0.7, "of_all": 0.2}]', '{}'
        from marketing.snapshots as s, generate_series(1, 8) as n
        where not exists (select from marketing.segment_profiles as p where p.snapshot_id = s.snapshot_id)
    """,
    "campaigns": """
        insert into evaluation.campaign_results
        select 'K' || k, 'Campaign ' || k, null, 'email', start, start + 14, 'closed', 'randomised', 'mail', m, s,
            'segment_' || s, 5000, 5000, 0.1, 0.09, 0.01, 0.001, 0.02, 0.03, 0.1, 0.01, 0.002, 0.018, 0.02, 0.1, 0.04,
            0.01, 500, 1, 0.5, 1.5, true, null, '{}', start + d
        from generate_series(1, 200) as k
        cross join lateral (select cast(:day as date) - 5 * k as start) as began
        cross join generate_series(1, 45) as d
        cross join unnest(array['conversion', 'revenue', 'margin', 'satisfaction', 'unsubscribe']) as m
        cross join unnest(array[null, 1, 2, 3, 4, 5, 6, 7, 8]) as s
        where start + d <= :day
    """,
    "rules": """
        insert into quality.results (day, table_name, rule, scope, severity, is_met, row_count, broken_count, examples,
            checked_at)
        select cast(:day as date) - d, 'raw.table_' || t, 'rule ' || r, 'rows', 'warn', r <> 3, 1000, 0, '{}',
            cast(:day as date) - d
        from generate_series(0, 1094) as d, generate_series(1, 10) as t, generate_series(1, 20) as r
    """,
    "products": """
        insert into marketing_internal.product_movement_rows (as_of_date, product_id, units_per_week, movement, action)
        select cast(:day as date) - 7 * w, 'P' || n, 1, 'steady', 'hold'
        from generate_series(0, 3) as w, generate_series(1, 100000) as n
    """,
}


def main(customers: int) -> None:
    from local import load
    from local.postgres import Postgres
    from segmentation import campaign_results, history, page_counts, segments_page, settings, snapshots, warehouse

    with tempfile.TemporaryDirectory() as here:
        server = Postgres(Path(here) / "postgres", durable=False)
        server.start()
        try:
            dsn = server.url()
            with warehouse.connect(dsn) as connection:
                load.apply_contract(connection)
            for each in (snapshots, campaign_results, history):
                each.ensure_schema(dsn)
            with warehouse.connect(dsn) as connection:
                _publish(connection, DAY - dt.timedelta(days=7), customers, 0)
                number = _publish(connection, DAY, customers, 0.05)
                snapshots.view_as(connection, "new_rows", number)
                begun = time.monotonic()
                counts = page_counts.of_snapshot(connection, DAY, settings.load().publish.smallest_group)
                seconds = time.monotonic() - begun
                page_counts.write(connection, number, counts)
                given = {"day": DAY, "customers": customers}
                sizes = {name: warehouse.execute(connection, each, given) for name, each in LEFT_BY_YEARS.items()}
            with warehouse.connect(dsn, autocommit=True) as connection:
                warehouse.run_script(connection, "analyze")
            console.print(f"{customers:,} customers: {seconds:.1f} s of counting, once, by {len(counts)} cells")
            console.print("beside them: " + ", ".join(f"{rows:,} {name}" for name, rows in sizes.items()))
            now = dt.datetime.combine(DAY, dt.time(9), dt.UTC)
            for customer in (None, "C000000123"):
                took = []
                for _ in range(VIEWS):
                    begun = time.monotonic()
                    html = segments_page.page(
                        dsn, now=now, language="en", mlflow=None, may_see_customers=True, customer_id=customer
                    )
                    took.append(1000 * (time.monotonic() - begun))
                assert customer is None or f"Customer {customer}" in html
                told = f"first {took[0]:.0f} ms, median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms"
                console.print(f"a view{' with a customer' if customer else ''}: {told}, {len(html) / 1024:.0f} KiB")
        finally:
            server.stop()


def _publish(connection, day: dt.date, customers: int, moved: float) -> int:
    """A published snapshot made inside the database; the number of it."""
    from segmentation import snapshots, warehouse

    [(number,)] = warehouse.fetch(
        connection,
        "insert into marketing.snapshots (as_of_date, status, row_count, model_versions, published_at) "
        "values (:day, 'published', :customers, '{}', now()) returning snapshot_id",
        {"day": day, "customers": customers},
    )
    name = snapshots.partition(number)
    warehouse.run_script(
        connection,
        f"create table {name} partition of marketing_internal.segment_rows for values in ({number}); "
        f"alter table {name} add primary key (customer_id)",
    )
    warehouse.execute(
        connection,
        f"insert into {name} (customer_id, as_of_date, segment_id, segment_name, lifecycle_stage, value_tier, "  # noqa: S608 - a quoted name
        "expected_spend_90d, churn_risk, strategy_id, offer, in_holdout, reasons, snapshot_id, model_versions, "
        "scored_at) select 'C' || lpad(cast(n as text), 9, '0'), :day, segment, 'segment_' || segment, 'active', "
        "(array['high', 'medium', 'low'])[1 + n % 3], n % 500, (array['high', 'medium', 'low'])[1 + n % 7 % 3], "
        "'strategy_' || n % 12, 'An offer', n % 10 = 0, array['last order 120 days ago', '8 orders in 12 months'], "
        ":number, '{}', now() from (select n, 1 + (n + cast(hashint8(n) % 100 >= 100 * (1 - :moved) as int)) % 8 "
        "as segment from generate_series(1, :customers) as n) as made",
        {"day": day, "number": number, "moved": moved, "customers": customers},
    )
    warehouse.run_script(connection, f"analyze {name}")
    warehouse.execute(
        connection,
        "insert into marketing_internal.current_snapshot (snapshot_id) values (:number) "
        "on conflict (is_only_row) do update set snapshot_id = excluded.snapshot_id",
        {"number": number},
    )
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    main(**vars(parser.parse_args()))
