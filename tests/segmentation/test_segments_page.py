"""The Segments page says what the database says, to whom it may, in two languages; and reads nothing large."""

import datetime as dt
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml

from segmentation import (
    evaluate,
    history,
    movement,
    naming,
    notices,
    page_counts,
    page_words,
    publish,
    quality,
    segments_page,
    settings,
    sql,
    warehouse,
)
from segmentation.suites import Rule
from segmentation.verdict import TABLE, Result, Verdict
from tests import frames
from tests.segmentation import test_evaluate, test_movement
from tests.segmentation.test_publish import put_scores

DAY = frames.DAY
WEEK_AGO = DAY - dt.timedelta(days=7)
NOW = dt.datetime.combine(DAY, dt.time(9), dt.UTC)
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
NAMES = {1: "recent_loyal_big_spenders", 2: "lapsed_one_time_small_spenders", 3: EVIL}
TIERS, RISKS = ("high", "medium", "low"), ("low", "medium", "high")


def put(stores, day, segments, version="1"):
    """Customers c000, c001, ... in these segments; every third has a strategy, every ninth is held out of it."""
    rows = [
        {
            "customer_id": f"c{n:03d}", "as_of_date": day, "segment_id": segment, "segment_name": NAMES[segment],
            "lifecycle_stage": "active", "value_tier": TIERS[segment - 1], "churn_risk": RISKS[(segment + n) % 3],
            "expected_spend_90d": 100 * segment, "churn_probability_90d": 0.25, "purchase_probability_30d": 0.5,
            "strategy_id": "welcome_pack" if n % 3 == 0 else None, "offer": "A & B <b>gift</b>" if n % 3 == 0 else None,
            "in_holdout": n % 9 == 0, "model_versions": f'{{"customer_segments": "{version}", "churn_90d": "7"}}',
            "reasons": [f"<i>{EVIL}</i>", "8 orders in the last 12 months"], "recommended_products": ["p1", "p2"],
            "scored_at": NOW,
        }
        for n, segment in enumerate(segments)
    ]  # fmt: skip
    put_scores(stores, day, rows)
    publish.publish_segments(day, stores)


def fill(stores):
    """Published a week ago and today, with campaigns and products; 12 customers went from segment 2 to 3."""
    put(stores, WEEK_AGO, [1] * 60 + [2] * 90 + [3] * 30)
    put(stores, DAY - dt.timedelta(days=1), [1] * 60 + [2] * 85 + [3] * 35, version="1")
    put(stores, DAY, [1] * 60 + [2] * 78 + [3] * 42 + [1] * 15, version="2")
    frames.accept(stores, DAY, **test_evaluate.SHOP)
    evaluate.evaluate_campaigns(DAY, stores)
    frames.write_raw(stores, **test_movement.shop())
    movement.classify_products(DAY, stores)
    history.ensure_schema(stores.marketing)
    late = Rule(notices.LATE_RULE, "stop", "expect_column_values_to_be_between", {"column": "newest_age_days"})
    another = replace(late, name="another")
    found = [Result(rule, TABLE, True, 9_000, value=days) for rule, days in ((late, 0.44), (another, 7.0))]
    quality.write(stores.marketing, [Verdict("raw.orders", 9_000, 12, found)], DAY, "a run")


@pytest.fixture(scope="module")
def shop(module_stores):
    fill(module_stores)
    return module_stores


def page(stores, language="en", **other):
    given = {"now": NOW, "mlflow": "http://mlflow.example:5000", "may_see_customers": False, **other}
    return segments_page.page(stores.marketing, language=language, **given)


class _Reader(HTMLParser):
    """Text of each section's cells and headings, and every tag with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.section = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        if tag == "section":
            self.section = given["aria-labelledby"]

    def handle_data(self, data):
        if data.strip():
            self.texts.setdefault(self.section, []).append(" ".join(data.split()))

    def text(self, section):
        return " ".join(self.texts[section])


def test_it_says_what_was_published(shop):
    read = _Reader(page(shop))
    segments = read.text("segments")
    assert "recent loyal big spenders 75 38.5%" in segments
    assert "100.00 each, 7,500 in all" in segments
    assert "+25.0%" in segments, "60 became 75"
    assert "value tier low: 100.0%, of all 21.5%" in segments
    moves = read.text("moves")
    assert f"From {WEEK_AGO} to {DAY}: 168 customers stayed in their segment, 27 did not." in moves
    assert re.search(r"lapsed one time small spenders .* 12 ", moves)
    assert "new here recent loyal big spenders 15" in moves
    risk = read.text("risk")
    assert "high 25 25 25 medium 26 26 26 low 14 14 14" in risk
    strategies = read.text("strategies")
    assert "Welcome pack A & B <b>gift</b> 43 22" in strategies
    assert "no strategy – 130 0" in strategies
    models = read.text("models")
    assert f"segments 2 {DAY} 1" in models
    assert f"churn, 90 days 7 {WEEK_AGO} or before –" in models
    assert "http://mlflow.example:5000/#/models/customer_segments/versions/2" in page(shop)


def test_campaigns_products_and_quality(shop):
    read = _Reader(page(shop))
    campaigns = read.text("campaigns")
    assert "Campaign k1 , mail" in campaigns
    assert re.search(
        r"60 with 60 randomised ordered: \+2\d\.\d\d points \(\+\d+\.\d\d points to .*? more", campaigns
    ), campaigns
    assert "sms" in campaigns
    assert "no effect can be told" in campaigns
    assert "fast 0 1 0 0 1" in read.text("products")
    assert "all 0 2 0 1 3" in read.text("products")
    found = read.text("quality")
    assert f"{DAY}" in found
    assert "orders: 0.4 days" in found
    assert "7.0 days" not in found
    assert "orders：0.4 天" in _Reader(page(shop, "zh")).text("quality")
    hrefs = {given["href"] for tag, given in read.tags if tag == "a"}
    assert {f"data-docs/{DAY}/index.html", "data-docs/campaigns/index.html", "data-docs/campaigns/k1.html"} <= hrefs


def test_in_chinese(shop):
    read = _Reader(page(shop, "zh"))
    assert "近期·高频·高消费客户 75 38.5%" in read.text("segments")
    assert "新客礼包" in read.text("strategies")
    assert "高 25 25 25" in read.text("risk")
    assert ("html", {"lang": "zh-Hans"}) in read.tags
    html = page(shop, "zh", may_see_customers=True, customer_id="c000")
    assert '<li lang="en">8 orders in the last 12 months</li>' in html, "what stays English is read aloud as English"
    assert '<span lang="en">A &amp; B' in html


def test_names_of_the_file_come_first_and_a_broken_file_breaks_no_page(shop, tmp_path, monkeypatch):
    names = tmp_path / "names.yaml"
    names.write_text("1: {zh: 大客户}\n")
    monkeypatch.setattr(naming.read, "__defaults__", (names,))
    assert "大客户 75" in _Reader(page(shop, "zh")).text("segments")
    names.write_text("1: [")
    assert "近期·高频·高消费客户 75" in _Reader(page(shop, "zh")).text("segments")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_hostile_names_are_shown_and_run_nowhere(shop, language):
    read = _Reader(page(shop, language, may_see_customers=True, customer_id="c150"))
    assert not {"script", "img", "i", "b", "iframe", "link"} & {tag for tag, _ in read.tags}
    assert not [given for _, given in read.tags if any(name.startswith("on") or name == "style" for name in given)]
    assert EVIL in " ".join(read.texts["segments"])
    assert f"<i>{EVIL}</i>" in read.text("look_up")


def test_every_picture_has_words_and_every_section_a_heading(shop):
    read = _Reader(page(shop))
    drawings = [given for tag, given in read.tags if tag == "svg"]
    assert len(drawings) > 8
    assert all(given.get("aria-label") or given.get("aria-hidden") == "true" for given in drawings)
    assert all(given["data-label"] for tag, given in read.tags if tag == "td" and "data-label" in given)
    assert '<th role="columnheader" scope="col"></th>' not in page(shop)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("caption") == tags.count("table") == 8
    assert tags.count("h1") == 1
    assert tags.count("h2") == tags.count("section") == 9
    anchors = {given["href"] for tag, given in read.tags if tag == "a"} & {f"#{name}" for name in read.texts if name}
    assert len(anchors) == 9


def test_nothing_is_loaded_from_anywhere(shop):
    html = page(shop)
    assert not [given for _, given in _Reader(html).tags if given.keys() & {"src", "srcset", "data", "xlink:href"}]
    assert "url(" not in segments_page.STYLE
    assert "@import" not in segments_page.STYLE
    assert f"<style>{segments_page.STYLE}</style>" in html, "the policy names this very text by its hash"


def test_one_customer_only_to_those_who_may(shop):
    told = _Reader(page(shop, may_see_customers=True, customer_id="c000")).text("look_up")
    for text in ("Customer c000", "8 orders in the last 12 months", "strategy Welcome pack", "p1, p2", "25.0%",
                 f"{WEEK_AGO} now recent loyal big spenders"):  # fmt: skip
        assert text in told, text
    moved = _Reader(page(shop, may_see_customers=True, customer_id="c140")).text("look_up")
    assert moved.count("lapsed one time small spenders") == 1
    assert "no published customer nobody" in _Reader(page(shop, may_see_customers=True, customer_id="nobody")).text(
        "look_up"
    )
    refused = page(shop, may_see_customers=False, customer_id="c000")
    assert "c000" not in refused
    assert "export_customer" in _Reader(refused).text("look_up")


def test_no_statement_reads_the_customers_but_the_look_up(shop):
    given = {"snapshot_id": 3, "day": DAY, "days": 30, "most": 9, "since": WEEK_AGO, "customer_id": "c000"}
    with warehouse.connect(shop.marketing) as connection:
        for path in sorted((sql.SQL_HOME / "page").glob("*.sql")):
            plan = "\n".join(
                line for (line,) in warehouse.fetch(connection, f"explain {sql.read('page', path.stem)}", given)
            )
            is_look_up = path.stem.startswith("customer")
            assert ("segment_rows" in plan or "segment_history" in plan) == is_look_up, plan
            assert not is_look_up or "Seq Scan on segment_rows" not in plan


def test_an_old_snapshot_and_a_refused_one_are_told(shop):
    assert 'class="alert"' not in page(shop)
    late = page(shop, now=NOW + dt.timedelta(days=3))
    assert "This is 3 days old" in late
    with warehouse.connect(shop.marketing) as connection:
        warehouse.execute(
            connection,
            "insert into marketing.snapshots (as_of_date, status) values (:day, 'rejected')",
            {"day": DAY + dt.timedelta(days=1)},
        )
        connection.commit()
        assert f"The snapshot of {DAY + dt.timedelta(days=1)} was refused" in page(shop)
        warehouse.execute(connection, "delete from marketing.snapshots where status = 'rejected'")


def test_an_empty_database(stores):
    read = _Reader(page(stores, may_see_customers=True, customer_id="c000"))
    assert "Nothing has been published yet." in read.text(None)
    assert "No campaign has been evaluated yet." in read.text("campaigns")
    with warehouse.connect(stores.marketing) as connection:
        assert warehouse.fetch(connection, "select to_regnamespace('marketing')") == [(None,)], "a look makes nothing"


def test_a_young_shop_without_campaigns_and_products(stores):
    put(stores, DAY, [1] * 20)
    read = _Reader(page(stores))
    assert "20 100.0%" in read.text("segments")
    assert "No snapshot of an earlier day to compare with." in read.text("moves")
    assert "No campaign has been evaluated yet." in read.text("campaigns")
    assert "No products have been classified yet." in read.text("products")


def test_a_snapshot_of_an_earlier_version_has_no_counts(stores):
    put(stores, DAY, [1] * 20)
    with warehouse.connect(stores.marketing) as connection:
        warehouse.execute(connection, "drop table marketing_internal.page_counts")
    read = _Reader(page(stores))
    for section in ("moves", "risk", "strategies"):
        assert "not counted for the snapshot" in read.text(section)
    assert "20 100.0%" in read.text("segments")


def test_few_customers_are_not_told_anywhere(stores):
    put(stores, WEEK_AGO, [1] * 60 + [2] * 40)
    put(stores, DAY, [1] * 57 + [2] * 3 + [2] * 40)
    cells = {
        (row["line"], row["place"]): row["customers"]
        for row in segments_page.read(stores.marketing, NOW, settings.load().page).counts
        if row["kind"] == page_counts.MOVES
    }
    assert cells == {("1", "1"): None, ("1", "2"): None, ("2", "2"): None}
    html = page(stores)
    assert "Groups too few to tell are in neither number." in html
    assert not re.search(r"\b(57|3)\b", _Reader(html).text("moves").replace(f"{DAY}", "").replace(f"{WEEK_AGO}", ""))


def test_bars_say_what_is_not_in_them(stores, shop):
    put(stores, DAY, [1] * 60 + [2] * 12)
    assert "Groups too few to tell are not in the bars" in _Reader(page(stores)).text("risk")
    assert "not in the bars" not in page(shop)


def test_going_back_shows_the_counts_of_then(stores):
    put(stores, WEEK_AGO, [1] * 60 + [2] * 40)
    put(stores, DAY, [1] * 40 + [2] * 60)
    assert "From" in _Reader(page(stores)).text("moves")
    publish.roll_back_segments(1, stores)
    read = _Reader(page(stores))
    assert "60 60.0%" in read.text("segments")
    assert "No snapshot of an earlier day" in read.text("moves")


def test_every_text_is_there_in_both_languages_and_used():
    told = yaml.safe_load(page_words.FILE.read_text(encoding="utf-8"))
    html = segments_page._HERE.with_suffix(".html").read_text(encoding="utf-8")
    home = segments_page._HERE.parent
    code = html + "".join(
        (home / f"{name}.py").read_text("utf-8") for name in ("segments_page", "page_sections", "page_words")
    )
    code += "segments moves risk strategies campaigns products quality models look_up entered left"
    for key, text in told["texts"].items():
        assert set(re.findall(r"{(\w+)}", text["en"])) == set(re.findall(r"{(\w+)}", text["zh"])), key
        assert re.search(rf"\b{key}\b", code), key
    for group in told.values():
        assert all(set(words) == {"en", "zh"} and all(words.values()) for words in group.values())
