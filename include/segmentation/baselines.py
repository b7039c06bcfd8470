"""
The rules that a model has to beat, as first steps and estimators of pipelines: RFM, the purchase model, usual spend.

RFM: quintiles of recency, frequency and monetary value (Hughes 1994, "Strategic Database Marketing"). The purchase
model is BG/NBD with Gamma-Gamma (see `purchase_model`), whose expectations are features.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone

RFM = ("last_order_age_days", "orders_count", "spend_total")


class Columns(TransformerMixin, BaseEstimator):
    """Keeps columns by name: a selection that needs no learning."""

    def __init__(self, columns: Sequence[str] = RFM) -> None:
        self.columns = columns

    def fit(self, X: pd.DataFrame, y=None):  # noqa: N803 - scikit-learn's names
        self.columns_ = list(self.columns)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        return X[self.columns_]


class Quintiles(TransformerMixin, BaseEstimator):
    """Each column as 1 to 5, by fifths of the rows that `fit` saw; 0 where there is no value."""

    def fit(self, X: pd.DataFrame, y=None):  # noqa: N803
        self.sources_ = [str(name) for name in X.columns]
        self.edges_ = [np.nanquantile(X[name], [0.2, 0.4, 0.6, 0.8]) for name in X.columns]
        self.means_ = self.transform(X).mean(axis=0)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """Shape (n, columns), float64."""
        values = X.to_numpy(dtype="float64")
        ranks = [1 + np.searchsorted(edges, values[:, n], side="left") for n, edges in enumerate(self.edges_)]
        return np.where(np.isnan(values), 0, np.column_stack(ranks)).astype("float64")

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        return np.array(self.sources_, dtype=object)


class KnownAmount(RegressorMixin, BaseEstimator):
    """What one column expects, times a factor that makes the sum right; the mean outcome where the column is empty."""

    def fit(self, X: pd.DataFrame, y: np.ndarray):  # noqa: N803
        """:param X: shape (n, 1)."""
        known = np.asarray(X, dtype="float64")[:, 0]
        here = np.isfinite(known)
        total = known[here].sum()
        self.factor_ = float(y[here].sum() / total) if total > 0 else 0.0
        self.unknown_ = float(y[~here].mean()) if (~here).any() else float(np.mean(y))
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        known = np.asarray(X, dtype="float64")[:, 0]
        return np.where(np.isfinite(known), self.factor_ * known, self.unknown_)


class LimitedAmount(RegressorMixin, BaseEstimator):
    """A regressor of amounts that a few very large ones do not lead astray: they count as the quantile `most` of those
    above 0. Amounts are divided by their mean first, so that the regressor's own settings suit any currency.
    """

    def __init__(self, regressor: BaseEstimator, most: float = 0.99) -> None:
        self.regressor = regressor
        self.most = most

    def fit(self, X: np.ndarray, y: np.ndarray):  # noqa: N803
        spent = y[y > 0]
        limit = float(np.quantile(spent, self.most)) if len(spent) else 1.0
        limited = np.minimum(y, limit)
        self.unit_ = float(limited.mean()) or 1.0
        self.regressor_ = clone(self.regressor).fit(X, limited / self.unit_)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        return self.unit_ * np.asarray(self.regressor_.predict(X), dtype="float64")
