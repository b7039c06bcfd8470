"""A day's strategies on a real Postgres: chosen, checked, published; off, withheld and refused where they must be."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from segmentation import (
    gate,
    lake,
    publish,
    published_rows,
    settings,
    strategy,
    strategy_file,
    strategy_learnt,
    tables,
    validate,
    warehouse,
)
from tests import frames
from tests.segmentation.test_strategy_file import GOOD

DAY = dt.date(2026, 1, 31)
NOW = dt.datetime(2026, 1, 31, 5, tzinfo=dt.UTC)
KEY = "a key for tests only"
FEATURES = pa.schema(
    [("customer_id", pa.string()), ("order_value_mean", pa.float64()), ("gender", pa.string()),
     ("last_complaint_age_days", pa.int64()), ("videos_90d", pa.int64())]
)  # fmt: skip


@pytest.fixture
def shop(stores):
    """A day of 40 scored customers: even ones female and of the low tier, the rest male and of the high one; all but c1
    consent to email; c2 was contacted twice lately, c4 unsubscribed."""
    ids = [f"c{number}" for number in range(40)]
    scores = [
        {"customer_id": one, "as_of_date": DAY, "segment_id": 1 + n % 2, "segment_name": f"s{1 + n % 2}",
         "lifecycle_stage": "active", "value_tier": "high" if n % 2 else "low", "service_risk": "low",
         "purchase_probability_30d": 0.5, "model_versions": "{}", "scored_at": NOW, "reasons": ["bought lately"]}
        for n, one in enumerate(ids)
    ]  # fmt: skip
    write(stores, tables.CUSTOMER_SCORES, frames.typed(scores, tables.SEGMENT_COLUMNS))
    features = [
        {"customer_id": one, "order_value_mean": 50.0, "gender": "male" if n % 2 else "female"}
        for n, one in enumerate(ids)
    ]
    write(stores, tables.CUSTOMER_FEATURES, pa.Table.from_pylist(features, schema=FEATURES))
    contacts = [
        {"campaign_id": f"k{n}", "customer_id": "c2", "arm": "treatment", "contacted_at": dt.date(2026, 1, 20)}
        for n in range(2)
    ]
    contacts.append({"campaign_id": "k0", "customer_id": "c4", "arm": "treatment", "contacted_at": dt.date(2025, 1, 20),
                     "unsubscribed_at": dt.date(2025, 1, 21)})  # fmt: skip
    frames.accept(
        stores,
        DAY,
        customers=[{"customer_id": one, "email_consent": one != "c1"} for one in ids],
        campaigns=[{"campaign_id": f"k{n}", "channel": "email"} for n in range(2)],
        campaign_contacts=contacts,
    )
    return stores


def write(stores, table, data):
    lake.write(stores.lake, table, DAY, data.to_batches(), data.schema)


def chosen(shop, tmp_path, text):
    path = tmp_path / "strategies.yaml"
    path.write_text(text, encoding="utf-8")
    result = strategy.choose_strategies(DAY, shop, KEY, path)
    rows = lake.read(shop.lake, tables.STRATEGIES, DAY).to_pylist()
    return result, {row["customer_id"]: row for row in rows}


def fetched(shop, query):
    with warehouse.connect(shop.marketing) as connection:
        return warehouse.fetch(connection, query)


EVERYONE = GOOD.replace("value_tier = 'low'", "lifecycle_stage = 'active'").replace("0.1\n", "0.3\n")


def test_what_is_chosen_is_checked_and_published(shop, tmp_path):
    result, rows = chosen(shop, tmp_path, EVERYONE)
    without = {one for one, row in rows.items() if row["strategy_id"] is None}
    assert without == {"c1", "c2", "c4"}  # no consent, contacted too often, unsubscribed
    told = result["strategies"]["coupon"]
    assert (result["rows"], told["customers"], result["withheld"]) == (40, 37, None)
    assert 0 < told["held_out"] == sum(row["in_holdout"] is True for row in rows.values()) < 20
    assert told["cost"] == pytest.approx((37 - told["held_out"]) * 0.02)
    assert validate.validate_table(tables.STRATEGIES, DAY, shop)["rows"] == 40
    publish.publish_segments(DAY, shop, {"a gate": {}})
    published = fetched(
        shop, "select customer_id, strategy_id, offer, contact_channel, in_holdout from marketing.customer_segments"
    )
    assert {row[0]: row[1:] for row in published} == {
        one: (row["strategy_id"], row["offer"], row["contact_channel"], row["in_holdout"]) for one, row in rows.items()
    }
    assert rows["c0"]["offer"] == "Five per cent off"
    [(validation,)] = fetched(shop, "select validation from marketing.snapshots")
    assert validation[tables.STRATEGIES] == {"is_published": True, "withheld": None}
    assert fetched(shop, "select count(*) from marketing.segment_changes where to_strategy_id = 'coupon'") == [(37,)]


def test_a_snapshot_says_which_version_of_the_policy_its_strategies_went_by(shop, tmp_path):
    chosen(shop, tmp_path, EVERYONE)
    rows = lake.read(shop.lake, tables.STRATEGIES, DAY)
    for notes, versions in (
        ({}, {}),
        ({"policy": "4"}, {"strategy_uplift": "4"}),
        ({"policy": "4", "withheld": "x"}, {}),
    ):
        lake.write(shop.lake, tables.STRATEGIES, DAY, rows.to_batches(), rows.schema, lambda notes=notes: notes)
        publish.publish_segments(DAY, shop)
        latest = "select model_versions from marketing.snapshots order by snapshot_id desc limit 1"
        assert fetched(shop, latest) == [(versions,)]


def test_the_same_day_again_leaves_the_same_rows(shop, tmp_path):
    _, first = chosen(shop, tmp_path, EVERYONE)
    assert chosen(shop, tmp_path, EVERYONE)[1] == first


def test_what_this_shop_does_not_have_switches_a_strategy_off_and_is_said(shop, tmp_path, caplog):
    caplog.set_level("INFO")
    videos = GOOD.replace("coupon", "videos").replace("priority: 1", "priority: 2")
    videos = videos.replace("value_tier = 'low'", "videos_90d > 2 and interest_group is not null")
    result, rows = chosen(
        shop, tmp_path, GOOD + "  brakes: {service_risk: high, complaint_days: 9, low_stock: 5}\n" + videos
    )
    assert result["off"] == {"videos": "this shop has no interest_group, videos_90d"}
    assert "strategy videos is off: this shop has no interest_group, videos_90d" in caplog.text
    assert result["remarks"] == [
        "strategy coupon: brake complaint_days is off: this shop has no last_complaint_age_days",
        "strategy coupon: brake low_stock is off: this shop has no category_top or viewed_category_top",
        "strategy coupon: brake low_stock is off: this shop counts no stock",
    ]
    assert {row["strategy_id"] for row in rows.values()} == {"coupon", None}
    path = tmp_path / "strategies.yaml"
    assert strategy.matched(DAY, shop, path) == {"coupon": 20, "videos": "this shop has no interest_group, videos_90d"}


@pytest.mark.parametrize(("window", "chosen_one"), [(30.0, "coupon"), (7.5, "news")])
def test_learnt_and_assumed_margins_are_compared_over_the_same_days(shop, tmp_path, monkeypatch, window, chosen_one):
    """What is assumed of coupons in 30 days is 0.43 a contact; what news were seen to bring, in their window, 0.25."""

    class News:
        strategies_ = ("news",)

        def tell(self, known):
            return SimpleNamespace(mean=np.full((len(known), 1), 0.25), spread=np.zeros((len(known), 1)))

    found = strategy_learnt.Champion(SimpleNamespace(version="1"), News(), ["order_value_mean"], window)
    monkeypatch.setattr(strategy_learnt, "champion", lambda *_: (found, ""))
    both = EVERYONE + EVERYONE.replace("coupon", "news").replace("priority: 1", "priority: 2")
    result, rows = chosen(shop, tmp_path, both)
    assert {row["strategy_id"] for row in rows.values() if row["strategy_id"]} == {chosen_one}
    expected = {"coupon": 10 * (0.6 / 1.1 - 0.5) - 0.02, "news": 0.25 - 0.02}[chosen_one]
    assert all(row["expected_margin"] == pytest.approx(expected) for row in rows.values() if row["strategy_id"])
    assert result["model"] == published_rows.policy(DAY, shop) == "1"


def test_a_strategy_that_nobody_gets_is_told_with_its_line_and_why(shop, tmp_path):
    nobody = EVERYONE.replace("coupon", "nobody").replace("priority: 1", "priority: 2").replace("'active'", "'lapsed'")
    beaten = EVERYONE.replace("coupon", "beaten").replace("priority: 1", "priority: 3")
    result, _ = chosen(shop, tmp_path, EVERYONE + nobody + beaten)
    lines = EVERYONE.count("\n")
    assert result["remarks"] == [
        f"strategy nobody, line {lines + 1}: its condition meets nobody",
        f"strategy beaten, line {2 * lines + 1}: 40 customers meet its condition, but brakes, caps, consent or better "
        "strategies leave it none",
    ]


def test_each_strategy_that_is_delivered_is_the_best_for_somebody(stores):
    """4,000 customers of all sorts; whatever one strategy is, no other may be the better one for everybody."""
    rng = np.random.default_rng(7)
    customers = 4_000

    def some(values, p=None):
        return rng.choice(np.array(values, object), customers, p=p)

    ids = [f"c{n:04d}" for n in range(customers)]
    stage = some(["prospect", "new", "active", "lapsing", "lapsed"])
    is_buyer = stage != "prospect"
    is_new = (stage == "prospect") | (stage == "new")
    scores = {
        "customer_id": ids, "as_of_date": [DAY] * customers, "scored_at": [NOW] * customers, "lifecycle_stage": stage,
        "model_versions": ["{}"] * customers, "reasons": [["bought lately"]] * customers,
        "value_tier": np.where(is_buyer, some(["high", "medium", "low"]), None),
        "churn_risk": np.where(is_buyer, some(["high", "medium", "low"]), None),
        "new_customer_potential": np.where(is_new, some(["high", "general", "low"]), None),
        "service_risk": some(["high", "medium", "low"], [0.1, 0.1, 0.8]),
        "interest_group": np.where(is_buyer, some(["tea", "toys", None]), None),
        "preferred_channel": some(["email", "push", "web", None]),
        "purchase_probability_30d": rng.beta(1, 3, customers),
    }  # fmt: skip
    schema = pa.schema([tables.SEGMENT_COLUMNS.field(name) for name in scores])
    write(stores, tables.CUSTOMER_SCORES, pa.table({name: list(column) for name, column in scores.items()}, schema))
    shares = ("category_top_share", "coupon_share", "contact_order_rate", "contact_click_rate", "contact_open_rate",
              "video_share", "social_order_share")  # fmt: skip
    counts = {"videos_90d": 4, "articles_90d": 4, "open_tickets_count": 2, "last_visit_age_days": 60,
              "last_complaint_age_days": 400, "last_ticket_age_days": 400}  # fmt: skip
    features = {"customer_id": ids, "order_value_mean": rng.gamma(3, 20, customers), "category_top": some(["tea"]),
                "lines_per_order_mean": 1 + rng.gamma(1, 1, customers),
                "channel_top": some(["wechat", "web", "app"], [0.1, 0.5, 0.4])}  # fmt: skip
    features |= {name: rng.beta(0.5, 1.5, customers) for name in shares}
    features |= {name: rng.integers(0, most, customers) for name, most in counts.items()}
    write(stores, tables.CUSTOMER_FEATURES, pa.table({name: list(column) for name, column in features.items()}))
    consent = {"email_consent": True, "sms_consent": True, "push_consent": True}
    signed_up = [dt.date(2024, 1, 1) + dt.timedelta(days=int(n)) for n in rng.integers(0, 700, customers)]
    both = zip(ids, signed_up, strict=True)
    frames.accept(stores, DAY, customers=[{"customer_id": one, "signed_up_at": day, **consent} for one, day in both])
    told = strategy.choose_strategies(DAY, stores, KEY)
    assert told["off"] == {}
    delivered = {each.strategy.id for each in strategy_file.read()}
    counts = {name: told["strategies"].get(name, {"customers": 0})["customers"] for name in delivered}
    assert min(counts.values()) >= 3, counts
    assert all("counts no stock" in each for each in told["remarks"])


def test_without_any_strategy_that_can_be_used_nobody_gets_one(shop, tmp_path):
    result, rows = chosen(shop, tmp_path, "")
    assert (result["rows"], result["strategies"]) == (40, {})
    assert all(row["strategy_id"] is None for row in rows.values())


def test_a_gap_between_groups_keeps_the_strategies_out_of_the_snapshot(shop, tmp_path, caplog):
    result, rows = chosen(shop, tmp_path, GOOD)  # the low tier, which is female
    assert "strategies are not published: who gets an offer differs by" in result["withheld"]
    assert "of 20 female and 0.0% of 20 male" in result["withheld"]
    assert result["withheld"] in caplog.text
    assert sum(row["strategy_id"] == "coupon" for row in rows.values()) == 18  # for who looks into it
    publish.publish_segments(DAY, shop)
    assert fetched(
        shop, "select count(*), count(strategy_id), count(offer), count(in_holdout) from marketing.customer_segments"
    ) == [(40, 0, 0, 0)]
    [(validation,)] = fetched(shop, "select validation from marketing.snapshots")
    assert validation[tables.STRATEGIES] == {"is_published": False, "withheld": result["withheld"]}


def test_the_limit_of_the_gap_can_be_set(shop, tmp_path, monkeypatch):
    tolerant = settings.Settings(strategy=settings.Strategy(max_offer_gap=1))
    monkeypatch.setattr(settings, "load", lambda: tolerant)
    assert chosen(shop, tmp_path, GOOD)[0]["withheld"] is None


def test_who_withdrew_a_consent_after_the_choice_is_published_without_a_channel(shop, tmp_path):
    chosen(shop, tmp_path, EVERYONE)
    later = {"customer_id": "c3", "email_consent": False, "updated_at": dt.date(2026, 1, 30)}
    gone = {"customer_id": "c5", "profiling_consent": False, "updated_at": dt.date(2026, 1, 30)}
    frames.accept(shop, DAY, customers=[later, gone])
    publish.publish_segments(DAY, shop)
    found = "select strategy_id, contact_channel from marketing.customer_segments where customer_id in ('c3', 'c5')"
    assert fetched(shop, found) == [("coupon", None)]
    assert chosen(shop, tmp_path, EVERYONE)[1]["c5"]["strategy_id"] is None  # scored, but consents no more


def test_a_bad_file_or_key_stops_the_stage_and_leaves_the_day_as_it_was(shop, tmp_path):
    chosen(shop, tmp_path, EVERYONE)
    before = lake.read(shop.lake, tables.STRATEGIES, DAY)
    with pytest.raises(strategy_file.StrategiesError, match="line 4: coupon: who: value_tier is never 'lwo'"):
        chosen(shop, tmp_path, GOOD.replace("low", "lwo"))
    with pytest.raises(strategy.WeakKeyError, match="has 5 characters; it needs 16"):
        strategy.choose_strategies(DAY, shop, "short")
    assert lake.read(shop.lake, tables.STRATEGIES, DAY) == before


def test_the_gate_refuses_strategies_that_are_not_those_of_the_scores(shop, tmp_path):
    chosen(shop, tmp_path, EVERYONE)
    rows = lake.read(shop.lake, tables.STRATEGIES, DAY).to_pylist()[1:]
    rows[0] |= {"contact_channel": "post", "expected_margin": -1.0}
    rows[1] |= {"customer_id": "nobody"}
    write(shop, tables.STRATEGIES, pa.Table.from_pylist(rows, schema=tables.STRATEGY_COLUMNS))
    with pytest.raises(gate.GateError) as refused:
        validate.validate_table(tables.STRATEGIES, DAY, shop)
    for told in (
        "contact_channel is unknown", "expected_margin is negative", "not in score.customer_daily", "not exactly the"
    ):  # fmt: skip
        assert told in str(refused.value)
