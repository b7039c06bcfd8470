"""What people may type: parameters of DAGs, names of customers, connections. It is refused in words, or it is data."""

import contextlib
import datetime as dt
import importlib.util
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import psycopg2.extensions
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import ParamValidationError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from segmentation import erase, publish, segment_export, segments_page, warehouse
from segmentation.errors import FinalError
from segmentation_airflow import stages
from segmentation_airflow import stores as airflow_stores
from tests import frames
from tests.hostile.values import INJECTIONS, TEXT
from tests.segmentation.test_publish import put_scores

DAY = frames.DAY
NOW = dt.datetime.combine(DAY, dt.time(9), dt.UTC)
DAGS = Path(__file__).resolve().parents[2] / "dags"
IDS = [*dict.fromkeys(each for each in INJECTIONS if each.strip() == each and 0 < len(each) < 200), "'\"><b onload=x>"]
MARK = "'\"><script>alert(1)</script>{{7*7}}"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | TEXT
    | st.sampled_from(["a\0b", "\ud800", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def params_of(name):
    spec = importlib.util.spec_from_file_location(f"dag_{name}", DAGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PARAMS


@pytest.fixture(scope="module")
def published(module_stores, postgres_server):
    """A day of customers with such ids, published by the pipeline's own role, which may create schemas and no more."""
    database = module_stores.marketing.rsplit("/", 1)[-1].split("?")[0]
    with warehouse.connect(module_stores.marketing) as connection:
        with contextlib.suppress(psycopg2.errors.DuplicateObject):
            warehouse.execute(connection, "create role hostile_pipeline login password 'x'")
        warehouse.execute(connection, f"grant create on database {database} to hostile_pipeline")
        warehouse.execute(connection, "alter schema quarantine owner to hostile_pipeline")
        warehouse.execute(connection, "alter table quarantine.rows owner to hostile_pipeline")
    dsn = postgres_server.url(database, "hostile_pipeline", "x")
    stores = replace(module_stores, marketing=dsn, warehouse=dsn)
    rows = [
        {"customer_id": each, "as_of_date": DAY, "segment_id": 1, "segment_name": MARK, "offer": MARK,
         "strategy_id": MARK, "lifecycle_stage": "active", "value_tier": "high", "churn_risk": "low",
         "churn_probability_90d": 0.25, "purchase_probability_30d": 0.5, "expected_spend_90d": 9,
         "reasons": [MARK], "recommended_products": [each], "scored_at": NOW,
         "model_versions": '{"customer_segments": "1"}'}
        for each in IDS
    ]  # fmt: skip
    put_scores(stores, DAY, rows)
    publish.publish_segments(DAY, stores)
    return stores


def fetch(stores, query, **parameters):
    with warehouse.connect(stores.marketing) as connection:
        return warehouse.fetch(connection, query, parameters)


def test_ids_come_out_as_they_went_in_and_nothing_of_them_has_run(published, module_stores):
    told = fetch(published, "select customer_id, offer, recommended_products from marketing.customer_segments")
    assert sorted(told) == sorted((each, MARK, [each]) for each in IDS)
    assert fetch(published, "select count(*) from marketing.segment_changes") is not None
    with warehouse.connect(module_stores.marketing) as connection:
        assert warehouse.fetch(connection, "select to_regclass('shop.customers') is not null") == [(True,)]


class _Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.said = set(), [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_data(self, data):
        self.said += data


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_is_looked_up_and_shown_as_text(published, language):
    for each in IDS:
        html = segments_page.page(
            published.marketing, now=NOW, language=language, mlflow=None, may_see_customers=True, customer_id=each
        )
        read = _Tags(html)
        assert not {"script", "b", "img", "iframe", "object", "link"} & read.tags, each
        assert not [name for name in read.attributes if name.startswith("on") or name in ("style", "src")], each
        assert re.sub(r"\s", "", each) in re.sub(r"\s", "", read.said), each


@given(TEXT | st.sampled_from(["a\0b", "\ud800", "\0"]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_is_asked_for_the_page_answers(published, asked):
    html = segments_page.page(
        published.marketing, now=NOW, language="en", mlflow=None, may_see_customers=True, customer_id=asked
    )
    html.encode("utf-8", "surrogatepass" if asked == "\ud800" else "strict")
    assert "script" not in _Tags(html).tags


@pytest.mark.parametrize("ids", [["a\0b"], ["\ud800"], [""], ["  "], ["ok", "x\0"]])
def test_an_id_that_nobody_can_have_is_refused_before_anything_is_erased(published, ids):
    with pytest.raises(ValueError, match="cannot be the id of a customer"):
        erase.erase_customers(ids, published)


def test_a_segment_is_a_number(published):
    with pytest.raises((FinalError, ValueError)):
        segment_export.export_segment(10**40, "csv", published)
    for asked in ("1 or true", "1; drop table x", "²", "1e3"):
        with pytest.raises(ValueError, match="invalid literal"):
            segment_export.export_segment(asked, "csv", published)


def test_a_snapshot_is_a_number(published):
    for asked in (10**40, -1, 0):
        with pytest.raises(FinalError):
            publish.roll_back_segments(asked, published)


@given(value=JSON)
@example(value=["x", 1])
@example(value="7\n")
@example(value=True)
@example(value="customer_segments' or name like '%")
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize(
    ("dag", "name", "fits"),
    [
        ("erase_customers", "ids", lambda v: isinstance(v, list) and all(isinstance(each, str) and each for each in v)),
        ("export_customer", "id", lambda v: isinstance(v, str) and v != ""),
        ("export_segment", "segment_id", lambda v: v == int(v) >= 0),
        ("export_segment", "format", lambda v: v in ("csv", "parquet")),
        ("roll_back_segments", "snapshot_id", lambda v: v == int(v) >= 1),
        ("roll_back_model", "model", lambda v: v == "all" or v == "customer_segments" or v in stages.TARGETS),
        ("roll_back_model", "version", lambda v: v is None or re.fullmatch("[0-9]{0,9}", v) is not None),
    ],
)  # fmt: skip
def test_parameters_are_of_their_kind_or_refused(dag, name, fits, value):
    try:
        json.dumps(value)
        told = params_of(dag)[name].resolve(value)
    except (ParamValidationError, UnicodeEncodeError):
        return
    assert fits(told)


@pytest.mark.parametrize(
    "text", ["2026-02-30T00:00:00Z", "yesterday", "2026-01-01T25:00:00Z", "'; drop", "{{ ds }}", "²"]
)
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises((ParamValidationError, FinalError)):
        stages.as_time(stages.RELOAD["reload_since"].resolve(text))


@given(host=TEXT, schema=TEXT, login=TEXT, password=TEXT, extra=TEXT)
@settings(max_examples=100, deadline=None)
def test_no_part_of_a_connection_becomes_another(host, schema, login, password, extra):
    connection = Connection(
        conn_id="x", conn_type="postgres", host="db.example", schema=schema, login=login, password=password,
        extra=json.dumps({"application_name": extra}),
    )  # fmt: skip
    told = psycopg2.extensions.parse_dsn(airflow_stores.dsn(connection))
    assert (told.get("host"), told.get("port")) == ("db.example", "5432")
    assert told.get("dbname", "") == schema
    assert told.get("password", "") == password
    assert told.get("user", "") == login
    assert told.get("application_name", "") == extra
    assert "sslmode" not in told
    with contextlib.suppress(psycopg2.ProgrammingError):
        odd = Connection(conn_id="x", conn_type="postgres", host=host, schema="shop", login="u", password="p")
        told = psycopg2.extensions.parse_dsn(airflow_stores.dsn(odd))
        assert (told["user"], told["password"], told["dbname"]) == ("u", "p", "shop")
