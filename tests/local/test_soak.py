"""What `make soak` would notice: growth beyond the shop's own, segments that are others, promises that are not kept."""

import copy
import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from local import load
from local.environment import QUICK_TRAINING
from local.errors import StackError
from local.simulator import practice_shop
from local.simulator.settings import LAST_DAY, Settings
from local.soak import course, measures, page
from local.stack import Addresses
from local.stages import CAMPAIGNS, DAILY, ERASE, WEEKLY, BareStack, Stages, Step
from segmentation import publish, retention, warehouse
from segmentation.settings import Stores
from tests.segmentation.test_publish import write_scores

DAYS = 84
FIRST = dt.date(2026, 7, 1)
PROMISE = {
    "model": "churn_90d", "metric": "auc", "as_of_date": "2026-07-01", "version": "1", "promised": 0.8,
    "promised_low": 0.77, "promised_high": 0.83, "realised": 0.78, "realised_low": 0.75, "realised_high": 0.81,
}  # fmt: skip


@pytest.fixture(scope="module")
def quiet():
    """A season in which the shop grows by a fifth, and everything with it; snapshots are full after six weeks."""

    def day(number):
        rows = 100_000 + number * 250
        return {
            "day": f"{FIRST + dt.timedelta(days=number)}",
            "seconds": {},
            "cpu": {f"{DAILY}.features": rows / 50_000, f"{DAILY}.publish": 2.0},
            "peak_mib": {f"{DAILY}.features": 400 + rows / 10_000, f"{DAILY}.publish": 390.0},
            "there": {
                "rows of the shop": rows, "tables": 32 + min(number, 42), "files of the lake": 100 + 4 * number,
                "MiB held by PostgreSQL": 60, "MiB held by MLflow": 400, "files of MLflow": 260 + 90 * (number // 7),
            },
            "moved": 0.004,
            "moved_in_a_week": 0.03 if number >= 7 else None,
            "segments": {"0": "prospects", "1": "loyal"},
        }  # fmt: skip

    return {
        "made_at": "2026-11-29 15:00", "code": "0123456789ab", "customers": 2_000, "days": DAYS, "seed": 1,
        "every_day": [day(number) for number in range(DAYS + 1)], "trainings": [], "broken": [],
        "promises": [PROMISE], "retrains": [], "erased": 12, "erased_and_there": 0,
    }  # fmt: skip


def failed(measured):
    return [what for what, _, is_so in page.verdicts(measured) if not is_so]


def test_a_quiet_season_holds(quiet):
    assert failed(quiet) == []


def each_day(measured, change):
    for number, day in enumerate(measured["every_day"]):
        change(number, day)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("no growth of files beyond the data's own",
         lambda n, day: day["there"].update({"files of the lake": 100 + n * n})),
        ("nor of tables", lambda n, day: day["there"].update({"tables": 32 + n // 14 * n // 14})),
        ("nor of memory", lambda n, day: day["there"].update({"MiB held by MLflow": 400 + max(0, n - 56) * 2})),
        ("nor of memory", lambda n, day: day["peak_mib"].update({f"{DAILY}.publish": 390 + 3 * n})),
        ("nor of run time", lambda n, day: day["cpu"].update({f"{DAILY}.publish": 2 + n * 0.03})),
        ("segments stay themselves: fewer than 10% move in a week",
         lambda n, day: day.update(moved_in_a_week=0.11 if n == 40 else 0.03)),
    ],
)  # fmt: skip
def test_what_grows_or_moves_is_noticed(quiet, what, change):
    measured = copy.deepcopy(quiet)
    each_day(measured, change)
    assert failed(measured) == [what]


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        ({}, True),
        ({"realised": 0.7, "realised_low": 0.67, "realised_high": 0.73}, False),
        ({"metric": "calibration_error", "promised": 0.02, "promised_high": 0.03, "realised": 0.09,
          "realised_low": 0.06, "realised_high": 0.12}, False),
        ({"metric": "calibration_error", "promised": 0.02, "promised_high": 0.03, "realised": 0.06,
          "realised_low": 0.03, "realised_high": 0.09}, True),
        ({"metric": "calibration_error", "promised": 0.01, "promised_high": 0.02, "realised": 0.035,
          "realised_low": 0.03, "realised_high": 0.04}, False),
        ({"metric": "total_ratio", "promised": 1.0, "promised_low": 0.95, "promised_high": 1.05, "realised": 0.86,
          "realised_low": 0.8, "realised_high": 0.92}, False),
        ({"metric": "total_ratio", "promised": 1.0, "promised_high": 1.4, "realised": 1.5, "realised_low": 1.3,
          "realised_high": 1.7}, False),
        ({"metric": "total_ratio", "promised": 1.0, "realised": 0.6, "realised_low": 0.5, "realised_high": 0.7}, False),
        ({"metric": "spearman", "promised": None, "promised_low": None}, True),
    ],
)  # fmt: skip
def test_a_promise_is_broken_where_the_intervals_say_so(quiet, change, is_kept):
    measured = copy.deepcopy(quiet) | {"promises": [PROMISE | change]}
    assert (failed(measured) == []) is is_kept


def test_breaches_and_persons_who_come_back_are_noticed(quiet):
    assert len(failed(quiet | {"broken": ["2026-07-08: feed"]})) == 1
    assert len(failed(quiet | {"erased_and_there": 1})) == 1


def test_the_page_tells_all_of_it(quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "KEPT", tmp_path / "soak.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "soak.md")
    monkeypatch.setattr(page, "PICTURE", tmp_path / "soak.png")
    page.keep(quiet)
    assert page.write()
    text = page.PAGE.read_text()
    assert "| who was erased stays away | 0 of 12 persons are there again | yes |" in text
    assert "1 of 1 measures on every day that could be judged (churn_90d on 1; on none purchase_30d," in text
    assert "at that pace a year adds " in text
    assert "1,460 files of the lake" in text
    assert "| churn_90d | auc | 1 | 0.800 | 0.780 | 0 |" in text
    assert page.PICTURE.read_bytes().startswith(b"\x89PNG")
    page.keep(quiet | {"erased_and_there": 1})
    assert not page.write()
    assert "**no**" in page.PAGE.read_text()


def test_the_page_in_the_documents_is_of_what_is_kept_beside_it():
    measured = json.loads(page.KEPT.read_text(encoding="utf-8"))
    assert page.PAGE.read_text(encoding="utf-8") == "\n".join(page._page(measured)).rstrip() + "\n"


@pytest.fixture
def stores(tmp_path, warehouse_dsn):
    return Stores(warehouse_dsn, warehouse_dsn, str(tmp_path / "lake"), "")


@pytest.fixture
def stack(stores):
    """As much of a stack as is asked for where it was published."""
    return SimpleNamespace(
        addresses=lambda: Addresses("", stores.registry, "", stores.marketing, stores.marketing),
        folders=SimpleNamespace(lake=Path(stores.lake)),
    )


def test_who_moved_and_who_is_there_is_found(stores, stack):
    days = [FIRST, FIRST + dt.timedelta(days=1)]
    for day, others in zip(days, (100, 110), strict=True):
        write_scores(stores, day, 300 - others, others=others)
        publish.publish_segments(day, stores)
    assert measures.moved(stack, days[1], days[0]) == pytest.approx(10 / 300)
    assert measures.are_in(stack, days[1], ["c7", "nobody"]) == ["c7"]
    assert measures.segments(stack) == {"1": "s1", "9": "s9"}


def test_what_is_a_day_older_each_day_is_dropped_in_time(stores, stack):
    days = [FIRST + dt.timedelta(days=number) for number in range(50)]
    for day in (days[0], days[-1]):
        write_scores(stores, day, 300, others=100)
        publish.publish_segments(day, stores)
    now = dt.datetime.now(dt.UTC)
    assert retention.drop_old_snapshots(now, stores)["snapshots"] == 0
    for _ in range(8):
        measures.age(stack)
    assert retention.drop_old_snapshots(now, stores)["snapshots"] == 1


def test_the_shop_grows_on_when_its_tables_have_more_columns(warehouse_dsn):
    settings = Settings.until(LAST_DAY, 60, customers=50)
    load.simulate(warehouse_dsn, settings, 60)
    for statement in course.ADDITIONS.values():
        with warehouse.connect(warehouse_dsn) as connection:
            warehouse.run_script(connection, statement)
    practice_shop.grow(warehouse_dsn, 7, lambda *_: None)
    with warehouse.connect(warehouse_dsn) as connection:
        [(new, without)] = warehouse.fetch(
            connection,
            "select count(*), count(*) filter (where is_gift is null) from shop.orders where ordered_at > :end",
            {"end": dt.datetime.combine(LAST_DAY + dt.timedelta(days=1), dt.time(), dt.UTC)},
        )
    assert new > 0
    assert without == new


@pytest.mark.integration
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_first_days_of_a_season(monkeypatch, tmp_path):
    """The real course: a training, daily runs, campaigns, an erasure; costs and what there is, of each day."""
    for name, value in QUICK_TRAINING.items():
        monkeypatch.setenv(name, value)
    kept = []
    course.soak(600, course.ERASE_ON + 1, 1, lambda measured: kept.append(json.loads(json.dumps(measured))))
    assert [len(each["every_day"]) for each in kept] == [1, 2, 3, 4, 5]
    measured = kept[-1]
    assert measured["erased"] == 1
    assert measured["erased_and_there"] == 0
    assert measured["broken"] == []
    last, of_erasure = measured["every_day"][-1], measured["every_day"][course.ERASE_ON]
    assert {f"{DAILY}.publish", f"{CAMPAIGNS}.evaluate"} <= last["cpu"].keys()
    assert of_erasure["cpu"][f"{ERASE}.erase"] > 0
    assert last["there"]["rows of the shop"] > measured["every_day"][0]["there"]["rows of the shop"]
    assert last["there"]["MiB held by MLflow"] > 50
    assert measured["trainings"][0]["outcomes"]["customer_segments"].startswith("version 1, champion")


@pytest.mark.integration
def test_a_run_that_fails_names_its_task(tmp_path):
    stack = BareStack(tmp_path / "stack")
    try:
        stack.up(lambda line: None)
        with pytest.raises(
            StackError,
            match=f"(?s){WEEKLY} 2026-07-01, validate_raw, failed: for good: GateError: .*the table is empty",
        ):
            Stages(stack).run(Step(WEEKLY, FIRST))
    finally:
        stack.down(lambda line: None)
