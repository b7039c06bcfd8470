"""
From features as the lake has them to what an estimator takes: the first steps of every pipeline.

`inputs` casts a batch, `FeatureSelector` keeps what tells something about the target, `Encoder` makes numbers of it.
Both learn only in `fit`, so that within a pipeline they never see the rows it is validated on.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler

from segmentation import selection, settings

UNKNOWN = "unknown"  # the category of a missing value
_MEAN_ROWS = 20_000  # that the means of the outputs are taken of, evenly spread


class NoFeaturesError(ValueError):
    """Nothing among the features varies."""


def inputs(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns as the pipelines take them: numbers and booleans as float64, categories as text.

    What is infinite counts as missing.

    :param frame: rows of `feat.customer_daily` or `feat.training_examples`.
    """
    made = {}
    for name in columns:
        values = frame[name]
        if is_number(values):
            numbers = values.to_numpy(dtype="float64", na_value=np.nan)
            made[name] = np.where(np.isinf(numbers), np.nan, numbers)
        else:
            made[name] = values.astype(object).where(values.notna(), UNKNOWN)
    return pd.DataFrame(made, index=frame.index, columns=list(columns))


def is_number(values: pd.Series) -> bool:
    """Whether a column holds numbers or booleans, as far as it holds anything."""
    if is_numeric_dtype(values.dtype) or is_bool_dtype(values.dtype):
        return True
    if values.dtype != object:
        return False
    # booleans with gaps are objects, and of a batch they may all be missing; texts have a type of their own
    here = np.flatnonzero(values.notna())
    return not len(here) or not isinstance(values.iloc[here[0]], str)


class FeatureSelector(TransformerMixin, BaseEstimator):
    """Keeps the features that `selection.select` finds worth learning from.

    :param limits: settings of `settings.Training`, by name; the rest has its defaults.
    :param missing_newest: feature -> share missing, 0..1, among the rows that are to be predicted.
    After `fit`: `columns_`, the features kept, in the order of the frame.
    """

    def __init__(self, limits: dict | None = None, missing_newest: dict[str, float] | None = None) -> None:
        self.limits = limits
        self.missing_newest = missing_newest

    def fit(self, X: pd.DataFrame, y: np.ndarray):  # noqa: N803 - scikit-learn's names
        """:raises NoFeaturesError: nothing varies."""
        config = settings.Training(**(self.limits or {}))
        missing = None if self.missing_newest is None else pd.Series(self.missing_newest)
        self.columns_ = list(selection.select(X, np.asarray(y) > 0, config, missing).kept)
        if not self.columns_:
            raise NoFeaturesError("no feature varies among the training examples")
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        return X[self.columns_]


class Encoder(TransformerMixin, BaseEstimator):
    """Numbers through a transformer of their own, categories as one column per level that is not rare.

    :param numbers: for the numeric columns; None leaves them as they are, gaps included, for trees.
    :param least_share: levels with a smaller share of the rows count as one, and so does what was never seen.
    After `fit`: `sources_`, the feature that each column of the output was made from; `means_`, their means, which the
    contributions of a linear model are counted from (NaN where the output has gaps).
    """

    def __init__(self, numbers: BaseEstimator | None = None, least_share: float = 0.01, most_levels: int = 20) -> None:
        self.numbers = numbers
        self.least_share = least_share
        self.most_levels = most_levels

    def fit(self, X: pd.DataFrame, y: np.ndarray | None = None):  # noqa: N803
        self.numeric_ = [name for name in X.columns if is_numeric_dtype(X[name].dtype)]
        self.categories_ = [name for name in X.columns if name not in self.numeric_]
        self.names_ = list(self.numeric_)
        self.sources_ = list(self.numeric_)
        if self.numbers is not None and self.numeric_:
            self.numbers_ = clone(self.numbers).fit(X[self.numeric_], y)
            self.names_ = [str(name) for name in self.numbers_.get_feature_names_out(self.numeric_)]
            self.sources_ = [name.removeprefix("missingindicator_") for name in self.names_]
        if self.categories_:
            self.levels_ = OneHotEncoder(
                min_frequency=self.least_share,
                max_categories=self.most_levels,
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
            ).fit(X[self.categories_].to_numpy(dtype=object))
            for name, column in zip(self.categories_, self._levels(), strict=True):
                self.names_ += [f"{name}={level}" for level in column]
                self.sources_ += [name] * len(column)
        self.means_ = self.transform(X.iloc[:: max(1, len(X) // _MEAN_ROWS)]).mean(axis=0)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """Shape (n, output columns), float64."""
        made = np.empty((len(X), len(self.names_)), order="F")
        place = 0
        if self.numeric_:
            numbers = X[self.numeric_]
            encoded = numbers.to_numpy() if self.numbers is None else self.numbers_.transform(numbers)
            place = encoded.shape[1]
            made[:, :place] = encoded
        if self.categories_:
            for name, (kept, has_other) in zip(self.categories_, self._kept(), strict=True):
                width = len(kept) + has_other
                made[:, place : place + width] = _one_hot(X[name], kept, has_other)
                place += width
        return made

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        return np.array(self.names_, dtype=object)

    def _levels(self) -> list[list[str]]:
        """The names of the output columns of each category: its frequent levels, and what is left."""
        return [[str(level) for level in kept] + ["other"] * has_other for kept, has_other in self._kept()]

    def _kept(self) -> list[tuple[list, bool]]:
        """Of each category its frequent levels, and whether there is a column for what is left."""
        found = []
        for levels, rare in zip(self.levels_.categories_, self.levels_.infrequent_categories_, strict=True):
            kept = list(levels) if rare is None else [level for level in levels if level not in set(rare)]
            found.append((kept, rare is not None))
        return found


def _one_hot(values: pd.Series, levels: list, has_other: bool) -> np.ndarray:
    """Like scikit-learn's with `infrequent_if_exist`, but each distinct value is looked up once."""
    codes, found = pd.factorize(values, use_na_sentinel=False)
    places = pd.Index(levels, dtype=object).get_indexer(pd.Index(found, dtype=object))
    known = places >= 0
    table = np.zeros((len(found), len(levels) + has_other))
    table[np.flatnonzero(known), places[known]] = 1
    if has_other:
        table[~known, -1] = 1
    return table[codes]


class SampledPowerTransformer(PowerTransformer):
    """Yeo and Johnson's (2000) transform, its exponents fitted on at most `rows` rows, evenly spread.

    :param rows: beyond which more rows change nothing but the time that fitting takes.
    """

    def __init__(self, rows: int = 20_000) -> None:
        super().__init__()
        self.rows = rows

    def fit(self, X, y=None):  # noqa: N803
        step = max(1, len(X) // self.rows)
        return super().fit(np.asarray(X)[::step])

    def fit_transform(self, X, y=None):  # noqa: N803
        return self.fit(X).transform(X)


def scaled_numbers() -> Pipeline:
    """For models that take distances or sums: the median where a value is missing, with a flag; power; scale.

    What does not vary among the rows it learns from becomes 0 there, which shrunk coefficients make nothing of.
    """
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        SampledPowerTransformer(),
    )
