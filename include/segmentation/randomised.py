"""
Randomised results: what came of the contacts of past campaigns that had held somebody out by lot.

A campaign counts if it belongs to a strategy, is over, held customers out, and its arms look as if drawn by lot. Each
contact goes with what was known of the customer on the day of the choice, never later: the latest day, at most
`settings.policy.choice_days` before the campaign's first contact, that strategies were chosen on, else the day of that
contact itself. From that day's choice come the chance that the customer had of this strategy, and which others there
might have been; where the campaign did not go by it, neither is known. All arms but the control count as contacted.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segmentation import (
    campaign_customers,
    campaign_effects,
    choice_days,
    engine,
    lake,
    preparation,
    settings,
    sql,
    tables,
)
from segmentation.campaign_effects import CONTROL, Campaign
from segmentation.settings import Stores
from segmentation.strategy_columns import AUDITED
from segmentation.strategy_uplift import Results

_KEY = ["customer_id", "chosen_on"]
_CHOICE = ("customer_id", "strategy_id", "chance", "open_to")


@dataclass(frozen=True)
class Planned:
    """A campaign that may be learnt from, and the day that its customers were chosen on."""

    campaign: Campaign
    chosen_on: dt.date
    contacts: int


def look_up(session: engine.Session, day: dt.date, stores: Stores) -> list[Planned]:
    """The campaigns that a day may learn from, the latest first; gives the session what the day knew of the shop.

    :raises history.NotAcceptedError: the day has not passed the gate.
    """
    campaign_customers.look_up(session, day, stores)
    config = settings.load().policy
    parameters = {"as_of": day, "history_days": config.history_days}
    found = engine.table_of(session.batches(sql.read("learn_policy", "campaigns"), parameters)).to_pylist()
    days = lake.days_of(stores.lake, tables.STRATEGIES)
    kept, contacts = [], 0
    for row in found:
        contacts += row["contacts"]
        if kept and contacts > config.most_rows:
            break
        first = row["first_contact"]
        values = {name: row[name] for name in row if name not in ("first_contact", "contacts", "held_out")}
        chosen_on = choice_days.choice_day(first, days, config.choice_days)
        share = choice_days.holdout_share(row["strategy_id"], chosen_on, stores.lake)
        campaign = Campaign(**values, status="closed", holdout_share=share)
        kept.append(Planned(campaign, chosen_on or first, row["contacts"]))
    return kept


def collect(day: dt.date, stores: Stores) -> tuple[Results | None, dict[str, str]]:
    """All randomised results that a day knows, and campaign or strategy -> why it is not learnt from.

    :returns: (None where there are none, why what is left out is).
    :raises lake.MissingDayError: the day has no `feat.contact_examples`.
    """
    config, left_out = settings.load(), {}
    with engine.session(stores.lake) as session:
        planned = look_up(session, day, stores)
        outcomes = _outcomes(session, day, stores, planned) if planned else None
    parts = []
    for each in planned:
        rows = outcomes[outcomes["campaign_id"] == each.campaign.campaign_id]
        part, why = _of_campaign(each, rows, config.evaluate)
        if part is None:
            left_out[each.campaign.campaign_id] = why
        else:
            parts.append(part)
    if not parts:
        return None, left_out
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    rows = rows.merge(_choices(rows, stores), how="left", on=_KEY, suffixes=("", "_chosen"))
    features = lake.read(stores.lake, tables.CONTACT_EXAMPLES, day).to_pandas(date_as_object=True)
    features = features.rename(columns={"as_of_date": "chosen_on"})
    rows = rows.merge(features, how="inner", on=_KEY)
    return _results(rows, [name for name in features.columns if name not in _KEY]), left_out


def window_days(results: Results) -> float:
    """How many days campaigns counted what customers did, from their begin to their end, on average over contacts."""
    ends = pd.Series(results.period).str.split("/", expand=True).apply(pd.to_datetime)
    return float(((ends[1] - ends[0]) / pd.Timedelta(days=1)).mean())


def columns(frame: pd.DataFrame, among: Sequence[str]) -> list[str]:
    """What effects may be learnt from: features that hold anything, but not what offers are audited by."""
    return [name for name in among if name not in (*AUDITED, *tables.NOT_FEATURES) and frame[name].notna().any()]


def _outcomes(session: engine.Session, day: dt.date, stores: Stores, planned: Sequence[Planned]) -> pd.DataFrame:
    due = engine.table_of(
        session.batches(
            sql.read("learn_policy", "campaigns"),
            {"as_of": day, "history_days": settings.load().policy.history_days},
        )
    )
    wanted = {each.campaign.campaign_id for each in planned}
    due = due.filter([name in wanted for name in due["campaign_id"].to_pylist()])
    return campaign_customers.outcomes(session, day, stores, due, most_compared=0)


def _of_campaign(
    planned: Planned, customers: pd.DataFrame, config: settings.Evaluate
) -> tuple[pd.DataFrame | None, str]:
    """(the rows of one campaign, or None; why None)."""
    campaign = planned.campaign
    if not len(customers):
        return None, "nobody whom it drew consents any more"
    has_margin, margins = campaign_effects.margins(customers, config)
    if not has_margin:
        return None, campaign_effects.no_margin(customers, config)
    checks = campaign_effects.draw_checks(campaign, customers, config)
    broken = "; ".join(each["broken"] for each in checks["draw"] if each["broken"])
    if broken:
        return None, broken
    is_treated = customers["arm"].to_numpy() != CONTROL
    treated = 1 - (checks["intended_shares"] or {}).get(CONTROL, 1 - is_treated.mean())
    if not 0 < treated < 1:
        return None, "nobody is left in one of the arms"
    return pd.DataFrame(
        {
            "customer_id": customers["customer_id"].to_numpy(), "chosen_on": planned.chosen_on,
            "strategy_id": campaign.strategy_id, "is_treated": is_treated, "treated": treated,
            "period": f"{campaign.starts_at:%F %T}/{campaign.ends_at:%F %T}",
            "outcome": margins.to_numpy(float), "cost": campaign.cost_per_contact,
        }
    ), ""  # fmt: skip


def _choices(rows: pd.DataFrame, stores: Stores) -> pd.DataFrame:
    """What was kept of the choices of these days: strategy, its chance, and what else was open."""
    found = [pd.DataFrame(columns=[*_KEY, *_CHOICE[1:]])]
    for chosen_on in sorted(set(rows["chosen_on"])):
        if not lake.has(stores.lake, tables.STRATEGIES, chosen_on):
            continue
        there = lake.columns(stores.lake, tables.STRATEGIES, chosen_on)
        if "chance" in there:  # what was chosen before chances were kept has none
            kept = lake.read(stores.lake, tables.STRATEGIES, chosen_on, list(_CHOICE)).to_pandas()
            kept = kept[kept["customer_id"].isin(rows["customer_id"])]
            found.append(kept.assign(chosen_on=chosen_on))
    return pd.concat(found, ignore_index=True).rename(columns={"strategy_id": "strategy_id_chosen"})


def _results(rows: pd.DataFrame, features: Sequence[str]) -> Results:
    names = tuple(sorted(set(rows["strategy_id"])))
    costs: Mapping[str, Any] = rows.groupby("strategy_id")["cost"].mean()
    is_chosen = (rows["strategy_id"] == rows["strategy_id_chosen"]).to_numpy()
    open_to = np.ones((len(rows), len(names)), bool)
    for place, told in enumerate(rows["open_to"]):
        if is_chosen[place] and told is not None and not isinstance(told, float):
            here = set(told)
            open_to[place] = [name in here for name in names]
    return Results(
        preparation.inputs(rows, columns(rows, features)),
        rows["customer_id"].to_numpy(), names,
        rows["strategy_id"].map({name: place for place, name in enumerate(names)}).to_numpy(),
        rows["is_treated"].to_numpy(bool), rows["treated"].to_numpy(float), rows["period"].to_numpy(str),
        np.where(is_chosen, rows["chance"].astype(float), np.nan), open_to,
        rows["outcome"].to_numpy(float), np.array([costs[name] for name in names], float),
    )  # fmt: skip
