"""
learn_policy: results of past campaigns and `feat.contact_examples` -> model `strategy_uplift`: what each strategy
changes for each customer.

Only randomised results count (`randomised`). What is learnt, and what to go by it would be worth, is in
`strategy_uplift`; the run in MLflow has it against everybody the best single offer, and against nobody, with intervals,
and the Qini and uplift curves as pictures. A model is registered, not promoted: that is for `compare`, the rules and a
human. How to read it: docs/policy.md.
"""

import datetime as dt
import logging
import time
from typing import Any

import numpy as np

from segmentation import policy_pictures, policy_value, randomised, settings, strategy_uplift, tables
from segmentation.policy_value import Value
from segmentation.registry import NoModelError, Registry
from segmentation.settings import Stores
from segmentation.strategy_uplift import NOBODY, Learnt, Results, StrategyUplift
from segmentation.training_run import TrainingRun

log = logging.getLogger(__name__)

_VALUES = ("nobody", "policy", "single", "advantage")
_UNIT = "margin per customer"


def learn_strategies(day: dt.date, stores: Stores) -> dict[str, Any]:
    """Learns from every randomised result that a day knows, and registers the model, not yet promoted.

    :returns: `model`, `left_out` (campaign or strategy -> why it is not learnt from), and either `version`,
        `best_single` (the strategy to give everybody, if it had to be one) and `metrics`, or `skipped`, why nothing is
        learnt.
    :raises lake.MissingDayError: the day has no `feat.contact_examples`.
    """
    begun, model = time.monotonic(), tables.UPLIFT_MODEL
    seed = settings.load().policy.seed
    found, left_out = randomised.collect(day, stores)
    results, few = _enough(found)
    left_out |= few
    for name, why in left_out.items():
        log.info("%s is not learnt from: %s", name, why)
    if results is None:
        return {"model": model, "skipped": _why(left_out), "left_out": left_out}
    registry = Registry(stores.registry, stores.marketing)
    with registry.training(model, day) as run:
        run.params(
            {
                "strategies": ", ".join(results.strategies), "contacts": len(results),
                "customers": len(set(results.customer)), "seed": seed, "columns": len(results.known.columns),
            }
        )  # fmt: skip
        run.dataset(results.known, tables.CONTACT_EXAMPLES)
        learnt = strategy_uplift.learn(results, seed)
        run.params({"foresight": learnt.model.kind, "best_single": learnt.best})
        numbers = _numbers(learnt) | _changed(registry, day, results, learnt)
        run.metrics(numbers)
        run.text(_table(results, learnt, left_out), "strategies.md")
        _draw(run, results, learnt)
        sample = results.known.head(100)
        metadata = {
            "columns": list(results.known.columns),
            "strategies": list(results.strategies),
            "window_days": randomised.window_days(results),
            "costs": dict(zip(results.strategies, results.costs.tolist(), strict=True)),
        }
        version = run.register(model, learnt.model, sample, learnt.model.predict(sample), metadata)
        run.metrics({"training_seconds": time.monotonic() - begun})
    return {
        "model": model, "version": version, "best_single": learnt.best, "metrics": numbers, "left_out": left_out,
    }  # fmt: skip


def _enough(results: Results | None) -> tuple[Results | None, dict[str, str]]:
    """(the results of strategies that have enough of them, or None; why the others are left out)."""
    if results is None:
        return None, {}
    few = results.too_few()
    places = [place for place, name in enumerate(results.strategies) if name not in few]
    return (results.of(places) if places else None), few


def _why(left_out: dict[str, str]) -> str:
    if not left_out:
        return "no campaign of a strategy is over that held somebody out"
    name, why = next(iter(left_out.items()))
    return f"none of {len(left_out)} campaigns and strategies has results to learn from; {name}: {why}"


def _numbers(learnt: Learnt) -> dict[str, float]:
    """The values as metrics: `value_<name>`, and its interval `.._low`, `.._high`."""
    found = {}
    for name in _VALUES:
        value: Value = getattr(learnt, name)
        found |= {f"value_{name}": value.mean, f"value_{name}_low": value.low, f"value_{name}_high": value.high}
    return {**found, "draws_known_share": learnt.drawn_known, "untried_share": learnt.untried,
            **{f"chosen_share_{name}": share for name, share in learnt.chosen.items()}}  # fmt: skip


def _changed(registry: Registry, day: dt.date, results: Results, learnt: Learnt) -> dict[str, float]:
    """For which share of these customers the champion would choose something else; nothing without one."""
    try:
        champion, metadata = registry.load(registry.resolve(tables.UPLIFT_MODEL, day))
    except NoModelError:
        return {}
    if set(metadata["columns"]) - set(results.known.columns) or not strategy_uplift.is_readable(champion):
        return {}
    now = _chosen(champion, metadata, results)
    return {"changed_share_strategy": float(np.mean(now != _chosen(learnt.model, None, results)))}


def _chosen(model: StrategyUplift, metadata: dict[str, Any] | None, results: Results) -> np.ndarray:
    """The strategy by the mean effect less cost, ids, shape (n,); empty text: none."""
    known = results.known if metadata is None else results.known[metadata["columns"]]
    told = dict(zip(model.strategies_, model.predict(known).T, strict=True))
    effects = np.column_stack(
        [told.get(name, np.full(len(results), -np.inf)) - cost
         for name, cost in zip(results.strategies, results.costs, strict=True)]
    )  # fmt: skip
    places = strategy_uplift.greatest(effects, results.open_to)
    return np.where(places == NOBODY, "", np.array(results.strategies)[places])


def _table(results: Results, learnt: Learnt, left_out: dict[str, str]) -> str:
    """What was learnt of each strategy, and what was left out, in Markdown."""
    lines = ["| strategy | contacted | held out | adds on average, cost taken off | differs by | chosen for |",
             "|---|---:|---:|---|---:|---:|"]  # fmt: skip
    for place, name in enumerate(results.strategies):
        here = results.strategy == place
        value = strategy_uplift.clustered(learnt.pseudo[here], results.customer[here])
        contacted = int((here & results.is_treated).sum())
        lines.append(
            f"| {name} | {contacted:,} | {int(here.sum()) - contacted:,} | {value.mean:+.4f} ({value.low:+.4f} to "
            f"{value.high:+.4f}) | {learnt.effects[here, place].std():.4f} | {learnt.chosen[name]:.1%} |"
        )
    lines += ["", "| policy | worth per customer and contact | from | to |", "|---|---:|---:|---:|"]
    for told, value in (
        ("nobody is contacted", learnt.nobody),
        (f"everybody {learnt.best}, over nobody", learnt.single),
        ("each the best by effect, over nobody", learnt.policy),
        (f"each the best by effect, over everybody {learnt.best}", learnt.advantage),
    ):
        lines.append(f"| {told} | {value.mean:+.4f} | {value.low:+.4f} | {value.high:+.4f} |")
    if left_out:
        lines += ["", "Not learnt from:", "", *(f"- {name}: {why}" for name, why in sorted(left_out.items()))]
    return "\n".join([*lines, ""])


def _draw(run: TrainingRun, results: Results, learnt: Learnt) -> None:
    """Qini and uplift curves of each strategy, and the values, as pictures."""
    qini, gained = {}, {}
    for place, name in enumerate(results.strategies):
        here = results.strategy == place
        rank, is_treated = learnt.effects[here, place], results.is_treated[here]
        scored = np.column_stack([np.zeros(int(here.sum())), learnt.pseudo[here]])
        gained[name] = policy_value.uplift_curve(scored, 1, rank)
        net = results.outcome[here] - results.costs[place] * is_treated
        qini[name] = policy_value.qini_curve(net, is_treated, rank)
    worth = {f"everybody {learnt.best} over nobody": learnt.single, "policy over nobody": learnt.policy,
             f"policy over everybody {learnt.best}": learnt.advantage}  # fmt: skip
    for kind, figure in (
        ("qini", policy_pictures.ranking("Qini curves", qini, _UNIT)),
        ("uplift", policy_pictures.ranking("Uplift curves", gained, _UNIT)),
        ("value", policy_pictures.values("What policies are worth", worth, _UNIT)),
    ):
        run.picture(figure, kind)
    run.metrics({f"qini_area_{name}": curve.area for name, curve in qini.items()})
