"""A campaign's page says what the table says, in words and pictures, loads nothing and runs nothing that it quotes."""

import datetime as dt
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from segmentation import campaign_pages, evaluate, lake, settings
from segmentation_airflow import data_docs_pages
from tests import frames
from tests.segmentation.test_evaluate import CONTACTS, CROWD_SHOP, DAY, SHOP, campaign, put_segments, results

EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


def page_of(stores, campaign_id="k1"):
    folder = f"{settings.data_docs_of(stores.lake)}/campaigns"
    return lake.read_text(f"{folder}/{campaign_pages.file_of(campaign_id)}")


@pytest.fixture
def page(stores):
    frames.accept(stores, DAY, **SHOP)
    put_segments(stores, [3] * 27 + [4] * 27 + [5] * 66 + [6] * 60)
    evaluate.evaluate_campaigns(DAY, stores)
    return page_of(stores)


def test_it_says_what_the_table_says(page, stores):
    row = results(stores)["k1", "randomised", "mail", "margin", None]
    for text in (
        "Arm mail: 60 customers, beside 60 who were held out at random.",
        "Arm mail, share of customers who ordered: more. 50.00% against 25.00%; the effect is",
        "Arm sms, share of customers who ordered: no effect can be told.",
        f"For each 1.00 spent it brought {row['roi'] + 1:,.2f} of additional margin",
        "Arm mail cost 90.00",
        "late orders and returns may still change a little",
        "2 of them are not told",
        "A change, not an effect",
        "share of the arms by segment: as drawn at random?",
    ):
        assert text in page, text


def test_the_picture_has_every_effect_in_its_place(page, stores):
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 2
    for drawing, metric in zip(drawings, ("conversion", "margin"), strict=True):
        found = ElementTree.fromstring(drawing)
        rows = [row for key, row in results(stores, "design = 'randomised'").items() if key[3] == metric]
        told = [campaign_pages.best(row) for row in rows if campaign_pages.best(row)]
        dots = [float(dot.get("cx")) for dot in found.iter("circle")]
        assert len(dots) == len(told) == 6
        zero = float(found.find("line").get("x1"))
        assert all(300 <= at <= 610 for at in dots)
        # the dots lie as their effects do
        assert np.corrcoef(sorted(dots), sorted(each[0] for each in told))[0, 1] > 0.9999
        assert max(dots) > zero
        for line in list(found.iter("line"))[1:]:
            assert float(line.get("x1")) <= float(line.get("x2"))


def test_it_loads_nothing_and_names_no_customer(page):
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//)|url\(|<script|<img|@import", page)
    assert not re.search(r"\bc\d{3}\b", page)


def test_what_a_shop_writes_is_text(stores):
    contacts = [{**each, "campaign_id": EVIL, "arm": EVIL if each["arm"] != "control" else "control"}
                for each in CONTACTS]  # fmt: skip
    evil = [{**campaign(), "campaign_id": EVIL, "name": EVIL, "channel": EVIL, "strategy_id": EVIL}]
    frames.accept(stores, DAY, **{**SHOP, "campaigns": evil, "campaign_contacts": contacts})
    evaluate.evaluate_campaigns(DAY, stores)
    page = page_of(stores, EVIL)
    index = lake.read_text(f"{settings.data_docs_of(stores.lake)}/campaigns/index.html")
    for text in (page, index):
        assert "<script" not in text
        assert "<img" not in text
        assert "&lt;script&gt;" in text
    assert data_docs_pages.PAGE.fullmatch(f"campaigns/{campaign_pages.file_of(EVIL)}")


def test_without_a_control_arm_it_says_so_and_a_broken_draw_is_shouted(stores):
    frames.accept(stores, DAY, **CROWD_SHOP)
    evaluate.evaluate_campaigns(DAY, stores)
    page = page_of(stores)
    assert "Nobody was held out" in page
    assert "held out at random" not in page
    assert "Do not rely" not in page
    chosen = [{**each, "arm": "mail" if n % 2 else "control"} for n, each in enumerate(CONTACTS)]
    later = DAY + dt.timedelta(days=1)
    second = {"campaigns": [campaign("k2")], "campaign_contacts": [{**each, "campaign_id": "k2"} for each in chosen]}
    frames.accept(stores, later, **{**SHOP, **second})
    evaluate.evaluate_campaigns(later, stores)
    assert "Do not rely on what is below" in page_of(stores, "k2")
    assert "share of the arms by spend before: not as drawn at random" in page_of(stores, "k2")


@pytest.mark.parametrize("name", ["campaigns/../secrets.html", "campaigns/a/b.html", "campaigns/.html", "/etc/x.html"])
def test_only_pages_are_handed_out(name):
    assert not data_docs_pages.PAGE.fullmatch(name)


def test_ids_become_files_of_their_own():
    names = ["a", "a/b", "a_b", "a b", "index", "x" * 300, "活动"]
    files = [campaign_pages.file_of(name) for name in names]
    assert len(set(files)) == len(names)
    assert "index.html" not in files
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,70}\.html", file) for file in files)
