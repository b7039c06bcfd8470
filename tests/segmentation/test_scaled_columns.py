"""Column by column comes what scikit-learn makes of the whole matrix."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from segmentation import preparation, scaled_columns


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Skewed to either side, with gaps, without any, never known, and always the same."""
    rng = np.random.default_rng(seed)
    found = {f"right_{n}": rng.gamma(1, 10, rows) for n in range(5)}
    found |= {f"left_{n}": -rng.gamma(1, 10, rows) for n in range(5)}
    found |= {
        name: np.where(rng.random(rows) < 0.3, np.nan, values) for name, values in found.items() if name[-1] > "2"
    }
    return pd.DataFrame({**found, "unknown": np.full(rows, np.nan), "same": np.full(rows, 3.0)})


@pytest.mark.parametrize("rows", [1, 5_000])
def test_what_was_fitted_by_scikit_learn_is_done_alike(rows):
    fitted, later = preparation.scaled_numbers().fit(frame(2_000, 1)), frame(rows, 2)
    expected = fitted.transform(later)
    made = np.empty((rows, expected.shape[1] + 3), order="F")
    written = scaled_columns.write(fitted, [later[name].to_numpy() for name in later.columns], made)
    assert written == expected.shape[1] > len(later.columns)
    np.testing.assert_allclose(made[:, :written], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("exponent", [-3.2, 0.0, 1e-17, 0.5, 1.0, 2.0, 2.7])
def test_the_transform_is_scipys(exponent):
    values = np.concatenate([np.random.default_rng(1).normal(0, 3, 1_000), [0.0, -0.0, 1e-9, -1e-9]])
    found = scaled_columns.yeo_johnson(values, exponent)
    np.testing.assert_allclose(found, stats.yeojohnson(values, exponent), rtol=1e-12, atol=1e-15)


def test_the_encoder_goes_by_columns_where_it_can_and_else_as_scikit_learn_does():
    rows, later = frame(500, 1), frame(300, 2)
    other = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    for numbers in (preparation.scaled_numbers(), other):
        encoder = preparation.Encoder(numbers).fit(rows)
        np.testing.assert_allclose(encoder.transform(later), encoder.numbers_.transform(later), rtol=1e-12, atol=1e-12)
    assert preparation.is_scaling(preparation.scaled_numbers())
    assert not preparation.is_scaling(other)
