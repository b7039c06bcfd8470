"""
compare: what the weekly training made against the champions -> a verdict per model, and what it would change.

The numbers of the test come from training: the champion's recipe, learnt from the same rows, on the same test cutoff.
What would change for customers is found here: the newest rows, scored by the champions, and by these with each new
model in the place of its own; and the strategies that the day would choose by either; then by all at once that may be
promoted, as each may change few customers' offers and together they may change many. The rules are in
`promotion_rules`; where they leave it open, a human gets the page that is written here.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segmentation import lake, promotion_rules, scoring, settings, strategy_changes, strategy_file, tables
from segmentation.model_artifact import UntrustedModelError
from segmentation.promotion_rules import ASK, PASS, Finding
from segmentation.registry import NoModelError, Registry, Version
from segmentation.settings import Stores
from segmentation.strategy_file import StrategiesError

# What CRMs act on, by the model that decides it; strategy and offer go by all of them
DECIDES = {
    tables.SEGMENTS_MODEL: ("segment_name",),
    tables.CHURN.model: ("churn_risk",),
    tables.NEWCOMER.model: ("new_customer_potential",),
    tables.SERVICE.model: ("service_risk",),
}
_BATCH_ROWS = 50_000
_MOVES = 10  # between strategies that are told, of some hundred that there may be


@dataclass(frozen=True)
class Difference:
    """What the new models would publish of the same customers, beside what the champions do.

    :param columns: model -> published column -> a table, from (rows) to (columns), of how many customers.
    :param unread: model -> why its champion can score nobody.
    :param unchosen: why it is not known who would get which strategy; None: it is.
    :param together: of several models, each in the place of its champion: published column -> such a table.
    """

    columns: Mapping[str, Mapping[str, pd.DataFrame]]
    unread: Mapping[str, str]
    unchosen: str | None = None
    together: Callable[[Collection[str]], Mapping[str, pd.DataFrame]] = lambda models: {}

    def shares(self, model: str) -> dict[str, float]:
        """column -> share of the customers, 0..1, for whom the model would change it."""
        return {name: changed_share(table) for name, table in self.columns.get(model, {}).items()}


def compare_models(
    day: dt.date,
    trained: Iterable[Mapping[str, Any]],
    stores: Stores,
    strategies: Path = strategy_file.CONFIG,
) -> dict[str, Any]:
    """Compares every trained version with its champion; leaves the comparison in the version's run and tags.

    :param trained: what `train_segments` and `train_target` returned.
    :param strategies: the file of strategies.
    :returns: `verdicts`: model -> `version`, `verdict` and `reasons`; `skipped`: model -> reason; `asked`: the models
        that a human decides about; `questions`: for each of these, in the same order, `subject` and `body` (Markdown).
    """
    config, registry = settings.load(), Registry(stores.registry, stores.marketing)
    results = list(trained)
    made = {result["model"]: result for result in results if "version" in result}
    champions = _champions(day, made, registry)
    new = {model: registry.version(model, result["version"]) for model, result in made.items()}
    difference = _difference(day, champions, new, registry, stores, strategies, config)
    found = {model: _findings(model, made[model]["metrics"], champions, difference, registry, config) for model in new}
    at_once = _together(found, difference, config.promotion)
    verdicts, questions = {}, {}
    for model, version in new.items():
        findings = [*found[model], *at_once.get(model, ())]
        verdict = _verdict(findings)
        reasons = [finding.words for finding in findings if finding.verdict != PASS]
        verdicts[model] = {"version": version.version, "verdict": verdict, "reasons": reasons}
        champion = champions.get(model)
        text = page(champion, verdict, findings, difference.columns.get(model, {}))
        questions[model] = {"subject": _question(version, champion), "body": text}
        registry.attach(version, "comparison.md", f"# {model} version {version.version}\n\n{text}")
        shares = {f"changed_share_{name}": share for name, share in difference.shares(model).items()}
        registry.report(version, shares, day, step=0)
        registry.tag(model, version.version, {"verdict": f"{verdict}: {'; '.join(reasons)}" if reasons else verdict})
    asked = [model for model, each in verdicts.items() if each["verdict"] == ASK]
    return {
        "verdicts": verdicts,
        "skipped": {result["model"]: result["skipped"] for result in results if "skipped" in result},
        "asked": asked,
        "questions": [questions[model] for model in asked],
    }


def _findings(
    model: str,
    metrics: Mapping[str, float],
    champions: Mapping[str, Version],
    difference: Difference,
    registry: Registry,
    config: settings.Settings,
) -> list[Finding]:
    """What every rule says of a model by itself."""
    champion = champions.get(model)
    known = registry.metrics(champion) if champion else None
    findings = promotion_rules.judge(model, metrics, known, difference.shares(model), config)
    if model in difference.unread:
        findings.append(Finding("changes", difference.unread[model], "the champion has to be read", ASK))
    elif difference.unchosen and champion:
        findings.append(Finding("changes", difference.unchosen, "the strategies have to be read", ASK))
    return findings


def _together(
    found: Mapping[str, Sequence[Finding]], difference: Difference, limits: settings.Promotion
) -> dict[str, list[Finding]]:
    """What is said besides of each model that would be promoted without a question and changes offers, if several
    would."""

    def changes_offers(model: str) -> bool:
        shares = difference.shares(model)
        return any(shares.get(name) for name in strategy_changes.COLUMNS)

    passing = [model for model, findings in found.items() if _verdict(findings) == PASS and changes_offers(model)]
    if len(passing) < 2:
        return {}
    changed = {name: changed_share(table) for name, table in difference.together(passing).items()}
    return dict.fromkeys(passing, promotion_rules.judge_together(passing, changed, limits))


def _verdict(findings: Iterable[Finding]) -> str:
    return promotion_rules.worst(finding.verdict for finding in findings)


def changed_share(table: pd.DataFrame) -> float:
    """The share, 0..1, of the customers of a from-to table that are not where they were."""
    stay = sum(int(table.loc[name, name]) for name in table.index if name in table.columns)
    return 1 - stay / int(table.to_numpy().sum())


def page(
    champion: Version | None, verdict: str, findings: Sequence[Finding], changes: Mapping[str, pd.DataFrame]
) -> str:
    """The comparison of one model, in Markdown."""
    against = f"version {champion.version} of {champion.training_day}" if champion else "no champion"
    lines = [f"Against {against}: **{verdict}**", "", "| rule | found | limits | verdict |", "|---|---|---|---|"]
    lines += [f"| {each.rule} | {each.found} | {each.limits} | {each.verdict} |" for each in findings]
    for column, table in changes.items():
        if changed_share(table) == 0 or column == "offer":  # the strategies say which
            continue
        if column == "strategy_id":
            lines += ["", "Customers whose strategy would be another, the commonest changes", "", *_moves(table)]
        else:
            lines += ["", f"Customers by `{column}`, down: now, across: then", "", *_rows(table)]
    return "\n".join([*lines, ""])


def _rows(table: pd.DataFrame) -> list[str]:
    heading = f"| | {' | '.join(table.columns)} |"
    counts = zip(table.index, table.to_numpy(), strict=True)
    rows = [f"| **{name}** | {' | '.join(f'{count:,}' for count in row)} |" for name, row in counts]
    return [heading, f"|---|{'---:|' * len(table.columns)}", *rows]


def _moves(table: pd.DataFrame) -> list[str]:
    counts = table.stack()
    moved = counts[[now != then for now, then in counts.index]].nlargest(_MOVES)
    rows = [f"| {now} | {then} | {count:,} |" for (now, then), count in moved.items() if count]
    return ["| now | then | customers |", "|---|---|---:|", *rows]


def _question(version: Version, champion: Version | None) -> str:
    instead = f" instead of version {champion.version}" if champion else ""
    return f"{version.model}: promote version {version.version} of {version.training_day}{instead}?"


def _champions(day: dt.date, made: Mapping[str, Mapping[str, Any]], registry: Registry) -> dict[str, Version]:
    """What scores the training day as yet, targets that were not trained included, but for what has been promoted
    already when this is run again."""
    found = {}
    for model in dict.fromkeys([*made, *tables.TARGETS]):
        try:
            champion = registry.resolve(model, day)
        except NoModelError:
            continue
        if model not in made or champion.version != made[model]["version"]:
            found[model] = champion
    return found


def _difference(
    day: dt.date,
    champions: Mapping[str, Version],
    new: Mapping[str, Version],
    registry: Registry,
    stores: Stores,
    strategies: Path,
    config: settings.Settings,
) -> Difference:
    """Scores the newest customers by the champions, and anew with each new model in the place of its own; chooses
    their strategies by either. A champion that cannot be read, or misses a feature, is left out and told; where there
    is none, the new model scores both times.
    """
    if not champions or tables.SEGMENTS_MODEL not in new:
        return Difference({}, {})
    features, share = _newest(day, stores, config.promotion.compared_rows)
    rows = features.to_pandas()
    loaded = {(model, version.version): registry.load(version) for model, version in new.items()}
    before, unread = {tables.SEGMENTS_MODEL: new[tables.SEGMENTS_MODEL]}, {}
    for model, version in champions.items():
        try:
            found = registry.load(version)
        except UntrustedModelError as error:
            unread[model] = f"{error}"
            continue
        missing = sorted(set(found[1]["columns"]) - set(rows.columns))
        if missing:
            unread[model] = f"version {version.version} needs features that are no more: {', '.join(missing)}"
        else:
            before[model], loaded[model, version.version] = version, found
    judged = [model for model in new if model in champions and model not in unread]
    if not judged:
        return Difference({}, unread)
    limits = scoring.value_limits(features.select(["orders_count", "spend_365d"]).to_batches, config.score)
    moment = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)

    def scores(versions: Mapping[str, Version]) -> pa.RecordBatch:
        models = scoring.champions(versions, lambda version: loaded[version.model, version.version])
        return scoring.score_batch(rows, day, moment, models, limits, config.score, has_reasons=False)

    serving = {**new, **before}
    old, *then = [scores(serving), *(scores({**serving, model: new[model]}) for model in judged)]
    columns = {
        model: {
            name: table
            for name in DECIDES.get(model, ())
            if len(table := _counted(old[name].to_pandas(), each[name].to_pandas()))
        }
        for model, each in zip(judged, then, strict=True)
    }

    def offers(batches: Sequence[pa.RecordBatch]) -> list[dict[str, pd.DataFrame]]:
        """What each of several sets of scores changes of the strategies; nothing where there are none."""
        now, *others = strategy_changes.chosen(day, stores, features, share, [old, *batches], strategies)
        return [
            {name: _counted(now[name].fillna("none"), each[name].fillna("none")) for name in strategy_changes.COLUMNS}
            if now["strategy_id"].notna().any() or each["strategy_id"].notna().any()
            else {}
            for each in others
        ]

    try:
        for model, changed in zip(judged, offers(then), strict=True):
            columns[model] |= changed
    except (StrategiesError, UntrustedModelError) as error:
        return Difference(columns, unread, f"{error}".replace("\n", " "))

    def together(models: Collection[str]) -> dict[str, pd.DataFrame]:
        [found] = offers([scores({**serving, **{model: new[model] for model in models}})])
        return found

    return Difference(columns, unread, together=together)


def _counted(old: pd.Series, new: pd.Series) -> pd.DataFrame:
    """From-to counts of those for whom there is a value before or after."""
    values = pd.DataFrame({"from": old, "to": new}).astype(object)
    known = values[values.notna().any(axis=1)].fillna("none")
    return pd.crosstab(known["from"], known["to"])


def _newest(day: dt.date, stores: Stores, most: int) -> tuple[pa.Table, float]:
    """The customers as of the training day, at most so many, evenly drawn by their place in the file; the share, 0..1,
    of all that they are."""
    path = lake.existing(stores.lake, tables.TRAINING_EXAMPLES, day)
    with lake.open_parquet(stores.lake, tables.TRAINING_EXAMPLES, day) as file:
        days = file.read(columns=["as_of_date"])["as_of_date"]
    count = pc.sum(pc.equal(days, day)).as_py()
    every = max(1, -(-count // most))
    found, seen = [], 0
    for batch in lake.batches_of(path, _BATCH_ROWS):
        rows = batch.filter(pc.equal(batch["as_of_date"], day))
        found.append(rows.take(pa.array(range((-seen) % every, rows.num_rows, every), pa.int64())))
        seen += rows.num_rows
    table = pa.Table.from_batches(found)
    return table, table.num_rows / count
