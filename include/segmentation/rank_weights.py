"""
What each sign that speaks for a product is worth, learnt from what customers bought next: a logistic regression.

Its coefficients are the weights of the sum that candidates are ranked by. A regression and no trees: the order is told
in one line of SQL, six numbers say why, and on the logs that it was tried on trees ranked no better.
"""

import logging

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

log = logging.getLogger(__name__)

SIGNS = ("is_own", "times", "age", "nearness", "looks", "popularity")
# Until a shop has enough to learn from: what was bought most often, then what is near, looked at and popular
USUAL = {"is_own": 2.0, "times": 2.0, "age": 0.0, "nearness": 0.5, "looks": 0.5, "popularity": 0.5}
_DIGITS = 6


def learn(lessons: pa.Table, least: int) -> dict[str, float]:
    """Sign -> weight.

    :param lessons: a row per candidate of a past day: the signs, `is_bought`, and the row's `weight`.
    :param least: purchases among them, without which the usual weights are taken.
    """
    bought = lessons["is_bought"].to_numpy().astype(bool)
    if bought.sum() < least or bought.all():
        log.info("%d purchases to learn what to recommend from, %d wanted: the usual weights", bought.sum(), least)
        return dict(USUAL)
    signs = np.column_stack([lessons[name].to_numpy().astype("float64") for name in SIGNS])
    scale = StandardScaler().fit(signs)
    each = lessons["weight"].to_numpy().astype("float64")
    model = LogisticRegression(max_iter=1_000).fit(scale.transform(signs), bought, each / each.mean())
    weights = model.coef_[0] / scale.scale_
    return {name: float(round(weight, _DIGITS)) for name, weight in zip(SIGNS, weights, strict=True)}
