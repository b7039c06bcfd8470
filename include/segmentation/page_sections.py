"""
The sections of the Segments page: from rows of the database to what the template shows, in the reader's language.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from segmentation import page_counts, page_pictures, settings
from segmentation.campaign_results import file_of
from segmentation.page_pictures import Move
from segmentation.page_words import Words

Row = Mapping[str, Any]
_BANDS = ("high", "medium", "low")
_MOVEMENTS, _ACTIONS = ("fast", "steady", "slow", "dead"), ("restock", "hold", "promote", "clear")
_MOST_MOVES, _MOST_RULES = 16, 4
_FACTS = (
    "lifecycle_stage", "value_tier", "expected_spend_90d", "purchase_probability_30d", "churn_probability_90d",
    "churn_risk", "service_risk", "new_customer_potential", "interest_group", "preferred_channel", "strategy_id",
    "offer", "contact_channel", "in_holdout", "recommended_products",
)  # fmt: skip


@dataclass
class Facts:
    """Rows of include/sql/page/*.sql, by the statement's name; `snapshot` None: nothing has been published."""

    snapshot: Row | None
    campaigns: Sequence[Row] = ()
    products: Sequence[Row] = ()
    quality: Sequence[Row] = ()
    segments: Sequence[Row] = ()
    trend: Sequence[Row] = ()
    counts: Sequence[Row] = ()
    models: Sequence[Row] = ()
    customer: Row | None = None
    history: Sequence[Row] = ()


def of(facts: Facts, say: Words, config: settings.Page, mlflow: str | None) -> dict[str, Any]:
    """Section -> what the template shows; None or empty where there is nothing to tell."""
    names = {row["segment_id"]: row["segment_name"] for row in (*facts.history, *facts.trend, *facts.segments)}
    shown = say.segments(names)
    return {
        "segments": [_segment(row, facts.trend, shown, say) for row in facts.segments],
        "moves": _moves(facts, shown, say),
        "risk": _risk(_of_kind(facts, page_counts.CHURN_BY_VALUE), say),
        "strategies": _strategies(_of_kind(facts, page_counts.STRATEGY), say),
        "campaigns": _campaigns(facts.campaigns, say),
        "products": _products(facts.products, say),
        "quality": _quality(facts.quality, config.quality_days),
        "models": _models(facts, say, mlflow),
        "customer": _customer(facts, shown, say),
    }


def _of_kind(facts: Facts, kind: str) -> list[Row]:
    return [row for row in facts.counts if row["kind"] == kind]


def _segment(row: Row, trend: Sequence[Row], names: Mapping[int, str], say: Words) -> dict[str, Any]:
    days = [(each["as_of_date"], each["customers"]) for each in trend if each["segment_id"] == row["segment_id"]]
    known = [(day, customers) for day, customers in days if customers is not None]
    each, customers = row["average_expected_spend_90d"], row["customers"]
    told = {}
    if len(known) > 1:
        (first, was), (last, now) = known[0], known[-1]
        told = {
            "change": f"{now / was - 1:+.1%}",
            "trend_told": say("trend_told", was=say.number(was), first=first, now=say.number(now), last=last),
        }
    return {
        "name": names[row["segment_id"]],
        "customers": customers,
        "share": row["share"],
        "each": each,
        "all": None if each is None or customers is None else each * customers,
        "churn": row["average_churn_probability_90d"],
        "points": page_pictures.line([customers for _, customers in days]),
        "apart": [
            say(
                "apart_told",
                column=say.column(each["column"]),
                value=say.value(each["value"]),
                share=say.percent(each["share"]),
                of_all=say.percent(each["of_all"]),
            )
            for each in row["sets_apart"] or []
        ],
        **told,
    }


def _moves(facts: Facts, names: Mapping[int, str], say: Words) -> dict[str, Any] | None:
    cells = _of_kind(facts, page_counts.MOVES)
    if not cells:
        return None

    def name(place: str) -> str:
        if place in (page_counts.ENTERED, page_counts.LEFT):
            return say(place)
        return names.get(int(place), place)

    told = [row for row in cells if row["customers"]]
    stayed = sum(row["customers"] for row in told if row["line"] == row["place"])
    movers = sorted((row for row in told if row["line"] != row["place"]), key=lambda row: -row["customers"])
    stayers = sorted((row for row in told if row["line"] == row["place"]), key=lambda row: -row["customers"])
    moves = [Move(name(row["line"]), name(row["place"]), row["customers"]) for row in movers]
    drawn = moves[:_MOST_MOVES]
    since, day = cells[0]["about"], facts.snapshot["as_of_date"]
    largest = "; ".join(f"{move.was} → {move.now}: {say.number(move.customers)}" for move in drawn[:5])
    return {
        "since": f"{since} → {day}",
        "lead": say(
            "moves_lead", since=since, day=day, stayed=say.number(stayed),
            moved=say.number(sum(move.customers for move in moves)),
        ),
        "has_few": any(row["customers"] is None for row in cells),
        "drawing": page_pictures.flow(drawn),
        "told": say("moves_picture", since=since, day=day, told=largest),
        "rest": say("moves_rest", shown=len(drawn), all=len(moves)) if len(moves) > len(drawn) else None,
        "lines": [*moves, *(Move(name(row["line"]), name(row["place"]), row["customers"]) for row in stayers)],
    }  # fmt: skip


def _risk(cells: Sequence[Row], say: Words) -> dict[str, Any] | None:
    if not cells:
        return None
    found = {(row["line"], row["place"]): row["customers"] for row in cells}
    risks = [risk for risk in (*_BANDS, None) if any(place == risk for _, place in found)]
    tiers = [tier for tier in _BANDS if any(line == tier for line, _ in found)]
    heads = [(risk or "none", say.value(risk) if risk else say("no_order")) for risk in risks]
    return {
        "heads": heads,
        "has_few": any(found.get((tier, risk), 0) is None for tier in tiers for risk in risks),
        "bars": [
            {
                "name": say.value(tier),
                "y": 40 * number + 18,
                "parts": page_pictures.bars([(risk or "none", found.get((tier, risk)) or 0) for risk in risks], 400),
            }
            for number, tier in enumerate(tiers)
        ],
        "lines": [
            {
                "name": say.value(tier),
                "cells": [
                    (label, say.number(found.get((tier, risk), 0)))
                    for risk, (_, label) in zip(risks, heads, strict=True)
                ],
            }
            for tier in tiers
        ],
    }


def _strategies(cells: Sequence[Row], say: Words) -> list[dict[str, Any]]:
    found = {(row["line"], row["place"]): row["customers"] for row in cells}
    offers = {row["line"]: row["about"] for row in cells}

    def size(strategy: str | None) -> tuple[bool, int]:
        both = (found.get((strategy, place)) or 0 for place in (page_counts.CONTACTED, page_counts.HELD_OUT))
        return strategy is None, -sum(both)

    return [
        {
            "name": say.strategy(strategy),
            "offer": offers[strategy] or "–",
            "contacted": say.number(found.get((strategy, page_counts.CONTACTED), 0)),
            "held_out": say.number(found.get((strategy, page_counts.HELD_OUT), 0)),
        }
        for strategy in sorted(offers, key=size)
    ]


def _campaigns(rows: Sequence[Row], say: Words) -> list[dict[str, Any]]:
    """Of each campaign and arm who ordered, and the margin, or the revenue where no margin can be told."""
    has_margin = {
        (row["campaign_id"], row["arm"]) for row in rows if row["metric"] == "margin" and row["low"] is not None
    }
    kept = [
        row
        for row in rows
        if row["metric"] == "conversion"
        or (row["metric"] == "margin") == ((row["campaign_id"], row["arm"]) in has_margin)
    ]
    ends: dict[bool, list[float]] = {True: [0.0], False: [0.0]}
    for row in kept:
        if row["low"] is not None and row["high"] is not None:
            ends[row["metric"] == "conversion"] += [row["low"], row["high"]]
    return [_effect(row, ends[row["metric"] == "conversion"], say) for row in kept]


def _effect(row: Row, ends: Sequence[float], say: Words) -> dict[str, Any]:
    difference, low, high = row["difference"], row["low"], row["high"]
    is_known = None not in (difference, low, high)
    verdict, colour = ("unknown_effect", "none")
    if is_known and not row["is_trusted"]:
        verdict, colour = ("not_trusted", "bad")
    elif is_known and low <= 0 <= high:
        verdict, colour = ("no_effect", "none")
    elif is_known:
        verdict, colour = ("more", "good") if difference > 0 else ("less", "bad")

    def told(value: float) -> str:
        return say("points", number=f"{100 * value:+.2f}") if row["metric"] == "conversion" else f"{value:+,.2f}"

    sizes = (row["treatment_customers"], row["control_customers"])
    return {
        "name": row["campaign_name"],
        "arm": row["arm"],
        "link": f"data-docs/campaigns/{file_of(row['campaign_id'])}",
        "begun": f"{row['starts_at']:%Y-%m-%d}",
        "status": say.value(row["status"]),
        "design": say.value(row["design"]),
        "compared": "–"
        if None in sizes
        else say("compared_told", treated=say.number(sizes[0]), control=say.number(sizes[1])),
        "metric": say.value(row["metric"]),
        "told": say("effect_told", difference=told(difference), low=told(low), high=told(high)) if is_known else "–",
        "drawing": page_pictures.interval(difference, low, high, min(ends), max(ends)) if is_known else None,
        "verdict": say(verdict),
        "colour": colour,
        "note": row["note"],
    }


def _products(rows: Sequence[Row], say: Words) -> dict[str, Any] | None:
    if not rows:
        return None
    found = {(row["movement"], row["action"]): row["products"] for row in rows}
    heads = [*(say.value(action) for action in _ACTIONS), say("total")]

    def line(name: str, movements: Sequence[str]) -> dict[str, Any]:
        counts = [sum(found.get((each, action), 0) for each in movements) for action in _ACTIONS]
        return {"name": name, "cells": [*zip(heads, map(say.number, [*counts, sum(counts)]), strict=True)]}

    return {
        "day": max(row["as_of_date"] for row in rows),
        "heads": heads,
        "lines": [*(line(say.value(each), [each]) for each in _MOVEMENTS), line(say("total"), _MOVEMENTS)],
    }


def _quality(attempts: Sequence[Row], most: int) -> list[dict[str, Any]]:
    """A line a day, the latest first."""
    lines: dict[Any, dict[str, Any]] = {}
    for row in attempts:
        blank = {"day": row["day"], "checked_at": row["checked_at"], "newest": [], "rows": 0, "quarantined": 0,
                 "stops": [], "warnings": []}  # fmt: skip
        line = lines.setdefault(row["day"], blank)
        line["checked_at"] = max(line["checked_at"], row["checked_at"])
        if row["newest_age_days"] is not None:
            line["newest"].append((row["table_name"].partition(".")[2], row["newest_age_days"]))
        line["rows"] += row["row_count"]
        line["quarantined"] += row["quarantined"]
        for kind in ("stops", "warnings"):
            line[kind] += [f"{row['table_name']}: {rule}" for rule in row[kind]]
    for line in lines.values():
        rules = len(line["stops"]) + len(line["warnings"])
        line["stops"] = line["stops"][:_MOST_RULES]
        line["warnings"] = line["warnings"][: _MOST_RULES - len(line["stops"])]
        line["more"] = rules - len(line["stops"]) - len(line["warnings"])
    return list(lines.values())[:most]


def _models(facts: Facts, say: Words, mlflow: str | None) -> list[dict[str, Any]]:
    versions = (facts.models[0]["model_versions"] or {}) if facts.models else {}
    lines = []
    for model, version in sorted(versions.items()):
        since, before = facts.models[0]["as_of_date"], None
        for row in facts.models:
            found = (row["model_versions"] or {}).get(model)
            if found != version:
                before = found or say("none")
                break
            since = row["as_of_date"]
        link = f"{mlflow.rstrip('/')}/#/models/{quote(model, safe='')}/versions/{quote(str(version), safe='')}" if (
            mlflow and re.match(r"https?://", mlflow)
        ) else None  # fmt: skip
        lines.append(
            {
                "name": say.value(model),
                "version": version,
                "link": link,
                "since": since if before else say("since_or_before", day=since),
                "before": before or "–",
            }
        )
    return lines


def _customer(facts: Facts, names: Mapping[int, str], say: Words) -> dict[str, Any] | None:
    row = facts.customer
    if row is None:
        return None
    return {
        "id": row["customer_id"],
        "day": row["as_of_date"],
        "segment": names.get(row["segment_id"], row["segment_name"]),
        "reasons": row["reasons"] or [],
        "facts": [(say.column(name), _fact(name, row[name], say)) for name in _FACTS],
        "history": [
            {
                **each,
                "segment": names[each["segment_id"]],
                "tier": say.value(each["value_tier"]),
                "strategy": say.strategy(each["strategy_id"]),
            }
            for each in facts.history
        ],
    }


def _fact(name: str, value: Any, say: Words) -> str:
    if name == "strategy_id":
        return say.strategy(value)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return say("is_true" if value else "is_false")
    if isinstance(value, list):
        return ", ".join(value)
    if "probability" in name:
        return say.percent(value)
    return say.number(value, 2) if name == "expected_spend_90d" else say.value(value)
