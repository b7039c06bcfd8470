"""Each role reads what it is meant to, and nothing else: every way around is tried."""

from pathlib import Path

import pytest

from local import docs
from segmentation import campaign_results, erasures, evaluate, publish, snapshots, warehouse
from tests import frames
from tests.segmentation.test_evaluate import SHOP
from tests.segmentation.test_publish import DAY, write_scores

RELATIONS = ["marketing.customer_segments", "marketing.segment_changes", "marketing.segment_history",
             "marketing.segment_profiles", "marketing.snapshots", "marketing.campaign_results"]  # fmt: skip
AGGREGATES = RELATIONS[-3:]
BEHIND = ["marketing_internal.segment_rows", "marketing_internal.segment_rows_1", "marketing_internal.change_rows",
          "marketing_internal.change_rows_1", "marketing_internal.current_snapshot", "marketing_internal.publications",
          "evaluation.campaign_results", "quarantine.rows", "quality.results", "ops.acceptances", "ops.drift",
          "shop.customers", "privacy.salt", "privacy.requests", "privacy.erasures", "privacy.unfinished",
          "privacy.kept_out", "truth.settings", "truth.customers", "truth.products", "truth.campaign_effects",
          "truth.answers", "truth.answered_campaigns", "truth.answered_contacts"]  # fmt: skip
TRUTH = Path(docs.__file__).parent / "sql" / "truth.sql"


MAKE_ROLE = """
    do $$ begin if not exists (select from pg_roles where rolname = '{role}') then create role {role} {options};
    end if; end $$
"""


@pytest.fixture
def shop(stores, postgres_server):
    """A published day in a database that has the roles, and a login that is a member of each: role -> its DSN."""
    logins = {}
    with warehouse.connect(stores.marketing) as connection:
        for role in snapshots.READERS:
            warehouse.run_script(connection, MAKE_ROLE.format(role=role, options="nologin"))
            login = MAKE_ROLE.format(role=f"{role}_login", options=f"login password 'secret' in role {role}")
            warehouse.run_script(connection, login)
            database = stores.marketing.rsplit("/", 1)[-1].split("?")[0]
            logins[role] = postgres_server.url(database, f"{role}_login", "secret")
        warehouse.run_script(connection, TRUTH.read_text(encoding="utf-8"))
    erasures.ensure_schema(stores.marketing)
    write_scores(stores, DAY, 20)
    publish.publish_segments(DAY, stores)
    frames.accept(stores, DAY, **SHOP)
    evaluate.evaluate_campaigns(DAY, stores)
    return logins


def attempt(logins, role, statement):
    with warehouse.connect(logins[role]) as connection:
        return warehouse.fetch(connection, statement)


@pytest.mark.parametrize("relation", RELATIONS)
def test_crm_readers_read_the_contract(shop, relation):
    assert attempt(shop, "crm_reader", f"select count(*) > 0 from {relation}") == [(True,)]


def test_crm_readers_read_any_kept_day(shop):
    assert attempt(shop, "crm_reader", f"select count(*) from marketing.customer_segments_at('{DAY}')") == [(20,)]


@pytest.mark.parametrize("role", snapshots.READERS)
def test_nobody_reads_what_is_behind(shop, role):
    for relation in BEHIND:
        with pytest.raises(Exception, match="permission denied"):
            attempt(shop, role, f"select * from {relation}")
            pytest.fail(f"{role} reads {relation}")


def test_what_is_behind_is_there_and_nothing_of_privacy_or_truth_is_left_out(shop, stores):
    with warehouse.connect(stores.marketing) as connection:
        found = warehouse.fetch(connection, "select schemaname, tablename from pg_tables")
    assert {f"{schema}.{table}" for schema, table in found} >= set(BEHIND)
    assert {f"{schema}.{table}" for schema, table in found if schema in ("privacy", "truth")} <= set(BEHIND)


@pytest.mark.parametrize("relation", RELATIONS)
def test_dashboards_read_aggregates_only(shop, relation):
    query = f"select count(*) > 0 from {relation}"
    if relation in AGGREGATES:
        assert attempt(shop, "dashboard_reader", query) == [(True,)]
    else:
        with pytest.raises(Exception, match="permission denied"):
            attempt(shop, "dashboard_reader", query)


@pytest.mark.parametrize("role", snapshots.READERS)
@pytest.mark.parametrize(
    "statement",
    [
        "delete from marketing.customer_segments returning 1",
        "update marketing.snapshots set status = 'rejected' returning 1",
        "insert into marketing.segment_profiles values (1, 2, 'x') returning 1",
        "delete from marketing.segment_history returning 1",
        "delete from marketing.segment_changes returning 1",
        "update marketing_internal.current_snapshot set snapshot_id = 7 returning 1",
        "create table marketing.mine (a int)",
        "create or replace view marketing.snapshots as select 1",
        "drop view marketing.customer_segments",
        "delete from marketing.campaign_results returning 1",
        "set role postgres",
        "set session authorization postgres",
        "set role pipeline",
    ],
)
def test_readers_change_nothing(shop, role, statement):
    with pytest.raises(Exception, match=r"permission denied|must be owner|is not a view|does not exist"):
        attempt(shop, role, statement)


def test_a_dashboard_cannot_reach_customers_through_the_function(shop):
    with pytest.raises(Exception, match="permission denied for function customer_segments_at"):
        attempt(shop, "dashboard_reader", f"select * from marketing.customer_segments_at('{DAY}')")


def test_a_role_that_comes_later_is_granted_its_part_with_the_next_publication(stores):
    write_scores(stores, DAY, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "READERS", ())  # as if there were none yet
        publish.publish_segments(DAY, stores)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.run_script(connection, MAKE_ROLE.format(role="crm_reader", options="nologin"))
        warehouse.run_script(connection, "revoke all on all tables in schema marketing from crm_reader")
    publish.publish_segments(DAY, stores)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "set role crm_reader")
        assert warehouse.fetch(connection, "select count(*) from marketing.customer_segments") == [(2,)]


def test_the_contracts_page_is_what_the_database_says(stores):
    snapshots.ensure_schema(stores.marketing)
    campaign_results.ensure_schema(stores.marketing)
    text = docs.contract(stores.marketing)
    assert docs.CONTRACT.read_text(encoding="utf-8") == text, "run `make docs`"
    assert "None" not in text
