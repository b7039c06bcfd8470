"""The Segments page through the application that Airflow mounts: who may see what, with Airflow's own auth manager."""

import re
from pathlib import Path

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api import security
from fastapi.testclient import TestClient

from segmentation.settings import Stores
from segmentation_airflow import rights, segments_view
from tests.segmentation.test_segments_page import DAY, put

DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / f"{rights.EXPORT_DAG}.py"


@pytest.fixture(scope="module")
def stores(tmp_path_factory, new_warehouse):
    with new_warehouse() as dsn:
        folder = tmp_path_factory.mktemp("stores")
        made = Stores(warehouse=dsn, marketing=dsn, lake=str(folder / "lake"), registry="unused")
        put(made, DAY, [1] * 30 + [2] * 30)
        yield made


@pytest.fixture
def client(stores, monkeypatch):
    """Asks as a role: `client(role)`; None is nobody. What a role may is asked of Airflow's SimpleAuthManager; whose a
    token is needs Airflow's own database, so it is the role itself here."""
    monkeypatch.setenv("AIRFLOW_CONN_MARKETING", stores.marketing)
    monkeypatch.setenv("LAKE_URI", stores.lake)
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", "http://mlflow.example:5000")
    manager = SimpleAuthManager()
    monkeypatch.setattr(security, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(security.DagModel, "get_team_name", lambda dag_id: None)

    def asking(role):
        async def user_of(token):
            if token is None:
                raise security.HTTPException(401)
            return SimpleAuthManagerUser(username=token, role=token)

        monkeypatch.setattr(security, "resolve_user_from_token", user_of)
        headers = {"Authorization": f"Bearer {role}"} if role else {}
        return TestClient(segments_view.app, headers=headers)

    return asking


def test_nobody_sees_it_without_a_login(client):
    assert client(None).get("/segments").status_code == 401
    assert client(None).post("/segments", data={"customer": "c000"}).status_code == 401


def test_a_viewer_sees_aggregates_only(client):
    answer = client("VIEWER").get("/segments?lang=en")
    assert answer.status_code == 200
    assert "recent loyal big spenders" in answer.text
    assert "You see aggregates only" in answer.text
    assert "<form" not in answer.text
    refused = client("VIEWER").post("/segments", data={"customer": "c000"})
    assert refused.status_code == 403
    assert "c000" not in refused.text


def test_who_may_run_the_export_looks_up_a_customer(client, caplog):
    assert "<form" in client("USER").get("/segments").text
    with caplog.at_level("INFO"):
        answer = client("USER").post("/segments", data={"customer": " c000 "})
    assert answer.status_code == 200
    assert "Customer c000: recent loyal big spenders" in answer.text
    assert "USER looked up a customer" in caplog.text
    assert "c000" not in caplog.text, "logs name no customers"
    assert client("USER").post("/segments", data={"customer": "x" * 300}).status_code == 422


def test_the_language_is_the_browsers_unless_it_is_asked_for(client):
    chinese = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
    assert "客户分群" in client("VIEWER").get("/segments", headers=chinese).text
    assert "客户分群" in client("VIEWER").get("/segments?lang=zh").text
    assert "The segments" in client("VIEWER").get("/segments?lang=en", headers=chinese).text
    assert "The segments" in client("VIEWER").get("/segments?lang='\"><script>").text


def test_the_browser_is_told_to_load_and_run_nothing(client):
    headers = client("VIEWER").get("/segments").headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert "no-store" in headers["Cache-Control"]


def test_without_the_connection_it_says_so(client, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_MARKETING")
    answer = client("VIEWER").get("/segments")
    assert answer.status_code == 503
    assert "connection `marketing`" in answer.text


def test_its_links_lead_to_the_data_docs(client):
    page = client("VIEWER").get("/segments").text
    [link] = re.findall(r'href="(data-docs/[0-9-]+/index.html)"', page)
    assert f"Data quality of {DAY}" in client("VIEWER").get(f"/{link}").text
    assert client("VIEWER").get("/data-docs/1999-01-01/index.html").status_code == 404


def test_the_page_of_a_table_which_names_customers_is_not_for_who_sees_aggregates_only(client):
    viewer, user = client("VIEWER"), client("USER")
    [table] = {re.search(r'href="([a-z_.]+\.html)"', viewer.get(f"/data-docs/{DAY}/index.html").text)[1]}
    path = f"/data-docs/{DAY}/{table}"
    refused = viewer.get(path)
    assert refused.status_code == 403
    assert "it is for whoever may run export_customer" in refused.text
    assert user.get(path).status_code == 200
    assert viewer.get("/data-docs/index.html").status_code == 200


def test_the_dags_whose_rights_are_asked_for_exist():
    daily = DAG_FILE.with_name(f"{rights.WATCHED_DAG}.py")
    assert re.search(rf"^def {rights.WATCHED_DAG}\(", daily.read_text("utf-8"), re.MULTILINE)
    assert re.search(rf"^def {rights.EXPORT_DAG}\(", DAG_FILE.read_text("utf-8"), re.MULTILINE)


def test_the_navigation_leads_to_the_page():
    import segmentation_plugin

    [view] = [each for each in segmentation_plugin.SegmentationPlugin.external_views if each["name"] == "Segments"]
    [app] = segmentation_plugin.SegmentationPlugin.fastapi_apps
    paths = {route.path for route in segments_view.app.routes}
    assert view["destination"] == "nav"
    assert view["href"].removeprefix(app["url_prefix"].strip("/")) in paths
    assert "url_route" not in view, "in the frame that it makes, links to MLflow lead nowhere"
