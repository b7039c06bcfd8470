"""A feature that the model reads is missed when shuffled, and no other is."""

import numpy as np
import pandas as pd
import pytest

from segmentation.importance import permutation_importance


def shop(rows=2_000, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    actual = rng.random(rows) < share
    frame = pd.DataFrame(
        {
            "much": actual + rng.normal(0, 0.5, rows),
            "little": actual + rng.normal(0, 4, rows),
            "nothing": rng.normal(0, 1, rows),
            "city": pd.Categorical(rng.choice(["Ely", "Bath", None], rows)),
        },
        index=[f"c{n}" for n in range(rows)],
    )
    return frame, actual


def predict(frame):
    return frame["much"].to_numpy() + 0.1 * frame["little"].to_numpy()


def test_the_most_important_comes_first_and_what_is_not_read_loses_nothing():
    frame, actual = shop()
    table = permutation_importance(predict, frame, actual, list(frame.columns))
    assert table["feature"].tolist()[:2] == ["much", "little"]
    drops = table.set_index("feature")["auc_drop_mean"]
    assert drops["much"] > 10 * drops["little"] > 0
    assert drops["nothing"] == drops["city"] == 0


def test_the_only_feature_loses_all_that_is_above_chance():
    actual = np.arange(4_000) % 2 == 0
    frame = pd.DataFrame({"outcome": actual.astype(float), "other": 1.0})
    table = permutation_importance(lambda each: each["outcome"].to_numpy(), frame, actual, ["outcome"], repeats=20)
    assert table["feature"].tolist() == ["outcome"]
    assert table.at[0, "auc_drop_mean"] == pytest.approx(0.5, abs=0.02)
    assert 0 < table.at[0, "auc_drop_std"] < 0.03


def test_rows_are_bounded_and_a_rare_outcome_is_kept():
    frame, actual = shop(5_000, share=0.01)
    seen = []

    def watched(part):
        seen.append(part)
        return predict(part)

    permutation_importance(watched, frame, actual, ["much", "nothing"], rows=400, repeats=3)
    assert len(seen) == 1 + 2 * 3
    assert {len(part) for part in seen} == {400}
    rare = frame["much"][actual]
    assert rare.isin(seen[0]["much"]).all()
    assert len(rare) < 100


def test_categories_are_shuffled_as_they_are_and_the_frame_is_left_alone():
    frame, actual = shop(300)
    before = frame.copy()
    seen = []
    permutation_importance(lambda each: (seen.append(each["city"]), predict(each))[1], frame, actual, ["city"])
    assert {each.dtype for each in seen} == {frame["city"].dtype}
    assert seen[1].value_counts(dropna=False).to_dict() == frame["city"].value_counts(dropna=False).to_dict()
    assert not seen[1].equals(seen[0])
    pd.testing.assert_frame_equal(frame, before)


def test_the_same_seed_shuffles_alike():
    frame, actual = shop(500)
    one, two = (permutation_importance(predict, frame, actual, ["much", "little"], seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_outcomes_of_one_class_are_refused():
    frame, actual = shop(50)
    with pytest.raises(ValueError, match="one class only"):
        permutation_importance(predict, frame, np.zeros(50), ["much"])
    with pytest.raises(ValueError, match="different numbers of rows: 50, 49"):
        permutation_importance(predict, frame, actual[1:], ["much"])


def test_without_features_there_is_no_row():
    assert permutation_importance(predict, *shop(50), []).empty
