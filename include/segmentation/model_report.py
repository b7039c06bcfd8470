"""
What a training run shows of a model on the test cutoff: numbers with intervals, tables and pictures.

Everything here is about rows that neither the model nor any choice has seen.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import classification_report

from segmentation import explain, fairness, importance, judge, model_pictures, pictures, reasons, settings, tables
from segmentation.contest import Contest
from segmentation.ensembles import AmountEnsemble, ProbabilityEnsemble
from segmentation.examples import Examples
from segmentation.recipes import Recipe
from segmentation.training_run import TrainingRun

_IMPORTANT, _EXPLAINED_ROWS, _SHUFFLED_ROWS, _REPEATS = 25, 1_000, 2_000, 3
_AGREEING_ROWS = 500  # for each row, exact SHAP costs up to a millisecond
# Measures that are shown as they were before calibration too
_BEFORE = ("log_loss", "brier", "calibration_error")


def contest(run: TrainingRun, held: Contest) -> None:
    """What was tried: a nested run per candidate with its trials, the comparison as a table and a picture."""
    run.text(held.table.to_csv(index=False, float_format="%.6g"), "candidates.csv")
    run.params({"chosen": held.recipe.chosen, "chosen_because": held.reason})
    for name, found in held.found.items():
        with run.nested(name) as child:
            child.params(found.params)
            row = held.table.set_index("candidate").loc[name]
            numbers = {key: row[key] for key in ("score", "score_std", "gain", "gain_low", "gain_high")}
            child.metrics({**finite(numbers), "trials": len(found.trials), "seconds": found.trials["seconds"].sum()})
            child.text(found.trials.to_csv(index=False, float_format="%.6g"), "trials.csv")
            for step, score in enumerate(found.trials["score"]):
                child.metrics({"trial_score": score}, step=step)
    if held.scores:
        rules = held.table[held.table["is_rule"].fillna(False).astype(bool)]
        baseline = rules["candidate"].iloc[0] if len(rules) else None
        is_amount = held.outcomes.dtype != bool
        measure = "less the Tweedie deviance" if is_amount else "AUC"
        run.picture(model_pictures.candidates(held.scores, held.recipe.chosen, baseline, measure), "candidates")


def learning_curve(run: TrainingRun, curve: pd.DataFrame, is_amount: bool) -> None:
    """What more examples would bring; nothing where there was nothing to validate on."""
    if curve["rows"].nunique() < 2:
        return
    run.text(curve.to_csv(index=False, float_format="%.6g"), "learning_curve.csv")
    table = curve.pivot_table(index="rows", columns="seed", values="score")
    measure = "less the Tweedie deviance" if is_amount else "AUC"
    run.picture(model_pictures.learning_curve(list(table.index), table.to_numpy(), measure=measure), "learning_curve")


def probabilities(
    run: TrainingRun,
    target: tables.Target,
    recipe: Recipe,
    ensemble: ProbabilityEnsemble,
    test: Examples,
    logits: np.ndarray,
    config: settings.Training,
) -> dict[str, float]:
    """Judges probabilities and leaves the report in the run.

    :param logits: of the ensemble's members on the test, shape (n, members).
    :returns: the metrics, `<name>_low` and `<name>_high`, `<name>_before` calibration, the gaps between groups, and
        `reasons_agreement`: the share of the customers whose three foremost kinds of reasons are those by exact SHAP.
    """
    before = expit(logits @ np.array(recipe.weights))
    probability = recipe.predicted(logits, is_amount=False)
    how: dict[str, Any] = {"threshold": recipe.threshold, "spend_falls": target is tables.CHURN}
    numbers = judge.judge(test.outcomes, probability, test.spend, **how)
    numbers |= judge.intervals(test.outcomes, probability, test.spend, **how, seed=config.seed)
    uncalibrated = judge.judge(test.outcomes, before)
    numbers |= {f"{name}_before": uncalibrated[name] for name in _BEFORE} | {"threshold": recipe.threshold}
    groups = fairness.by_group(test.groups, test.outcomes, probability, test.spend, **how, seed=config.seed)
    numbers |= fairness.largest_gaps(groups) | {"reasons_agreement": _agreement(ensemble, test, config)}
    run.text(groups.to_csv(index=False, float_format="%.6g"), "groups.csv")
    predicted = probability >= recipe.threshold
    run.text(classification_report(test.outcomes, predicted, zero_division=0), "classification_report.txt")
    run.picture(pictures.roc(test.outcomes, probability), "roc")
    run.picture(pictures.precision_recall(test.outcomes, probability), "precision_recall")
    run.picture(pictures.calibration(test.outcomes, probability, before), "calibration")
    run.picture(pictures.confusion(test.outcomes, predicted, recipe.threshold), "confusion")
    run.picture(pictures.gain(test.outcomes, probability, test.spend, how["spend_falls"]), "gain")
    run.picture(pictures.lift(test.outcomes, probability), "lift")
    run.picture(model_pictures.groups(groups), "groups")
    _explanations(run, ensemble, test, config)
    return finite(numbers)


def amounts(
    run: TrainingRun,
    recipe: Recipe,
    test: Examples,
    predicted: np.ndarray,
    config: settings.Training,
    ensemble: AmountEnsemble | None = None,
) -> dict[str, float]:
    """Judges amounts and leaves the report in the run.

    :param predicted: of the recipe's members on the test, shape (n, members), in the shop's currency.
    :param ensemble: of these members; without it nothing is said of the features.
    :returns: the metrics, `<name>_low` and `<name>_high`, `<name>_before` the factor, and the gaps between groups.
    """
    before = predicted @ np.array(recipe.weights)
    amount = recipe.predicted(predicted, is_amount=True)
    numbers = judge.judge_amounts(test.outcomes, amount)
    numbers |= judge.amount_intervals(test.outcomes, amount, seed=config.seed)
    uncalibrated = judge.judge_amounts(test.outcomes, before)
    numbers |= {f"{name}_before": uncalibrated[name] for name in ("total_ratio", "calibration_error")}
    groups = fairness.amounts_by_group(test.groups, test.outcomes, amount, seed=config.seed)
    numbers |= fairness.largest_amount_gaps(groups)
    run.text(groups.to_csv(index=False, float_format="%.6g"), "groups.csv")
    run.picture(model_pictures.groups(groups), "groups")
    run.picture(pictures.amounts(test.outcomes, amount), "amounts")
    if ensemble is not None:
        _explanations(run, ensemble, test, config)
    return finite(numbers)


def finite(numbers: dict[str, float]) -> dict[str, float]:
    """Without what is not defined."""
    return {name: float(value) for name, value in numbers.items() if np.isfinite(value)}


def columns_of(ensemble: ProbabilityEnsemble | AmountEnsemble, order: list[str]) -> list[str]:
    """The features that any member reads, in the order of a frame."""
    used = {name for _, member in ensemble.members_ for name in member.named_steps["select"].columns_}
    return [name for name in order if name in used]


def _agreement(ensemble: ProbabilityEnsemble, test: Examples, config: settings.Training) -> float:
    """`reasons.agreement` with exact SHAP on some rows, 0..1; NaN where a member has no exact one."""
    inputs = test.sampled(_AGREEING_ROWS, config.seed).features
    encoded = ensemble.encoded(inputs)
    try:
        exact = explain.contributions(ensemble, inputs, encoded, by_library=True)
    except explain.NotExplainedError:
        return np.nan
    return reasons.agreement(explain.contributions(ensemble, inputs, encoded), exact)


def _explanations(
    run: TrainingRun, ensemble: ProbabilityEnsemble | AmountEnsemble, test: Examples, config: settings.Training
) -> None:
    """What the model rests on: contributions to its logit or amount, and what shuffling costs the features that add
    most: AUC, of amounts that of telling who spends at all."""
    part = test.sampled(_EXPLAINED_ROWS, config.seed)
    found = explain.contributions(ensemble, part.features)
    table = pd.DataFrame(found.values, columns=list(found.columns), index=part.features.index)
    run.picture(model_pictures.contributions(table, part.features[list(found.columns)]), "contributions")
    by_size = table.abs().mean().sort_values(ascending=False)
    run.text(
        by_size.rename("mean_contribution").to_csv(index_label="feature", float_format="%.6g"), "contributions.csv"
    )
    shuffled = importance.permutation_importance(
        ensemble.predict if isinstance(ensemble, AmountEnsemble) else ensemble.decision_function,
        test.features,
        test.outcomes > 0,
        list(by_size.index[:_IMPORTANT]),
        rows=_SHUFFLED_ROWS,
        repeats=_REPEATS,
        seed=config.seed,
    )
    run.text(shuffled.to_csv(index=False, float_format="%.6g"), "importance.csv")
    run.picture(model_pictures.importance(shuffled), "importance")
