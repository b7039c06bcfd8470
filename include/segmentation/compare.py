"""
compare: what the weekly training made against the champions -> a verdict per model, and what it would change.

Each rule has two limits (`settings.Promotion`): up to the first a model passes, from the second on it fails, and in
between a human decides. A rule whose number is not there, as there is no champion or nobody to compare, does not apply.
The numbers of the test come from training: the champion's recipe, learnt from the same rows, on the same test cutoff.
What would change for customers is found here: the newest rows, scored by the champions and by the new models.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segmentation import lake, scoring, settings, tables
from segmentation.registry import NoModelError, Registry
from segmentation.settings import Stores

PASS, ASK, FAIL = "pass", "ask", "fail"
MIN_AUC = 0.5
# What CRMs act on, and the model that decides it
DECIDES = {
    tables.SEGMENTS_MODEL: "segment_name",
    tables.CHURN.model: "churn_risk",
    tables.NEWCOMER.model: "new_customer_potential",
    tables.SERVICE.model: "service_risk",
}
_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Finding:
    """What one rule says of one model."""

    rule: str
    number: float
    verdict: str
    words: str


def compare_models(day: dt.date, trained: Iterable[Mapping[str, Any]], stores: Stores) -> dict[str, Any]:
    """Compares every trained version with its champion; leaves numbers and page in the version's run.

    :param trained: what `train_segments` and `train_target` returned.
    :returns: `verdicts`: model -> `version`, `verdict` and `reasons`; `skipped`: model -> reason; `asked`: the models
        that a human decides about; `page`: all of it in Markdown.
    """
    config, registry = settings.load(), Registry(stores.registry)
    results = list(trained)
    made = {result["model"]: result for result in results if "version" in result}
    skipped = {result["model"]: result["skipped"] for result in results if "skipped" in result}
    changes = _changes(day, made, skipped, registry, stores, config)
    verdicts, pages = {}, []
    for model, result in made.items():
        changed = changes.get(model)
        share = None if changed is None else float((changed["from"] != changed["to"]).mean())
        findings = judge(model, result["metrics"], share, config)
        verdict = worst(finding.verdict for finding in findings)
        reasons = [finding.words for finding in findings if finding.verdict != PASS]
        verdicts[model] = {"version": result["version"], "verdict": verdict, "reasons": reasons}
        page = _page(model, result["version"], verdict, findings, changed)
        pages.append(page)
        version = registry.version(model, result["version"])
        registry.attach(version, "comparison.md", page)
        if share is not None:
            registry.report(version, {"changed_share": share}, day, step=0)
        registry.tag(model, result["version"], {"verdict": f"{verdict}: {'; '.join(reasons)}" if reasons else verdict})
    pages += [f"## {model}: skipped\n\n{reason}\n" for model, reason in skipped.items()]
    asked = [model for model, each in verdicts.items() if each["verdict"] == ASK]
    return {"verdicts": verdicts, "skipped": skipped, "asked": asked, "page": "\n".join(pages)}


def judge(
    model: str, metrics: Mapping[str, float], changed_share: float | None, config: settings.Settings
) -> list[Finding]:
    """What every rule that applies says of a model.

    :param metrics: what its training returned.
    :param changed_share: of the customers, 0..1, whose segment or band would be another; None without a champion.
    """
    limits, found = config.promotion, []
    if model == tables.SEGMENTS_MODEL:
        low, high = metrics["smallest_share"], metrics["largest_share"]
        fits = low >= config.cluster.min_share and high <= config.cluster.max_share
        allowed = f"{config.cluster.min_share:.0%} to {config.cluster.max_share:.0%}"
        words = f"segments hold {low:.1%} to {high:.1%} of the buyers, {'within' if fits else 'outside'} {allowed}"
        found.append(Finding("sizes", low, PASS if fits else FAIL, words))
    if "auc" in metrics:
        is_better = metrics["auc"] > MIN_AUC
        words = f"AUC {metrics['auc']:.3f} on the test cutoff is {'' if is_better else 'no '}better than chance"
        found.append(Finding("chance", metrics["auc"], PASS if is_better else FAIL, words))
    gain = "auc_gain" if "auc" in metrics else "spend_share_top_tenth_gain"
    if gain in metrics:
        called = "AUC" if gain == "auc_gain" else "share of spend in the best tenth"
        words = f"{called} {metrics[gain]:+.4f} against the champion's recipe"
        found.append(Finding("gain", metrics[gain], _rising(metrics[gain], limits.good_gain, limits.bad_gain), words))
    if "auc" in metrics and "calibration_error" in metrics:
        error, before = metrics["calibration_error"], metrics.get("champion_calibration_error", -1.0)
        verdict = _falling(error, max(limits.good_calibration_error, before), limits.bad_calibration_error)
        words = f"calibration error {error:.3f}" + (f", the champion's recipe {before:.3f}" if before >= 0 else "")
        found.append(Finding("calibration", error, verdict, words))
    if "fairness_gap" in metrics:
        gap = metrics["fairness_gap"]
        verdict = _falling(gap, limits.good_fairness_gap, limits.bad_fairness_gap)
        words = f"true positive rates of groups differ by {gap:.3f} beyond chance"
        found.append(Finding("fairness", gap, verdict, words))
    if changed_share is not None:
        verdict = _falling(changed_share, limits.good_changed_share, limits.bad_changed_share)
        words = f"{DECIDES[model]} would change for {changed_share:.1%} of the customers"
        found.append(Finding("changes", changed_share, verdict, words))
    return found


def worst(verdicts: Iterable[str]) -> str:
    """The strictest of several verdicts; pass if there are none."""
    return max(verdicts, key=[PASS, ASK, FAIL].index, default=PASS)


def _rising(number: float, good: float, bad: float) -> str:
    return PASS if number >= good else FAIL if number < bad else ASK


def _falling(number: float, good: float, bad: float) -> str:
    return PASS if number <= good else FAIL if number > bad else ASK


def _changes(
    day: dt.date,
    made: Mapping[str, Mapping[str, Any]],
    skipped: Mapping[str, str],
    registry: Registry,
    stores: Stores,
    config: settings.Settings,
) -> dict[str, pd.DataFrame]:
    """model -> `from` and `to`, the published value of each customer before and after; empty without champions."""
    before = {}
    for model in (tables.SEGMENTS_MODEL, *tables.TARGETS):
        try:
            before[model] = registry.resolve(model, day)
        except NoModelError:
            continue
    if tables.SEGMENTS_MODEL not in before:
        return {}
    after = {model: version for model, version in before.items() if model not in skipped}
    after |= {model: registry.version(model, result["version"]) for model, result in made.items()}
    rows = _newest(day, stores, config.promotion.compared_rows)
    limits = scoring.value_limits(pa.Table.from_pandas(rows[["orders_count", "spend_365d"]]), config.score)
    moment, loaded = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC), {}

    def load(version):
        key = (version.model, version.version)
        loaded[key] = loaded.get(key) or registry.load(version)
        return loaded[key]

    old, new = (
        scoring.score_batch(rows, day, moment, scoring.champions(each, load), limits, config.score).to_pandas()
        for each in (before, after)
    )
    shown = {}
    for model, column in DECIDES.items():
        if model in made and model in before:
            values = pd.DataFrame({"from": old[column], "to": new[column]}).astype(object)
            known = values.notna().any(axis=1)
            shown[model] = values[known].fillna("none")
    return {model: table for model, table in shown.items() if len(table)}


def _newest(day: dt.date, stores: Stores, most: int) -> pd.DataFrame:
    """The customers as of the training day, at most so many, evenly drawn by their place in the file."""
    path = lake.existing(stores.lake, tables.TRAINING_EXAMPLES, day)
    with lake.open_parquet(stores.lake, tables.TRAINING_EXAMPLES, day) as file:
        days = file.read(columns=["as_of_date"])["as_of_date"]
    every = max(1, -(-pc.sum(pc.equal(days, day)).as_py() // most))
    found, seen = [], 0
    for batch in lake.batches_of(path, _BATCH_ROWS):
        rows = batch.filter(pc.equal(batch["as_of_date"], day))
        found.append(rows.take(pa.array(range((-seen) % every, rows.num_rows, every), pa.int64())))
        seen += rows.num_rows
    return pa.Table.from_batches(found).to_pandas()


def _page(model: str, version: str, verdict: str, findings: list[Finding], changed: pd.DataFrame | None) -> str:
    lines = [f"## {model} version {version}: {verdict}", "", "| rule | found | verdict |", "|---|---|---|"]
    lines += [f"| {each.rule} | {each.words} | {each.verdict} |" for each in findings]
    if changed is not None and (changed["from"] != changed["to"]).any():
        table = pd.crosstab(changed["from"], changed["to"])
        names = list(table.columns)
        lines += ["", f"Customers by `{DECIDES[model]}`, rows: now, columns: then", ""]
        lines += [f"| | {' | '.join(f'{name}' for name in names)} |", f"|---|{'---:|' * len(names)}"]
        lines += [f"| {name} | {' | '.join(f'{count:,}' for count in row)} |" for name, row in
                  zip(table.index, table.to_numpy(), strict=True)]  # fmt: skip
    return "\n".join([*lines, ""])
