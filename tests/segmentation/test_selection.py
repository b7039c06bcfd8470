"""What tells something is kept, what does not is dropped with its reason, whatever the order of rows and columns."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import chi2
from sklearn.metrics import mutual_info_score, roc_auc_score

from segmentation import pictures, selection, settings

CONFIG = settings.Training()
ROWS = 3_000


def features(rows=ROWS, seed=0):
    """(features, outcomes): two good features of which one is often missing, and every kind of useless one."""
    rng = np.random.default_rng(seed)
    silence = rng.exponential(60, rows)
    actual = rng.random(rows) < 1 / (1 + np.exp((60 - silence) / 30))
    frame = pd.DataFrame(
        {
            "useless": rng.normal(0, 1, rows),
            "nothing": np.nan,
            "country": "GB",
            "silence": silence,
            "same_but_curved": -np.log(silence + 1),
            "gap": np.where(rng.random(rows) < 0.4, np.nan, actual + rng.normal(0, 2, rows)),
            "always_one": 1.0,
            "is_consenting": np.where(actual, rng.random(rows) < 0.6, rng.random(rows) < 0.4),
            "channel": np.where(
                rng.random(rows) < 0.3, None, np.where(actual & (rng.random(rows) < 0.3), "web", "shop")
            ),
            "gender": rng.choice(["f", "m"], rows),
        },
        index=pd.MultiIndex.from_product([[f"c{n}" for n in range(rows)], [dt.date(2026, 1, 1)]]),
    )
    return frame, actual


def reasons(table):
    return dict(zip(table["feature"], table["reason"], strict=True))


def test_what_is_useless_is_dropped_and_says_why():
    selected = selection.select(*features(), CONFIG)
    (kept,) = {"silence", "same_but_curved"} & set(selected.kept)
    assert selected.kept == tuple(
        name for name in features()[0].columns if name in {kept, "gap", "is_consenting", "channel"}
    )
    why = reasons(selected.table)
    assert why["nothing"] == "no values at all"
    assert why["always_one"] == why["country"] == "constant"
    assert why["useless"].startswith("tells nothing: mutual information 0.0000 and chi-square p 0.")
    assert why["gender"].startswith("tells nothing")
    assert why["channel"] == "kept"
    (redundant,) = {"silence", "same_but_curved"} - set(selected.kept)
    assert why[redundant] == f"says the same as {kept} (Spearman -1.000)"
    row = selected.table.set_index("feature").loc[redundant]
    assert (row["same_as"], row["correlation"]) == (kept, pytest.approx(-1))


def test_each_feature_is_listed_once_and_the_best_come_first():
    frame, actual = features()
    table = selection.select(frame, actual, CONFIG).table
    assert sorted(table["feature"]) == sorted(frame.columns)
    assert table["rank"].tolist() == list(range(1, len(frame.columns) + 1))
    assert table["mutual_information"].is_monotonic_decreasing
    assert set(table["feature"][:2]) == {"silence", "same_but_curved"}
    assert set(table["feature"][-3:]) == {"nothing", "always_one", "country"}


def test_the_measures_are_those_of_scikit_learn():
    frame, actual = features()
    frame["visits"] = np.random.default_rng(5).integers(0, 3, ROWS) + actual
    table = selection.select(frame, actual, CONFIG).table.set_index("feature")
    for name, one_hot in (("visits", frame["visits"]), ("channel", frame["channel"].fillna("missing"))):
        one_hot = pd.get_dummies(one_hot)
        bins = one_hot.to_numpy().argmax(axis=1)
        excess = (one_hot.shape[1] - 1) / (2 * ROWS)
        assert table.at[name, "chi2"] == pytest.approx(chi2(one_hot, actual)[0].sum())
        assert table.at[name, "mutual_information"] == pytest.approx(mutual_info_score(actual, bins) - excess)
    assert table.at["silence", "auc"] == pytest.approx(roc_auc_score(actual, frame["silence"]))
    assert table.at["same_but_curved", "auc"] == pytest.approx(table.at["silence", "auc"])
    assert table.at["gap", "missing_share"] == frame["gap"].isna().mean()
    assert table.at["is_consenting", "variance"] == pytest.approx(frame["is_consenting"].var(ddof=0))


@pytest.mark.parametrize("rows", [ROWS, 1_000])
def test_the_order_of_rows_and_columns_does_not_matter(rows):
    frame, actual = features()
    config = settings.Training(selection_rows=rows)
    there = selection.select(frame, actual, config)
    order = np.random.default_rng(9).permutation(ROWS)
    back = selection.select(frame.iloc[order, ::-1], actual[order], config)
    pd.testing.assert_frame_equal(there.table, back.table, check_exact=True)
    assert there.kept == back.kept[::-1]
    pd.testing.assert_frame_equal(there.table, selection.select(frame, actual, config).table, check_exact=True)


def test_another_seed_draws_another_sample():
    frame, actual = features()
    one, other = (
        selection.select(frame, actual, settings.Training(selection_rows=1_000, seed=seed)) for seed in (1, 2)
    )
    assert not one.table.equals(other.table)


def test_a_sample_keeps_enough_of_a_rare_outcome():
    actual = np.arange(20_000) % 200 == 0
    frame = pd.DataFrame({"leak": actual.astype(float)}, index=[f"c{n}" for n in range(20_000)])
    config = settings.Training(selection_rows=1_000)
    assert selection.select(frame, actual, config).table["auc"].tolist() == [1]


def test_a_feature_that_is_missing_elsewhere_is_not_redundant():
    frame, actual = features()
    frame["silence_of_some"] = frame["silence"].where(np.random.default_rng(3).random(ROWS) < 0.5)
    assert "silence_of_some" in selection.select(frame, actual, CONFIG).kept


def test_what_is_known_of_a_few_others_only_is_not_redundant():
    frame, actual = features()
    place, chance = np.arange(ROWS), np.random.default_rng(3).normal(0, 0.1, ROWS)
    frame["calls"] = np.where(place < 60, actual + chance, np.nan)
    frame["visits"] = np.where((place >= 40) & (place < 100), actual + chance, np.nan)
    kept = selection.select(frame, actual, settings.Training(max_chi2_p=1, min_mutual_information=0)).kept
    assert {"calls", "visits"} <= set(kept)


def test_if_nothing_tells_anything_the_best_are_kept_and_it_says_so():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.normal(0, 1, (500, 8)), columns=list("abcdefgh")).assign(constant=1)
    actual = rng.random(500) < 0.5
    config = settings.Training(min_features=3, max_chi2_p=1e-6)
    selected = selection.select(frame, actual, config)
    assert set(selected.kept) == set(selected.table["feature"][:3])
    why = reasons(selected.table)
    assert all(why[name].startswith("kept, as no number does better: tells nothing: mutual") for name in selected.kept)
    assert selection.select(frame[["constant"]], actual, config).kept == ()


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda actual, _: actual, id="the outcome itself"),
        pytest.param(lambda actual, chance: chance - 9 * actual, id="the other way round"),
        pytest.param(lambda actual, chance: np.where(actual, chance, np.nan), id="missing unless it happens"),
        pytest.param(lambda actual, chance: np.where(actual, 3, np.sign(chance) * 5), id="between the others"),
        pytest.param(lambda actual, _: np.where(actual, "dispatched", None), id="a category"),
    ],
)
def test_a_leak_is_refused_by_name(leak):
    frame, actual = features()
    frame["delivered_days"] = leak(actual, np.random.default_rng(7).random(ROWS) - 0.5)
    selected = selection.select(frame, actual, CONFIG)
    with pytest.raises(selection.LeakError, match=r"is_purchase .*: delivered_days \(AUC 1\.000\)\. It probably"):
        selection.refuse_leaks(selected, "is_purchase", CONFIG)


def test_honest_features_are_no_leak_and_neither_is_what_few_examples_suggest():
    frame, actual = features()
    selection.refuse_leaks(selection.select(frame, actual, CONFIG), "is_purchase", CONFIG)
    selection.refuse_leaks(
        selection.select(frame.assign(name=frame.index.get_level_values(0)), actual, CONFIG), "is_purchase", CONFIG
    )
    few = selection.select(frame.assign(leak=actual).iloc[:150], actual[:150], CONFIG)
    assert few.table["auc"].isna().all()
    selection.refuse_leaks(few, "is_purchase", CONFIG)


def test_the_picture_shows_the_best_and_why_the_others_were_dropped():
    table = selection.select(*features(), CONFIG).table
    (axes,) = pictures.feature_selection(table, most=5).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == table["feature"].head(5).tolist()
    assert {text.get_text() for text in axes.texts} == {"", *table.head(5).loc[~table["kept"], "reason"]}
    assert axes.get_title() == "What each feature tells about the target: 4 of 10 kept"


def test_what_has_gone_missing_lately_is_dropped():
    """A window that most customers have fallen out of since: the model would fill it in with what it never meant."""
    frame, actual = features()
    newest = frame.copy()
    newest.loc[newest.index[: ROWS // 2], "silence"] = np.nan
    selected = selection.select(frame.drop(columns="same_but_curved"), actual, CONFIG, newest.isna().mean())
    assert reasons(selected.table)["silence"] == "missing in 0% of the rows, but 50% lately"
    assert "silence" not in selected.kept
    few = frame.copy()
    few.loc[few.index[: ROWS // 5], "silence"] = np.nan
    assert "silence" in selection.select(frame.drop(columns="same_but_curved"), actual, CONFIG, few.isna().mean()).kept
