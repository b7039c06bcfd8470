"""Small champions for tests: of the make that training registers, fitted in a second, promoted without a contest."""

import datetime as dt
from collections.abc import Collection

from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer
from xgboost import XGBClassifier, XGBRegressor

from segmentation import lake, preparation, tables
from segmentation.baselines import LimitedAmount
from segmentation.ensembles import AmountEnsemble, ProbabilityEnsemble
from segmentation.registry import Registry
from segmentation.settings import Stores

RFM = ["last_order_age_days", "orders_count", "spend_total"]
BANDS = {"high": 0.5, "medium": 0.2, "low": 0.2}
_LIMITS = {"min_examples": 5, "max_chi2_p": 0.5}


def promote(stores: Stores, day: dt.date, skipped: Collection[str] = ()) -> None:
    """Trains all models but the skipped ones from the day's examples; each is its model's newest version."""
    registry = Registry(stores.registry, stores.marketing)
    examples = lake.read(stores.lake, tables.TRAINING_EXAMPLES, day)
    for model, target in tables.TARGETS.items():
        if model in skipped:
            continue
        rows = examples.filter(examples[target.label].is_valid()).to_pandas()
        columns = [name for name in rows.columns if name not in tables.NOT_FEATURES and rows[name].notna().any()]
        inputs = preparation.inputs(rows, columns)
        outcomes = rows[target.label].to_numpy(dtype=float if target.is_amount else bool)
        estimator = (_amount if target.is_amount else _probability)(inputs, outcomes)
        metadata = {"columns": columns, "target": target.label, "horizon_days": 90, "bands": BANDS}
        _register(registry, model, day, estimator, inputs.head(50), metadata)
    newest = examples.filter(examples["as_of_date"].to_numpy() == day).select(RFM).to_pandas().dropna()
    clusters = make_pipeline(PowerTransformer(), KMeans(3, n_init=2, random_state=1)).fit(newest.astype("float64"))
    segments = [{"cluster": n, "segment_id": n + 1, "segment_name": f"kind_{n + 1}"} for n in range(3)]
    metadata = {"columns": RFM, "segments": segments, "prospects": {"segment_id": 0, "segment_name": "prospects"}}
    tags = {"skipped_targets": '{"' + '": "too few", "'.join(skipped) + '": "too few"}'} if skipped else {}
    _register(registry, tables.SEGMENTS_MODEL, day, clusters, newest.astype("float64").head(50), metadata, tags)


def _register(registry, model, day, estimator, inputs, metadata, tags=None) -> None:
    with registry.training(model, day) as run:
        version = run.register(model, estimator, inputs, estimator.predict(inputs), metadata)
    registry.tag(model, version, tags or {})
    registry.promote(model, version, "for a test")


def _probability(inputs, outcomes) -> ProbabilityEnsemble:
    trees = XGBClassifier(n_estimators=15, max_depth=3, n_jobs=1, random_state=1)
    linear = _steps(preparation.scaled_numbers(), LogisticRegression(C=0.01, max_iter=500))
    members = [("linear", linear), ("xgboost", _steps(None, trees))]
    return ProbabilityEnsemble(members, slope=0.9, intercept=-0.1).fit(inputs, outcomes)


def _amount(inputs, outcomes) -> AmountEnsemble:
    trees = XGBRegressor(n_estimators=15, max_depth=3, objective="reg:tweedie", n_jobs=1, random_state=1)
    member = _steps(None, LimitedAmount(trees))
    kept = member["select"].fit(inputs, outcomes > 0).transform(inputs)
    member["model"].fit(member["encode"].fit(kept).transform(kept), outcomes)
    return AmountEnsemble.of([("xgboost", member)])


def _steps(numbers, model) -> Pipeline:
    select = preparation.FeatureSelector(_LIMITS)
    return Pipeline([("select", select), ("encode", preparation.Encoder(numbers)), ("model", model)])
