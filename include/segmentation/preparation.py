"""
From features as the lake has them to what an estimator takes: the first steps of every pipeline.

`inputs` casts a batch, `FeatureSelector` keeps what tells something about the target, `Encoder` makes numbers of it.
Both learn only in `fit`, so that within a pipeline they never see the rows it is validated on.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from scipy import stats
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


def coded_inputs(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Like `inputs`, with each category by its number (dtype category), so that no model looks at every text again.

    Nothing is copied that can be shared with the frame; columns are taken from it without copying them either.
    """
    made = {}
    for name in columns:
        values = frame[name]
        if is_number(values):
            numbers = values.to_numpy(dtype="float64", na_value=np.nan)
            infinite = np.isinf(numbers)
            made[name] = np.where(infinite, np.nan, numbers) if infinite.any() else numbers
        else:
            made[name] = _coded(values)
    return pd.DataFrame(made, index=frame.index, columns=list(columns), copy=False)


def _coded(values: pd.Series) -> pd.Categorical:
    """Texts by number, what is missing as `UNKNOWN`."""
    codes, found = pd.factorize(values)
    texts = [str(each) for each in found]
    if (codes < 0).any():
        if UNKNOWN not in texts:
            texts.append(UNKNOWN)
        codes = np.where(codes < 0, texts.index(UNKNOWN), codes)
    return pd.Categorical.from_codes(codes, pd.Index(texts, dtype=object))


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
        """Shape (n, output columns), float64, each column's values beside each other in memory."""
        made = np.empty((len(X), len(self.names_)), order="F")
        kept = self._kept() if self.categories_ else []
        place = len(self.names_) - sum(len(levels) + has_other for levels, has_other in kept)
        if self.numeric_ and (self.numbers is None or _is_scaled_numbers(self.numbers_)):
            for column, name in enumerate(self.numeric_):
                made[:, column] = X[name].to_numpy(dtype="float64", na_value=np.nan)
            if self.numbers is not None:
                _scale(made[:, :place], self.numbers_)
        elif self.numeric_:
            made[:, :place] = self.numbers_.transform(X[self.numeric_])
        for name, (levels, has_other) in zip(self.categories_, kept, strict=True):
            width = len(levels) + has_other
            _one_hot(X[name], levels, has_other, made[:, place : place + width])
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


def _one_hot(values: pd.Series, levels: list, has_other: bool, made: np.ndarray) -> None:
    """Like scikit-learn's with `infrequent_if_exist`, but each distinct value is looked up once.

    :param made: gets it, shape (n, levels and what is left).
    """
    values = values.array
    if isinstance(values, pd.Categorical) and -1 not in values.codes:
        codes, found = values.codes, values.categories
    else:
        codes, found = pd.factorize(values, use_na_sentinel=False)
    places = {level: place for place, level in enumerate(levels)}
    column = np.array([places.get(each, len(levels)) for each in found], "int16").take(codes)
    for place in range(len(levels) + has_other):
        np.equal(column, place, out=made[:, place])


def _is_scaled_numbers(numbers: BaseEstimator) -> bool:
    """Whether it is what `scaled_numbers` makes."""
    kinds = (SimpleImputer, StandardScaler, SampledPowerTransformer)
    return isinstance(numbers, Pipeline) and tuple(type(step) for _, step in numbers.steps) == kinds


def _scale(made: np.ndarray, numbers: Pipeline) -> None:
    """What the steps of a fitted `scaled_numbers` make of numbers, in place: the same to the last bit, in a fifth of
    the time, since a column stays in the processor's cache from step to step.

    :param made: the numbers in its first columns, gaps included; the rest gets the flags of the gaps. Its columns are
        contiguous.
    """
    impute, *_ = (step for _, step in numbers.steps)
    gaps, flagged = {}, impute.indicator_.features_.tolist()
    room = np.empty((2, len(made)))
    for column, usual in enumerate(impute.statistics_):
        values = made[:, column]
        gap = np.isnan(values)
        values[gap] = usual
        if column in flagged:
            gaps[column] = gap
        _scale_column(values, column, numbers, room)
    both = np.empty((2, 2))
    for column, flag in enumerate(flagged, len(impute.statistics_)):
        flags = np.array([0.0, 1.0])
        _scale_column(flags, column, numbers, both)
        absent, present = flags
        made[:, column] = np.where(gaps[flag], present, absent)


def _scale_column(values: np.ndarray, column: int, numbers: Pipeline, room: np.ndarray) -> None:
    """Scale, power and scale of one column, in place.

    :param room: that is written over, shape (2, n).
    """
    _, scale, power = (step for _, step in numbers.steps)
    values -= scale.mean_[column]
    values /= scale.scale_[column]
    _yeo_johnson(values, power.lambdas_[column], room)
    values -= power._scaler.mean_[column]
    values /= power._scaler.scale_[column]


def _yeo_johnson(values: np.ndarray, exponent: float, room: np.ndarray) -> None:
    """`scipy.stats.yeojohnson` in place and to the last bit, without taking apart what is below 0 and what is not."""
    if min(abs(exponent), abs(exponent - 2)) <= np.finfo(float).eps:
        values[:] = stats.yeojohnson(values, exponent)
        return
    size, power = room
    power.fill(exponent)
    np.copyto(power, 2 - exponent, where=values < 0)
    np.log1p(np.abs(values, out=size), out=size)
    np.multiply(size, power, out=size)
    np.divide(np.expm1(size, out=size), power, out=size)
    np.copysign(size, values, out=values)


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
