"""The pages as Airflow mounts them, whatever is asked of them and whatever was published: it is shown, never run."""

import re
from html.parser import HTMLParser

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api import security
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation import publish
from segmentation_airflow import segments_view
from tests import frames
from tests.hostile.values import INJECTIONS, TEXT
from tests.segmentation.test_publish import put_scores

DAY = frames.DAY
QUIET = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
HTML = ('"><img src=x onerror=alert(1)>', "</title><script>alert(1)</script>", "<svg/onload=alert(1)>", "&lt;b&gt;",
        "javascript:alert(1)", "' onmouseover='alert(1)", "<!--", "]]>", "</style><style>*{display:none}",
        "{{7*7}}{% raw %}")  # fmt: skip
TEXTS = [each for each in (*INJECTIONS, *HTML) if each == each.strip() != "" and len(each) <= 200]
ASKED = TEXT | st.sampled_from([*HTML, "a\0b", "x" * 10_000, "zh-CN;q=" + "9" * 400, "en" * 5_000, "%00", "c0"])


@pytest.fixture(scope="module")
def client(module_stores):
    """A day of customers, each with one such text in every column that is shown; asked by one who may see them."""
    rows = [
        {"customer_id": f"c{n}", "as_of_date": DAY, "segment_id": n + 1, "segment_name": each, "strategy_id": each,
         "offer": each, "contact_channel": each, "lifecycle_stage": "active", "value_tier": "high",
         "churn_risk": "low", "reasons": [each], "recommended_products": [each], "model_versions": "{}",
         "scored_at": frames.dt.datetime.combine(DAY, frames.dt.time(9), frames.dt.UTC)}
        for n, each in enumerate(TEXTS)
    ]  # fmt: skip
    put_scores(module_stores, DAY, rows)
    publish.publish_segments(DAY, module_stores)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_MARKETING", module_stores.marketing)
        patch.setenv("LAKE_URI", module_stores.lake)
        manager = SimpleAuthManager()
        patch.setattr(security, "get_auth_manager", lambda: manager)
        patch.setattr(security.DagModel, "get_team_name", lambda dag_id: None)

        async def user_of(token):
            return SimpleAuthManagerUser(username="someone", role="USER")

        patch.setattr(security, "resolve_user_from_token", user_of)
        yield TestClient(segments_view.app, headers={"Authorization": "Bearer x"})


class _Read(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.said, self.styles = set(), [], "", 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.styles += tag == "style"
        self.attributes += attributes

    def handle_data(self, data):
        self.said += data


def assert_harmless(html):
    read = _Read(html)
    assert not {"script", "img", "iframe", "object", "embed", "link", "base"} & read.tags
    for name, value in read.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "style")
        assert name not in ("href", "action") or not re.match(r"\s*(javascript|data|vbscript):", value or "", re.I)
    assert read.styles <= 1
    return read.said


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_published_text_is_shown_as_text(client, language):
    overview = assert_harmless(client.get("/segments", params={"lang": language}).text)
    assert "{{7*7}}" in overview, "names of segments are on it, and nothing of them was reckoned"
    for n, each in list(enumerate(TEXTS))[:: 1 if language == "en" else 6]:
        answer = client.post("/segments", params={"lang": language}, data={"customer": f"c{n}"})
        assert answer.status_code == 200
        said = re.sub(r"\s", "", assert_harmless(answer.text))
        assert said.count(re.sub(r"\s", "", each)) >= 2, each


@given(customer=ASKED, lang=ASKED, accepts=ASKED)
@settings(max_examples=40, **QUIET)
def test_whatever_is_asked_there_is_an_answer_that_does_no_harm(client, customer, lang, accepts):
    headers = {"Accept-Language": accepts.encode("utf-8", "replace")} if accepts.isprintable() else {}
    looked_up = client.post("/segments", params={"lang": lang}, data={"customer": customer}, headers=headers)
    assert looked_up.status_code in ((200,) if 0 < len(customer) <= 200 else (200, 422))
    overview = client.get("/segments", params={"lang": lang, customer: lang}, headers=headers)
    assert overview.status_code == 200
    for answer in (overview, looked_up):
        if answer.status_code == 200:
            assert_harmless(answer.text)
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        else:
            assert answer.headers["Content-Type"] == "application/json"


@given(path=ASKED.filter(lambda text: text.isprintable() and "?" not in text and "#" not in text))
@settings(max_examples=60, **QUIET)
def test_no_path_of_the_data_docs_leads_to_anything_else(client, path):
    answer = client.get(f"/data-docs/{path}"[:2_000])
    assert answer.status_code in (200, 404)
    assert "root:" not in answer.text
