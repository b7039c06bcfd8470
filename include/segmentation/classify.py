"""
classify: `feat.training_examples` -> models `churn_90d` and `purchase_30d`.

Logistic regression on power-transformed features: its probabilities are calibrated by nature, and on the public logs it
ranks as well as boosting does. Judged on the newest cutoff whose outcome is known, by a model that learnt only from
outcomes known on that day; the registered model then learns from every outcome known on the training day. Both learn
from the features that tell something among the former's examples.
"""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn import metrics
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from segmentation import lake, pictures, selection, settings, tables
from segmentation.registry import Registry, TrainingRun
from segmentation.settings import Stores

# What names an example: who, and as known on which day
KEY = ["customer_id", "as_of_date"]


def train_classifier(model: str, day: dt.date, stores: Stores) -> dict[str, Any]:
    """Fits, judges and registers the classifier of one target on one training day, not yet promoted.

    :param model: a key of `tables.TARGETS`.
    :returns: `model`, `version` and `metrics`; or `model` and `skipped`, the reason why the data do not allow it.
    :raises selection.LeakError: a feature knows the future; what the run holds by then says which.
    """
    target, config = tables.TARGETS[model], settings.load().training
    examples = _examples(target, day, stores, config)
    with Registry(stores.registry).training(model, day) as run:
        run.params({"target": target.label, "horizon_days": target.horizon_days, **config.model_dump()})
        train, test = split(examples, target)
        reason = too_few(train, test, target, config)
        if reason:
            run.params({"skipped": reason})
            return {"model": model, "skipped": reason}
        run.dataset(examples, tables.TRAINING_EXAMPLES, target.label)
        dictionary = lake.beside(stores.lake, tables.TRAINING_EXAMPLES, day, tables.DICTIONARY)
        run.text(lake.read_text(dictionary) or "", tables.DICTIONARY)
        run.params({"train_rows": len(train), "test_rows": len(test), "test_cutoff": f"{test['as_of_date'].iloc[0]}"})
        features = _select(train, test, target, run, config)
        if not features:
            reason = "no feature that is a number varies among the training examples"
            run.params({"skipped": reason})
            return {"model": model, "skipped": reason}
        judged = pipeline(config.seed).fit(train[features], train[target.label])
        probability = judged.predict_proba(test[features])[:, 1]
        actual = test[target.label].to_numpy()
        numbers = judge(actual, probability)
        run.metrics(numbers)
        run.picture(pictures.roc(actual, probability), "roc")
        run.picture(pictures.precision_recall(actual, probability), "precision_recall")
        run.picture(pictures.calibration(actual, probability), "calibration")
        run.picture(pictures.confusion(actual, probability >= 0.5), "confusion")
        run.text(
            metrics.classification_report(actual, probability >= 0.5, zero_division=0), "classification_report.txt"
        )
        final = pipeline(config.seed).fit(examples[features], examples[target.label])
        sample = examples[features].head(100)
        metadata = {"columns": features, "target": target.label, "horizon_days": target.horizon_days}
        version = run.register(model, final, sample, final.predict_proba(sample)[:, 1], metadata)
    return {"model": model, "version": version, "metrics": numbers}


def pipeline(seed: int) -> Pipeline:
    """Imputation by the median with a flag for what was missing, power transform, logistic regression."""
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        VarianceThreshold(),
        StandardScaler(),
        PowerTransformer(),
        LogisticRegression(C=0.1, max_iter=2000, random_state=seed),
    )


def split(examples: pd.DataFrame, target: tables.Target) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, test): the newest cutoff is the test; training ends a horizon earlier: its outcomes were known then."""
    newest = examples["as_of_date"].max() if len(examples) else None
    test = examples[examples["as_of_date"] == newest]
    if newest is None:
        return examples, test
    known = newest - dt.timedelta(days=target.horizon_days)
    return examples[examples["as_of_date"] <= known], test


def too_few(train: pd.DataFrame, test: pd.DataFrame, target: tables.Target, config: settings.Training) -> str | None:
    """Why a target can't be trained, in words; None if it can."""
    if not len(train):
        return (
            f"the history is too short: no cutoff lies {2 * target.horizon_days} days or more before the training day"
        )
    for part, name in ((train, "training"), (test, "test")):
        positives = int(part[target.label].sum())
        negatives = len(part) - positives
        if min(positives, negatives) < config.min_examples:
            return (
                f"{positives} positives and {negatives} negatives of {target.label} among the {name} examples; "
                f"{config.min_examples} of each are needed"
            )
    return None


def judge(actual: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """The metrics of probabilities against outcomes, both of shape (n,); precision, recall and F1 cut at 0.5."""
    predicted = probability >= 0.5
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        actual, predicted, average="binary", zero_division=0
    )
    return {
        "auc": float(metrics.roc_auc_score(actual, probability)),
        "average_precision": float(metrics.average_precision_score(actual, probability)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "log_loss": float(metrics.log_loss(actual, probability)),
        "brier": float(metrics.brier_score_loss(actual, probability)),
        "base_rate": float(np.mean(actual)),
    }


def _select(
    train: pd.DataFrame, test: pd.DataFrame, target: tables.Target, run: TrainingRun, config: settings.Training
) -> list[str]:
    """The features that are worth learning from; what was kept and why stays in the run. No outcome of `test` is used.

    :raises selection.LeakError: a feature knows the future.
    """
    features = [column for column in train.columns if column not in tables.NOT_FEATURES]
    learnt, newest = train.set_index(KEY)[features], test.set_index(KEY)[features]
    selected = selection.select(learnt, train[target.label].to_numpy(), config, newest)
    run.text(selected.table.to_csv(index=False, float_format="%.6g"), "selection.csv")
    run.picture(pictures.feature_selection(selected.table), "selection")
    run.params({"features_kept": len(selected.kept), "features_dropped": len(features) - len(selected.kept)})
    selection.refuse_leaks(selected, target.label, config)
    return list(selected.kept)


def _examples(target: tables.Target, day: dt.date, stores: Stores, config: settings.Training) -> pd.DataFrame:
    """The examples with a known outcome; at most `max_rows`, sampled evenly.

    The label is a bool, the features are floats where they are numbers or booleans, and as they come where they are
    categories.
    """
    table = lake.read(stores.lake, tables.TRAINING_EXAMPLES, day)
    frame = table.filter(pc.is_valid(table[target.label])).to_pandas()
    if len(frame) > config.max_rows:
        frame = frame.sample(config.max_rows, random_state=config.seed).sort_index()
    fields = [field for field in table.schema if field.name not in tables.NOT_FEATURES]
    numbers = [each.name for each in fields if pa.types.is_boolean(each.type) or settings.is_number(each.type)]
    frame[numbers] = frame[numbers].astype("float64")
    frame[target.label] = frame[target.label].astype(bool)
    return frame
