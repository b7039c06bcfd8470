"""
One campaign's customers -> the rows of its results: each design, arm, metric and segment, with the checks that back it.
"""

import datetime as dt
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from segmentation import effects, observational, settings
from segmentation.effects import Effect
from segmentation.profiles import suppressed

CONTROL = "control"
RANDOMISED, OBSERVATIONAL, BEFORE_AFTER = "randomised", "observational", "before_after"
CONVERSION, REVENUE, MARGIN, SATISFACTION, UNSUBSCRIBE = METRICS = (
    "conversion", "revenue", "margin", "satisfaction", "unsubscribe",
)  # fmt: skip
_SHARES = (CONVERSION, UNSUBSCRIBE)
_MONEY = (REVENUE, MARGIN)
_WINSORISED = 0.995  # quantile above which spend before the contact counts as that much
_DAYS_FADED = 30  # of a last order, after which it counts for half
_SIZES = "sizes of the arms"


@dataclass(frozen=True)
class Campaign:
    """A campaign that is evaluated; costs in the shop's currency.

    :param holdout_share: of its customers, as the choice that it went by has it; None: it went by none.
    """

    campaign_id: str
    campaign_name: str
    strategy_id: str | None
    channel: str | None
    starts_at: dt.datetime
    ends_at: dt.datetime
    cost_per_contact: float
    fixed_cost: float
    status: str
    holdout_share: float | None = None

    def intended_shares(self, arms: Iterable[str], config: settings.Evaluate) -> dict[str, float] | None:
        """Of each arm, summing to 1: what the settings say, else of two arms what the strategy's file said; or None."""
        for name in filter(None, (self.campaign_id, self.strategy_id)):
            if name in config.intended_shares:
                return config.intended_shares[name]
        others = set(arms) - {CONTROL}
        if self.holdout_share is None or len(others) != 1 or CONTROL not in arms:
            return None
        return {CONTROL: self.holdout_share, others.pop(): 1 - self.holdout_share}


@dataclass(frozen=True)
class Found:
    """What is known of one arm, metric and segment before it is a row; a number that cannot be told is None."""

    arm: str
    metric: str
    design: str
    plain: Effect | None = None
    sharper: Effect | None = None
    segment: tuple[int, str] | None = None
    notes: tuple[str, ...] = ()
    is_trusted: bool = True

    @property
    def best(self) -> Effect | None:
        """What to go by. Which of the two it is depends on the history before the contact, never on the outcome."""
        return self.sharper or self.plain


def rows_of(
    campaign: Campaign,
    customers: pd.DataFrame,
    day: dt.date,
    config: settings.Evaluate,
    smallest_group: int,
) -> list[dict[str, Any]]:
    """The rows of `tables.RESULT_COLUMNS` of one campaign.

    :param customers: the columns of `include/sql/evaluate/outcomes.sql`, a row per customer; `arm` is None for those
        whom a campaign without a control arm did not contact.
    """
    drawn, others = customers[customers["arm"].notna()], customers[customers["arm"].isna()]
    treatments = sorted(set(drawn["arm"]) - {CONTROL})
    has_margin, found_margins = margins(customers, config)
    customers = customers.assign(margin=found_margins)
    drawn, others = customers.loc[drawn.index], customers.loc[others.index]
    found: list[Found] = []
    if CONTROL in set(drawn["arm"]):
        checks = draw_checks(campaign, drawn, config)
        found += _randomised(drawn, treatments, has_margin, config, smallest_group)
        hidden = sorted(_hidden(drawn, treatments, smallest_group))
        checks["segments_not_told"] = len(hidden)
        broken = [text for text in (each.pop("broken") for each in checks["draw"]) if text]
        found = [_distrusted(each, broken) for each in found]
        by_arm = dict.fromkeys(treatments, checks)
    else:
        found, by_arm = _observed(drawn, others, treatments, has_margin, config)
    found += [each for arm in treatments for each in _before_after(drawn[drawn["arm"] == arm], arm, smallest_group)]
    corrected = _corrected(found)
    sizes = drawn["arm"].value_counts()
    contacted = int(sizes[treatments].sum()) if treatments else 0
    return [
        _row(campaign, each, p, int(sizes[each.arm]), contacted, by_arm.get(each.arm, {}), day, drawn)
        for each, p in zip(found, corrected, strict=True)
    ]


def covariates(customers: pd.DataFrame) -> np.ndarray:
    """What the customers did in the year before the contact, shape (n, 3): spend, orders, how lately they ordered.

    Tails are cut short, so that no single customer carries the adjustment.
    """
    spend = customers["revenue_year_before"].to_numpy("float64")
    most = np.quantile(spend, _WINSORISED) if len(spend) else 0.0
    age = customers["last_order_age_days"].to_numpy("float64", na_value=math.inf)
    return np.column_stack(
        [
            np.minimum(spend, most),
            np.log1p(customers["orders_year_before"].to_numpy("float64")),
            1 / (1 + age / _DAYS_FADED),
        ]
    )


def margins(customers: pd.DataFrame, config: settings.Evaluate) -> tuple[bool, pd.Series]:
    """(whether enough of the revenue has unit costs, each one's margin).

    Revenue without costs earns what the rest earns. Where nobody bought, nothing was earned: left out, only the
    campaigns that went well would be learnt from.
    """
    if not customers["revenue"].ne(0).any():
        return True, customers["revenue"] * 0.0
    revenue, uncosted = customers["revenue"].sum(), customers["revenue_uncosted"].sum()
    if not revenue > 0 or 1 - uncosted / revenue < config.least_costed:
        return False, customers["margin"]
    rate = customers["margin"].sum() / (revenue - uncosted)
    return True, customers["margin"] + customers["revenue_uncosted"] * rate


def _randomised(
    drawn: pd.DataFrame, treatments: Sequence[str], has_margin: bool, config: settings.Evaluate, smallest: int
) -> Iterator[Found]:
    hidden = _hidden(drawn, treatments, smallest)
    named = drawn.dropna(subset=["segment_id"])
    names = named.groupby("segment_id")["segment_name"].agg(lambda names: names.mode().iloc[0])
    known_before = covariates(drawn)
    for arm in treatments:
        is_ours = drawn["arm"].isin([arm, CONTROL]).to_numpy()
        yield from _of_group(drawn[is_ours], known_before[is_ours], arm, None, has_margin, config, smallest)
        for segment_id, name in names.items():
            if segment_id not in hidden:
                inside = is_ours & (drawn["segment_id"] == segment_id).to_numpy()
                segment = (int(segment_id), str(name))
                yield from _of_group(drawn[inside], known_before[inside], arm, segment, has_margin, config, smallest)


def _of_group(
    group: pd.DataFrame,
    known_before: np.ndarray,
    arm: str,
    segment: tuple[int, str] | None,
    has_margin: bool,
    config: settings.Evaluate,
    smallest: int,
) -> Iterator[Found]:
    """Every metric of one arm beside the control, among all or in a segment."""
    is_treated = (group["arm"] == arm).to_numpy()
    for metric in METRICS:
        blank = Found(arm, metric, RANDOMISED, segment=segment)
        if metric == MARGIN and not has_margin:
            yield replace(blank, notes=(no_margin(group, config),))
            continue
        told = group[metric].notna().to_numpy()
        treated, control = (group[metric][told & side].to_numpy("float64") for side in (is_treated, ~is_treated))
        if min(len(treated), len(control)) < smallest:
            yield replace(blank, notes=(f"fewer than {smallest} customers{_who(metric)} in an arm",))
            continue
        plain = effects.of_shares(treated, control) if metric in _SHARES else effects.of_amounts(treated, control)
        sharper, notes, is_trusted = None, [], True
        if metric not in (UNSUBSCRIBE, SATISFACTION):
            sharper = effects.adjusted(treated, control, known_before[is_treated], known_before[~is_treated])
        if metric in _MONEY and min(np.count_nonzero(treated), np.count_nonzero(control)) < config.few_events:
            notes.append(f"fewer than {config.few_events} buyers in an arm: the ends of the interval are rough")
        if metric == UNSUBSCRIBE:
            notes.append("who is not contacted has hardly an occasion to unsubscribe")
        if metric == SATISFACTION:
            notes.append("of those who answered, whom nobody drew at random")
            answered = effects.of_shares(told[is_treated].astype(float), told[~is_treated].astype(float))
            if answered.p_value < config.alarm:
                is_trusted = False
                notes.append(
                    f"{answered.treatment_mean:.1%} of the treatment answered and {answered.control_mean:.1%} of the "
                    "control: these are not alike"
                )
        yield replace(blank, plain=plain, sharper=sharper, notes=tuple(notes), is_trusted=is_trusted)


def _observed(
    drawn: pd.DataFrame,
    others: pd.DataFrame,
    treatments: Sequence[str],
    has_margin: bool,
    config: settings.Evaluate,
) -> tuple[list[Found], dict[str, dict[str, Any]]]:
    """Against customers who were not contacted; (what was found, the checks of each arm)."""
    found: list[Found] = []
    checks: dict[str, dict[str, Any]] = {}
    others = others.dropna(subset=["tenure_days"])
    for arm in treatments:
        ours = drawn[(drawn["arm"] == arm) & drawn["tenure_days"].notna() & ~drawn["is_elsewhere"]]
        both = pd.concat([ours, others])
        known = np.column_stack([covariates(both), np.log1p(both["revenue_year_before"].astype(float)),
                                 np.log1p(both["tenure_days"].astype(float).clip(lower=0))])  # fmt: skip
        among = observational.compare(known, np.arange(len(both)) < len(ours), config.seed)
        checks[arm] = {"comparison": None}
        for metric in METRICS:
            blank = Found(arm, metric, OBSERVATIONAL)
            if metric in (SATISFACTION, UNSUBSCRIBE):
                why = "not known of customers who were not contacted"
                found.append(replace(blank, notes=(why,)))
            elif metric == MARGIN and not has_margin:
                found.append(replace(blank, notes=(no_margin(both, config),)))
            elif among is None:
                why = "too few customers, or too few who were not contacted and are like them"
                found.append(replace(blank, notes=(why,), is_trusted=False))
            else:
                broken = _not_alike(among, config)
                notes = ("nobody was held out: this can be wrong in what is not known of the customers", *broken)
                plain = observational.effect_on_contacted(among, both[metric].to_numpy("float64")[among.kept])
                found.append(replace(blank, plain=plain, notes=notes, is_trusted=not broken))
                elsewhere = int(drawn.loc[drawn["arm"] == arm, "is_elsewhere"].sum())
                checks[arm] = {
                    "comparison": {
                        "contacted": len(ours), "compared_share": round(among.compared, 4),
                        "not_contacted": int((~among.is_contacted).sum()), "effective": round(among.effective, 1),
                        "unlike": round(among.unlike, 4), "also_elsewhere": elsewhere,
                    }
                }  # fmt: skip
    return found, checks


def _not_alike(among: observational.Comparison, config: settings.Evaluate) -> tuple[str, ...]:
    broken = []
    if among.compared < config.least_overlap:
        broken.append(f"only {among.compared:.0%} of the contacted have their like among the others")
    if among.unlike > config.most_unlike:
        broken.append(f"the groups still lie {among.unlike:.2f} standard deviations apart")
    return tuple(broken)


def _before_after(contacted: pd.DataFrame, arm: str, smallest: int) -> Iterator[Found]:
    """The contacted in the window, and in one of the same length before it."""
    known = contacted[contacted["is_known_before"].fillna(False).astype(bool)]
    for metric in (CONVERSION, REVENUE):
        blank = Found(arm, metric, BEFORE_AFTER)
        if len(known) < smallest:
            yield replace(blank, notes=(f"fewer than {smallest} customers were there for as long before",))
            continue
        after, before = known[metric].to_numpy("float64"), known[f"{metric}_before"].to_numpy("float64")
        notes = ["a change, not an effect: seasons, and why these customers were chosen, are in it"]
        if len(known) < len(contacted):
            notes.append(f"without {len(contacted) - len(known):,} who were not there for as long before")
        yield replace(blank, plain=effects.paired(after, before), notes=tuple(notes))


def draw_checks(campaign: Campaign, drawn: pd.DataFrame, config: settings.Evaluate) -> dict[str, Any]:
    """Whether the arms look as if drawn at random, as intended: each test with its p-value, and what is broken."""
    counts = {arm: int(size) for arm, size in drawn["arm"].value_counts().sort_index().items()}
    intended = campaign.intended_shares(counts, config)
    arms = drawn["arm"].to_numpy()
    spend = drawn["revenue_year_before"].rank(pct=True, method="min").mul(5).astype(int).to_numpy()
    tests = {
        "share of the arms by segment": effects.independence(arms, drawn["segment_id"].fillna(-1).to_numpy()),
        "share of the arms by spend before": effects.independence(arms, spend),
    }
    if intended is not None:
        as_intended = effects.mismatch(counts, intended) if counts.keys() == intended.keys() else 0.0
        tests = {_SIZES: as_intended, **tests}
    draw = [
        {
            "check": name,
            "p_value": _number(p),
            "is_met": not p < config.alarm,
            "broken": _broken(name, p, counts, intended) if p < config.alarm else "",
        }
        for name, p in tests.items()
    ]
    return {"customers": counts, "intended_shares": intended, "draw": draw}


def _broken(test: str, p_value: float, counts: Mapping[str, int], intended: Mapping[str, float] | None) -> str:
    if test == _SIZES and intended is not None and counts.keys() != intended.keys():
        return f"{test}: the arms are {', '.join(counts)}, those intended {', '.join(sorted(intended))}"
    return f"{test}: not as drawn at random (p = {p_value:.2g})"


def _hidden(drawn: pd.DataFrame, treatments: Sequence[str], smallest: int) -> set[int]:
    """Segments that are not told: an arm in them is small, or can be found from the others."""
    hidden: set[int] = set()
    for arm in (*treatments, CONTROL):
        sizes = drawn[drawn["arm"] == arm]["segment_id"].value_counts()
        every = {segment: int(sizes.get(segment, 0)) for segment in drawn["segment_id"].dropna().unique()}
        hidden |= suppressed(every, smallest) | {segment for segment, size in every.items() if size == 0}
    return hidden


def _distrusted(found: Found, broken: Sequence[str]) -> Found:
    return replace(found, notes=(*broken, *found.notes), is_trusted=False) if broken else found


def _corrected(found: Sequence[Found]) -> list[float]:
    """Holm's p-values: of all customers over the arms, and of the segments over arms and segments."""
    corrected = [math.nan] * len(found)
    families: dict[tuple, list[int]] = {}
    for place, each in enumerate(found):
        families.setdefault((each.design, each.metric, each.segment is not None), []).append(place)
    for places in families.values():
        p_values = [found[place].best.p_value if found[place].best else math.nan for place in places]
        for place, p in zip(places, effects.holm(p_values), strict=True):
            corrected[place] = p
    return corrected


def _row(
    campaign: Campaign,
    found: Found,
    corrected: float,
    of_arm: int,
    contacted: int,
    checks: Mapping[str, Any],
    day: dt.date,
    drawn: pd.DataFrame,
) -> dict[str, Any]:
    plain, sharper, best = found.plain, found.sharper, found.best
    in_arm = drawn["arm"] == found.arm
    customers = int((in_arm & (drawn["segment_id"] == found.segment[0])).sum()) if found.segment else of_arm
    cost = customers * (campaign.cost_per_contact + (campaign.fixed_cost / contacted if contacted else 0))
    row = {
        **vars(campaign), "design": found.design, "arm": found.arm, "metric": found.metric,
        "segment_id": found.segment[0] if found.segment else None,
        "segment_name": found.segment[1] if found.segment else None,
        "corrected_p_value": _number(corrected), "cost": round(cost, 2), "is_trusted": found.is_trusted,
        "note": "; ".join(found.notes) or None, "as_of_date": day,
        "checks": json.dumps(checks if found.design != BEFORE_AFTER else {}),
    }  # fmt: skip
    del row["cost_per_contact"], row["fixed_cost"]
    if plain:
        row |= {
            "treatment_customers": plain.treatment_customers, "control_customers": plain.control_customers,
            "treatment_mean": _number(plain.treatment_mean), "control_mean": _number(plain.control_mean),
            "difference": _number(plain.difference), "difference_low": _number(plain.low),
            "difference_high": _number(plain.high), "p_value": _number(plain.p_value),
            "relative_lift": _number(plain.relative_lift), "minimum_detectable": _number(best.minimum_detectable),
        }  # fmt: skip
    if sharper:
        row |= {
            "adjusted_difference": sharper.difference, "adjusted_low": sharper.low, "adjusted_high": sharper.high,
            "adjusted_p_value": sharper.p_value,
            "variance_reduction": _number(1 - (sharper.error / plain.error) ** 2) if plain.error > 0 else None,
        }  # fmt: skip
    if best and found.metric in _MONEY and found.design != BEFORE_AFTER and cost > 0:
        for name, each in (("roi", best.difference), ("roi_low", best.low), ("roi_high", best.high)):
            row[name] = _number((each * customers - cost) / cost)
    return row


def no_margin(customers: pd.DataFrame, config: settings.Evaluate) -> str:
    revenue = customers["revenue"].sum()
    if not revenue > 0:
        return "no revenue to take a margin of"
    known = 1 - customers["revenue_uncosted"].sum() / revenue
    return f"unit costs are known for {known:.0%} of the revenue, {config.least_costed:.0%} are needed"


def _who(metric: str) -> str:
    return " who answered" if metric == SATISFACTION else ""


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
