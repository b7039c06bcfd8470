"""
What the rules of promotion say of one new model: pass, ask or fail, with what was found and the limits in words.

Each rule has two limits (`settings.Promotion`): up to the first a model passes, from the second on it fails, and in
between a human decides. It fails only for what chance does not explain: with its whole 95% interval beyond the limit,
where the number has one. A rule whose number is not there does not apply.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from segmentation import settings, tables
from segmentation.settings import Promotion

PASS, ASK, FAIL = "pass", "ask", "fail"
_CHANCE = {"auc": 0.5, "spearman": 0.0}


@dataclass(frozen=True)
class Finding:
    """What one rule says of one model."""

    rule: str
    found: str
    limits: str
    verdict: str

    @property
    def words(self) -> str:
        return f"{self.found} ({self.limits})"


def judge(
    model: str,
    metrics: Mapping[str, float],
    champion: Mapping[str, float] | None,
    changed: Mapping[str, float],
    config: settings.Settings,
) -> list[Finding]:
    """What every rule that applies says of a model.

    Without a champion there is nothing to keep, and nobody is asked: what does not fail passes.

    :param metrics: what its training returned.
    :param champion: what the champion's training found of it; None: there is no champion.
    :param changed: column -> share of the customers, 0..1, for whom it would be another.
    """
    limits = config.promotion
    found = [_sizes(metrics, config.cluster)] if model == tables.SEGMENTS_MODEL else []
    found += [_chance(name, metrics[name]) for name in _CHANCE if name in metrics]
    if "value_advantage" in metrics:
        found += [_worth(metrics), _advantage(metrics)]
    if "untried_share" in metrics:
        found.append(_support(metrics["untried_share"], limits))
    if champion is not None and "changed_share_strategy" in metrics:
        found.append(_changes("strategy", metrics["changed_share_strategy"], limits))
    if champion is not None and model in tables.TARGETS:
        found.append(_gain(metrics, limits))
        found += [_promise(name, metrics, champion, limits) for name in _CHANCE if name in metrics and name in champion]
    if "auc" in metrics and "calibration_error" in metrics:
        found.append(_calibration(metrics, limits))
    if "total_ratio" in metrics:
        found.append(_total(metrics, limits))
    if "fairness_gap" in metrics:
        found.append(_fairness(metrics["fairness_gap"], champion or {}, limits))
    if "total_ratio_gap" in metrics:
        found.append(_fairness_of_spend(metrics["total_ratio_gap"], champion or {}, limits))
    found += [_changes(column, share, limits) for column, share in changed.items()]
    if champion is None:
        return [replace(each, verdict=PASS) if each.verdict == ASK else each for each in found]
    return found


def judge_together(models: Collection[str], changed: Mapping[str, float], limits: Promotion) -> list[Finding]:
    """What is said of several models that would be promoted at once: each may change little, and all of them much.

    Never fail: a human may still take some of them.

    :param changed: column -> share of the customers, 0..1, for whom it would be another.
    """
    words = f"passes up to {limits.good_changed_share:.0%}"
    called = f"with {', '.join(sorted(models))} at once"
    return [
        Finding(
            "changes together",
            f"{column} would change for {share:.1%} of the customers {called}",
            words,
            PASS if share <= limits.good_changed_share else ASK,
        )
        for column, share in changed.items()
    ]


def worst(verdicts: Iterable[str]) -> str:
    """The strictest of several verdicts; pass if there are none."""
    return max(verdicts, key=[PASS, ASK, FAIL].index, default=PASS)


def _sizes(metrics: Mapping[str, float], config: settings.Cluster) -> Finding:
    low, high = metrics["smallest_share"], metrics["largest_share"]
    fits = low >= config.min_share and high <= config.max_share
    found = f"segments hold {low:.1%} to {high:.1%} of the buyers"
    return Finding("sizes", found, f"{config.min_share:.0%} to {config.max_share:.0%}", PASS if fits else FAIL)


def _chance(name: str, number: float) -> Finding:
    called = "AUC" if name == "auc" else "Spearman's correlation"
    verdict = PASS if number > _CHANCE[name] else FAIL
    return Finding("chance", f"{called} {number:.3f} on the test cutoff", f"above {_CHANCE[name]}", verdict)


def _worth(metrics: Mapping[str, float]) -> Finding:
    """A policy that is surely worth less than to contact nobody is not used."""
    value, high = metrics["value_policy"], metrics["value_policy_high"]
    verdict = PASS if value >= 0 else FAIL if high < 0 else ASK
    return Finding("worth", f"{_of_value(metrics, 'policy')} over nobody", "passes from 0, fails surely below", verdict)


def _advantage(metrics: Mapping[str, float]) -> Finding:
    """One that is surely worth less than the best single offer for all is not used either."""
    value, high = metrics["value_advantage"], metrics["value_advantage_high"]
    verdict = PASS if value >= 0 else FAIL if high < 0 else ASK
    found = f"{_of_value(metrics, 'advantage')} over everybody the best single offer"
    return Finding("advantage", found, "passes from 0, fails surely below", verdict)


def _support(share: float, limits: Promotion) -> Finding:
    """What nobody was drawn for has a value only by what a regression takes for granted: a human should know."""
    found = (
        f"{share:.1%} of the customers would get what they were sure not to be drawn for, whose value nobody has seen"
    )
    words = f"passes up to {limits.good_changed_share:.0%}"
    return Finding("support", found, words, PASS if share <= limits.good_changed_share else ASK)


def _of_value(metrics: Mapping[str, float], name: str) -> str:
    value, low, high = (metrics[f"value_{name}{end}"] for end in ("", "_low", "_high"))
    return f"margin per customer {value:+.4f} ({low:+.4f} to {high:+.4f})"


def _gain(metrics: Mapping[str, float], limits: Promotion) -> Finding:
    name, called = "auc_gain", "AUC"
    if "auc" not in metrics:
        name, called = "spend_share_top_tenth_gain", "share of spend in the best tenth"
    words = f"passes from {limits.good_gain:+}, fails below {limits.bad_gain:+}"
    if name not in metrics:
        return Finding("gain", "the champion's recipe could not be learnt anew to compare with", words, ASK)
    gain, low, high = (metrics.get(f"{name}{end}", metrics[name]) for end in ("", "_low", "_high"))
    is_sure = gain < limits.bad_gain and high < 0
    verdict = PASS if gain >= limits.good_gain else FAIL if is_sure else ASK
    return Finding(
        "gain", f"{called} {gain:+.4f} ({low:+.4f} to {high:+.4f}) against the champion's recipe", words, verdict
    )


def _promise(name: str, metrics: Mapping[str, float], champion: Mapping[str, float], limits: Promotion) -> Finding:
    """The champion's recipe suffers as the new one does from whatever is wrong with the rows; what the champion
    promised in its time does not."""
    number, promised = metrics[name], champion[name]
    high, least = metrics.get(f"{name}_high", number), champion.get(f"{name}_low", promised)
    is_worse = high < least and promised - number > limits.most_below_promise
    called = "AUC" if name == "auc" else "Spearman's correlation"
    return Finding(
        "promise",
        f"{called} {number:.3f}, where the champion's training found {promised:.3f}",
        f"passes unless surely less, by over {limits.most_below_promise}",
        ASK if is_worse else PASS,
    )


def _calibration(metrics: Mapping[str, float], limits: Promotion) -> Finding:
    error, before = metrics["calibration_error"], metrics.get("champion_calibration_error", 0.0)
    low, good = metrics.get("calibration_error_low", error), max(limits.good_calibration_error, before)
    words = (
        f"passes up to {min(good, limits.bad_calibration_error):.3f}, fails above {limits.bad_calibration_error:.3f}"
    )
    verdict = _falling(error, low, good, limits.bad_calibration_error)
    return Finding("calibration", f"calibration error {error:.3f}", words, verdict)


def _total(metrics: Mapping[str, float], limits: Promotion) -> Finding:
    ratio = metrics["total_ratio"]
    ends = [metrics.get(f"total_ratio_{end}", ratio) for end in ("low", "high")]
    least = 0.0 if min(ends) <= 1 <= max(ends) else min(abs(end - 1) for end in ends)
    good = max(limits.good_total_off, abs(metrics.get("champion_total_ratio", 1.0) - 1))
    words = f"passes if off by up to {min(good, limits.bad_total_off):.2f}, fails above {limits.bad_total_off:.2f}"
    verdict = _falling(abs(ratio - 1), least, good, limits.bad_total_off)
    return Finding("calibration", f"foresees {ratio:.2f} times what was spent", words, verdict)


def _fairness(gap: float, champion: Mapping[str, float], limits: Promotion) -> Finding:
    good = max(limits.good_fairness_gap, champion.get("fairness_gap", 0.0))
    words = f"passes up to {min(good, limits.bad_fairness_gap):.3f}, fails above {limits.bad_fairness_gap:.3f}"
    verdict = _falling(gap, gap, good, limits.bad_fairness_gap)
    return Finding("fairness", f"true positive rates of groups differ by {gap:.3f} beyond chance", words, verdict)


def _fairness_of_spend(gap: float, champion: Mapping[str, float], limits: Promotion) -> Finding:
    good, bad = max(limits.good_ratio_gap, champion.get("total_ratio_gap", 0.0)), limits.bad_ratio_gap
    words = f"passes up to {min(good, bad):.2f}, fails above {bad:.2f}"
    found = f"spend foreseen over spent differs between groups by {gap:.2f} beyond chance"
    return Finding("fairness", found, words, _falling(gap, gap, good, bad))


def _changes(column: str, share: float, limits: Promotion) -> Finding:
    words = f"passes up to {limits.good_changed_share:.0%}, fails above {limits.bad_changed_share:.0%}"
    verdict = _falling(share, share, limits.good_changed_share, limits.bad_changed_share)
    return Finding("changes", f"{column} would change for {share:.1%} of the customers", words, verdict)


def _falling(number: float, least: float, good: float, bad: float) -> str:
    """For a number that should be small; `least` is the lower end of its interval. What is surely bad fails, even if
    the champion is no better."""
    return FAIL if least > bad else PASS if number <= min(good, bad) else ASK
