"""
What is written about the segments beside their model: `segments.md`, a page for marketers, and words for the pictures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segmentation import naming, settings
from segmentation.buyers import COLUMNS, Past
from segmentation.segment_rules import Rule, Rules

# column -> (what it is called, unit, how a low and a high rank are told)
_TOLD = {
    "last_order_age_days": ("last order", "days ago", "bought more lately", "have been silent for longer"),
    "orders_count": ("orders", "", "have ordered less often", "have ordered more often"),
    "spend_total": ("spend", "", "have spent less", "have spent more"),
}
_PICTURES = {
    "sizes": "how many buyers each segment holds",
    "profiles": "what sets the segments apart: mean percentile of each feature among all buyers, 50 is the average",
    "map": "a sample of buyers as the clustering sees them, along the two directions of most variance",
    "number_of_segments": "the score that numbers of segments and densities got in the search, a line per scaler",
    "stability": "how far refits on half of the buyers agree with the segments: adjusted Rand index, 1 is fully",
    "candidates": "what the score of each candidate is made of",
}


def page(segments: Sequence[Mapping[str, Any]], rules: Rules, profile: pd.DataFrame, next_: pd.DataFrame | str) -> str:
    """One page about all segments, in Markdown.

    :param segments: see `shown`.
    :param profile: mean percentile ranks, one row per segment id.
    :param next_: what `happened_next` says, by segment id; or why that is not known.
    """
    lines = [
        "# The segments",
        "",
        "| id | name | 名称 | buyers | share |",
        "|---|---|---|---|---|",
        *(
            f"| {s['segment_id']} | {s['shown_en']} | {s['shown_zh']} | {s['customers']:,} | {s['share']:.1%} |"
            for s in segments
        ),
        "",
        f"The rules below put {rules.agreement:.1%} of the buyers into the segment that they are in "
        f"(a decision tree of depth {rules.depth}). Customers without an order are segment 0.",
        "",
    ]
    if isinstance(next_, str):
        lines += [f"What customers did next is not told: {next_}.", ""]
    for segment in segments:
        known = None if isinstance(next_, str) or segment["segment_id"] not in next_.index else next_
        lines += _about(segment, rules, profile.loc[segment["segment_id"]], known)
    return "\n".join(lines)


def shown(segments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Segments of the metadata with `shown_en` and `shown_zh`: the names that the file of names leaves or gives."""
    en = naming.edited({segment["segment_id"]: segment["segment_name"] for segment in segments})
    zh = naming.edited({segment["segment_id"]: segment["segment_name_zh"] for segment in segments}, "zh")
    return [
        {**segment, "shown_en": en[segment["segment_id"]], "shown_zh": zh[segment["segment_id"]]}
        for segment in segments
    ]


def happened_next(past: Past, ids: np.ndarray) -> pd.DataFrame:
    """What the customers of each segment did after the past cutoff: index segment id.

    :param ids: the segment id of each of the past buyers, by their features of then, shape (n,).
    """
    outcomes = past.outcomes
    told = pd.DataFrame(
        {
            "customers": 1,
            "bought_near": outcomes["is_purchase"],
            "bought_far": 1 - outcomes["is_churn"],
            "spend": outcomes["spend_far"],
        }
    ).groupby(ids)
    found = told.mean().assign(customers=told.size())
    found["spend_share"] = told["spend"].sum() / max(float(outcomes["spend_far"].sum()), 1e-9)
    return found.assign(day=past.day)


def in_words(rank: pd.Series) -> str:
    """What sets a segment apart, the strongest first.

    >>> in_words(pd.Series({"last_order_age_days": 0.2, "orders_count": 0.9, "spend_total": 0.5}))
    'have ordered more often than 90% of all buyers, bought more lately than 80%'
    """
    strong = rank[(rank - 0.5).abs() > 0.1]
    order = (strong - 0.5).abs().sort_values(ascending=False, kind="stable").index
    words = []
    for column in order:
        share = max(rank[column], 1 - rank[column])
        words.append(f"{_TOLD[column][3 if rank[column] > 0.5 else 2]} than {share:.0%}")
    if not words:
        return "are much like all buyers"
    return ", ".join([f"{words[0]} of all buyers", *words[1:]])


def rule_in_words(rule: Rule) -> str:
    """A rule as people say it.

    >>> rule_in_words(Rule({"last_order_age_days": (30.0, 90.0), "orders_count": (4.0, np.inf)}, 0.1))
    'last order more than 30 and at most 90 days ago; more than 4 orders'
    """
    told = []
    for column, (above, most) in rule.limits.items():
        name, unit, *_ = _TOLD[column]
        limits = [f"more than {above:,.10g}"] if np.isfinite(above) else []
        limits += [f"at most {most:,.10g}"] if np.isfinite(most) else []
        text = " and ".join(limits)
        if name == "orders":
            name = "order" if text.endswith(" 1") else "orders"
            told.append(f"{text} {name}")
        else:
            told.append(f"{name} {text} {unit}".strip())
    return "; ".join(told) or "everyone"


def captions(segments: Sequence[Mapping[str, Any]]) -> str:
    """What the pictures show and whom their labels stand for, in both languages, in Markdown."""
    rows = (f"| {s['segment_id']} | {s['shown_en']} | {s['shown_zh']} | {s['share']:.1%} |" for s in segments)
    return "\n".join(
        [
            "# The pictures",
            "",
            *(f"- `{name}.png`: {text}" for name, text in _PICTURES.items()),
            "",
            "| id | name | 名称 | share |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _about(segment: Mapping[str, Any], rules: Rules, rank: pd.Series, next_: pd.DataFrame | None) -> list[str]:
    cluster = segment["cluster"]
    age, orders, spend = (segment[f"{column}_median"] for column in COLUMNS)
    medians = f"last order {age:.0f} days ago, {orders:.0f} orders, spend {spend:,.0f}"
    lines = [
        f"## {segment['segment_id']} {segment['shown_en']} · {segment['shown_zh']}",
        "",
        f"- **Size**: {segment['customers']:,} buyers, {segment['share']:.1%}.",
        f"- **What sets it apart**: they {in_words(rank)}.",
        f"- **The median customer**: {medians}.",
    ]
    if next_ is not None:
        targets = settings.load().targets
        told = next_.loc[segment["segment_id"]]
        lines.append(
            f"- **What they did next**: of the {told['customers']:,.0f} buyers who were here on {told['day']}, "
            f"{told['bought_near']:.0%} bought within {targets.near_days} days and {told['bought_far']:.0%} within "
            f"{targets.far_days}; they spent {told['spend']:,.0f} each by then, {told['spend_share']:.0%} of all spend."
        )
    lines.append(
        f"- **Who belongs here** ({rules.precision[cluster]:.0%} of those whom these rules take do, "
        f"{rules.recall[cluster]:.0%} of the segment is taken):"
    )
    lines += [f"  - {rule_in_words(rule)} ({rule.share:.1%} of the buyers)" for rule in rules.of[cluster]]
    return [*lines, ""]
