"""What versions of `strategy_uplift` hold that were made before `effect_regression`: read, so that they can be told
apart, and never used. The first version that is promoted after them takes their place."""

from sklearn.base import BaseEstimator


class EffectShape(BaseEstimator):
    """One strategy's effect, as it was learnt then."""

    def __init__(self, shape: str = "alike") -> None:
        self.shape = shape
