"""On a simulated shop: another seed moves next to nobody, the next week few; ids, names and edits stay."""

import contextlib
import datetime as dt

import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment

from local.simulator import practice_shop
from local.simulator.settings import LAST_DAY, Settings
from segmentation import (
    aggregates,
    buyers,
    cluster,
    extract,
    features,
    lineage,
    naming,
    settings,
    tables,
    validate,
    warehouse,
)
from segmentation.buyers import Past
from segmentation.cluster_contest import Contest
from segmentation.registry import Registry
from tests.local.simulator.conftest import silent

SHOP = Settings.until(LAST_DAY, 300, customers=900, sessions=0)
WEEK = dt.timedelta(days=7)
DAY = LAST_DAY + dt.timedelta(days=1) - WEEK
CONFIG = settings.Cluster()


def known(stores, day):
    for name in tables.ENTITIES:
        extract.extract_entity(name, day, stores)
    validate.accept_raw(day, stores)
    aggregates.build_aggregates(day, stores)
    features.build_training_examples(day, stores, settings.Training(max_cutoffs=4))


@pytest.fixture(scope="module")
def shop(module_stores):
    """The training examples of a day and of a week later."""
    with warehouse.connect(module_stores.warehouse) as connection:
        practice_shop.create(connection, SHOP, 293, silent)
    known(module_stores, DAY)
    practice_shop.grow(module_stores.warehouse, 7, silent)
    known(module_stores, DAY + WEEK)
    return module_stores


@pytest.fixture(scope="module")
def trained(shop, tmp_path_factory):
    """What three trainings returned, each promoted: a day, the same day with another seed, the week after."""
    with (
        contextlib.chdir(tmp_path_factory.mktemp("registry")),  # where MLflow on SQLite keeps its artifacts
        pytest.MonkeyPatch.context() as patch,
    ):
        found = []
        for day, seed in ((DAY, 1), (DAY, 2), (DAY + WEEK, 3)):
            chosen = settings.Settings(training=settings.Training(seed=seed))
            patch.setattr(settings, "load", lambda chosen=chosen: chosen)
            found.append(cluster.train_segments(day, shop))
            Registry(shop.registry, shop.marketing).promote(found[-1]["model"], found[-1]["version"], "a test")
        registry = Registry(shop.registry, shop.marketing)
        models = [registry.load(registry.version(each["model"], each["version"])) for each in found]
        yield found, models, [text(shop, each["version"]) for each in found]


def text(stores, version):
    run = mlflow.MlflowClient(stores.registry).get_run(
        Registry(stores.registry, stores.marketing).version(tables.SEGMENTS_MODEL, version).run_id
    )
    names = ("segments.md", "lineage.csv")
    return {name: mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{name}") for name in names}


def moved(left, right):
    """The share of customers who are not in the cluster that is matched to theirs."""
    shared = lineage.overlaps(left, right, left.max() + 1, range(right.max() + 1))
    matched = dict(zip(*linear_sum_assignment(-shared), strict=True))
    return np.mean([matched.get(a) != b for a, b in zip(left, right, strict=True)])


def test_first_trainings_with_other_seeds_move_fewer_than_three_percent(shop):
    rows, past = buyers.newest(DAY, shop), buyers.past(DAY, shop, 100)
    assert isinstance(past, Past)
    labels = []
    for seed in (1, 2, 3):
        contest = Contest.of(rows, past, CONFIG, seed)
        best = contest.choose(list(contest.candidates(contest.trials(), None)))
        labels.append(contest.settled(best).pipeline.predict(rows))
    assert max(moved(labels[0], other) for other in labels[1:]) < 0.03


@pytest.mark.timeout(900)
def test_another_seed_and_the_next_week_move_few_customers(trained):
    first, again, later = (each["metrics"] for each in trained[0])
    assert "moved_share" not in first
    assert again["moved_share"] < 0.03
    assert 0 < later["moved_share"] < 0.10
    assert first.keys() >= {"separation", "stability", "silhouette", "smallest_share", "largest_share", "score"}


def test_ids_and_names_go_on(trained):
    every = [metadata for _, metadata in trained[1]]
    named = [{s["segment_id"]: (s["segment_name"], s["segment_name_zh"]) for s in each["segments"]} for each in every]
    assert named[0] == named[1] == named[2]
    assert [each["lineage"]["next_id"] for each in every] == [len(named[0]) + 1] * 3
    assert trained[2][2]["lineage.csv"].count(",kept,") == len(named[0])


def test_the_page_tells_of_every_segment(trained):
    page, (_, metadata) = trained[2][2]["segments.md"], trained[1][2]
    for segment in metadata["segments"]:
        assert f"## {segment['segment_id']} {segment['segment_name']} · {segment['segment_name_zh']}" in page
    for wanted in ("What sets it apart", "The median customer", "What they did next", "Who belongs here"):
        assert page.count(wanted) == len(metadata["segments"])
    assert trained[0][2]["metrics"]["agreement_of_rules"] >= 0.85


def test_an_edit_shows_without_a_training(trained, tmp_path):
    names = {s["segment_id"]: s["segment_name"] for s in trained[1][2][1]["segments"]}
    path = tmp_path / "segment_names.yaml"
    path.write_text("1: {en: our best, zh: 最好的客户}\n", encoding="utf-8")
    assert naming.edited(names, path=path) == {**names, 1: "our best"}


def test_the_same_customers_are_the_sample_whatever_the_week(shop):
    """Most of the first hundred; some have ordered since."""
    rows = [buyers.newest(day, shop) for day in (DAY, DAY + WEEK)]
    first = pd.merge(rows[0].head(100), rows[1].head(110), on=["orders_count", "spend_total"])
    assert len(first) > 60
