"""
Which strategy a customer gets: the one that is expected to bring the most, as long as budgets last.

**What a contact is expected to bring** is what campaigns have taught of the strategy's effect on the customer, less
`cost_per_contact` (`strategy_learnt`); where they have not yet, `gain x value - cost_per_contact`. The gain is how much
more probable an order within 30 days becomes if its odds grow `expected_lift`-fold: p k / (1 - p + p k) - p, for p =
purchase_probability_30d. So it is small for who buys anyway and for who will not buy anyway. The value is
`expected_margin`, of an order or as a share of the customer's mean order value (the shop's, for who never ordered). Of
what is unsure one value is drawn, and the choice goes by that: so strategies are explored.

**Who gets it**: all pairs of customer and strategy that bring something are gone through from the best down, and each
is taken if the customer is still free and the strategy's budget of the day still pays. Where no budget runs out,
everyone gets the best; where some do, this greedy matching is worth at least half of the best possible one (Avis 1983,
"A survey of heuristics for the weighted matching problem", Networks 13), and mostly all but a few per cent. As all
contacts of a strategy cost the same, its customers are taken by margin per cost. Ties go by priority, then by a hash of
day and customer. It is done set by set: customers choose their best strategy; of those whose budget is overrun, the one
that runs out first on the way down is closed below its last customer, and the others choose again. After as many
rounds as there are strategies at most, none is overrun.

**The control group** is drawn by HMAC-SHA256 of strategy and customer: who is in it stays in it, whatever the day and
the run, and a larger share only adds customers. It costs nothing, so it takes nothing of the budget.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from segmentation import engine, settings, strategy_columns, tables
from segmentation.strategy_columns import ANNIVERSARY, ORDER_VALUE, PROBABILITY
from segmentation.strategy_file import CHANNELS, Planned, Strategy

_HASHED_DIGITS = 13  # 52 bits, which a float64 holds exactly
_COMPLAINT, _RISK, _CATEGORIES = "last_complaint_age_days", "service_risk", ("category_top", "viewed_category_top")


@dataclass(frozen=True)
class Cutoff:
    """The last customer that a strategy's budget pays for: no pair after it in order is taken."""

    margin: float
    tie: int
    customer_id: str


@dataclass(frozen=True)
class Known:
    """What a day knows: the columns that hold anything, whether stock is counted, and the shop's mean order value."""

    columns: Collection[str]
    has_stock: bool
    order_value: float | None


def needs(planned: Planned) -> list[str]:
    """The columns without which a strategy cannot be used."""
    of_margin = [PROBABILITY, *([ORDER_VALUE] if planned.strategy.margin_share else [])]
    return sorted({*planned.condition.columns, *of_margin} - {ANNIVERSARY})


def brake_columns(strategy: Strategy) -> dict[str, tuple[str, ...]]:
    """Brake -> the columns of which it needs one."""
    columns = {"service_risk": (_RISK,), "complaint_days": (_COMPLAINT,), "low_stock": _CATEGORIES}
    return {brake: names for brake, names in columns.items() if getattr(strategy.brakes, brake)}


def keys(secret: str) -> pa.Table:
    """The two pads of HMAC (RFC 2104) for a key, as a table of the session: the key is in no statement's text."""
    key = secret.encode()
    padded = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    pads = [bytes(byte ^ pad for byte in padded) for pad in (0x36, 0x5C)]
    return pa.table({"inner_pad": [pads[0]], "outer_pad": [pads[1]]})


def candidates(
    planned: Sequence[Planned], known: Known, day: str, learnt: Collection[int] = (), share: float = 1.0
) -> str:
    """The SELECT of `strategy.candidates`: per scored customer, and for each strategy by number, the margin that it is
    chosen by, null where it may not be used or brings nothing; its mean and spread, null where it may not be used; and
    whether the customer is held out of it.

    :param learnt: the strategies whose effect is in `strategy.uplift`.
    :param share: of what the others are assumed to bring that is set beside these effects, 0..1.
    """
    columns = [
        column
        for number, each in enumerate(planned)
        for column in _of_strategy(number, each.strategy, known, learnt, share)
    ]
    whom = [f"{_whom(each, known)} as whom_{number}" for number, each in enumerate(planned)]
    drawn = [f"mean_{number} + spread_{number} * draw_{number} as margin_{number}" for number in range(len(planned))]
    return f"""
        with base as ({_base(planned, known)}),
        asked as (select *, {", ".join(whom)} from base),
        reckoned as (
            select a.customer_id, may_email, may_sms, may_push, preferred, inner_pad, outer_pad,
                md5_number_lower({engine.literal(day)} || a.customer_id) as tie,
                {", ".join(f"u.draw_{number}" for number in range(len(planned)))},
                {", ".join(columns)}
            from asked as a cross join strategy.key
            left join {tables.STRATEGY_UPLIFT} as u on a.customer_id = u.customer_id
        ),
        drawn as (select *, {", ".join(drawn)} from reckoned)
        select customer_id, may_email, may_sms, may_push, preferred, tie, {
        ", ".join(
            f"mean_{n}, spread_{n}, case when margin_{n} > 0 then margin_{n} end as margin_{n}, "
            f"case when margin_{n} > 0 then {_is_held(each.strategy)} end as is_held_{n}"
            for n, each in enumerate(planned)
        )
    }
        from drawn
    """  # noqa: S608 - names of this module, checked conditions, numbers


def matching(planned: Sequence[Planned], known: Known) -> str:
    """The SELECT of how many customers meet each strategy's condition, by number."""
    counts = ", ".join(
        f"count(*) filter (where {each.condition.sql}) as matching_{number}" for number, each in enumerate(planned)
    )
    return f"select {counts} from ({_base(planned, known)}) as base"  # noqa: S608 - checked conditions


def choices(planned: Sequence[Planned], cutoffs: Mapping[int, Cutoff]) -> str:
    """The SELECT of the customers' choices: customer_id, tie, number of the strategy (or null), margin, is_held."""
    open_to = ", ".join(f"{_open(number, cutoffs.get(number))} as open_{number}" for number in range(len(planned)))
    numbers = range(len(planned))
    best = f"greatest({', '.join(f'open_{number}' for number in numbers)})"
    first = " ".join(f"when open_{number} = best then {number}" for number in numbers)
    held = " ".join(f"when {number} then is_held_{number}" for number in numbers)
    told = ", ".join(f"mean_{number}, spread_{number}" for number in numbers)
    return f"""
        with open_ones as (select *, {open_to} from {tables.STRATEGY_CANDIDATES}),
        best_ones as (select *, {best} as best from open_ones),
        chosen as (select *, case {first} end as number from best_ones)
        select customer_id, tie, may_email, may_sms, may_push, preferred, number, best as margin,
            case number {held} end as is_held, {told}
        from chosen
    """  # noqa: S608 - names and numbers


def assigned(session: engine.Session, planned: Sequence[Planned]) -> dict[int, Cutoff]:
    """Makes `strategy.choices` of `strategy.candidates` and the budgets, as the module says.

    :returns: where the budgets ran out, by number of the strategy.
    """
    cutoffs: dict[int, Cutoff] = {}
    while True:
        session.create(tables.STRATEGY_CHOICES, choices(planned, cutoffs))
        overrun = _overrun(session, planned, set(cutoffs))
        if not overrun:
            return cutoffs
        number = min(overrun, key=lambda each: (-overrun[each].margin, each))
        cutoffs[number] = overrun[number]


def rows(planned: Sequence[Planned], day: str) -> str:
    """The SELECT of `score.strategy_daily` from `strategy.choices`, and number, means and spreads behind it."""

    def by_number(values: Sequence[str]) -> str:
        return f"case number {' '.join(f'when {n} then {value}' for n, value in enumerate(values))} end"

    return f"""
        select customer_id, cast({engine.literal(day)} as date) as as_of_date,
            {by_number([engine.literal(each.strategy.id) for each in planned])} as strategy_id,
            {by_number([engine.literal(each.strategy.offer) for each in planned])} as offer,
            {by_number([_channel(each.strategy) for each in planned])} as contact_channel,
            is_held as in_holdout, margin as expected_margin, number,
            {", ".join(f"mean_{n}, spread_{n}" for n in range(len(planned)))}
        from {tables.STRATEGY_CHOICES}
    """  # noqa: S608 - names, escaped texts and numbers


def gain(strategy: Strategy) -> str:
    """How much more probable an order becomes by a contact, as the file assumes it."""
    p, k = f"least(greatest({_double(PROBABILITY)}, 0), 1)", engine.literal(strategy.expected_lift)
    return f"({p} * {k} / (1 - {p} + {p} * {k}) - {p})"


def _base(planned: Sequence[Planned], known: Known) -> str:
    """Scores, features and facts side by side: only the columns that are wanted and there."""
    wanted = {PROBABILITY, ORDER_VALUE, _COMPLAINT, _RISK, *_CATEGORIES}
    wanted |= {name for each in planned for name in each.condition.columns}
    parts = []
    for name in sorted(wanted - {ANNIVERSARY}):
        side = "s" if name in strategy_columns.scores() else "e"
        source = f"{side}.{engine.quoted(name)}" if name in known.columns else "null"
        parts.append(f"{source} as {engine.quoted(name)}")
    category = ", ".join(f"e.{engine.quoted(name)}" for name in _CATEGORIES if name in known.columns)
    stock = f"k.category is not distinct from coalesce({category}, null)" if category else "k.category is null"
    return f"""
        select s.customer_id, f.customer_id is not null as is_known, coalesce(f.may_email, false) as may_email,
            coalesce(f.may_sms, false) as may_sms, coalesce(f.may_push, false) as may_push,
            cast(s.preferred_channel as varchar) as preferred, f.contact_ages, f.unsubscribed_age_days,
            f.{ANNIVERSARY}, k.pieces, {", ".join(parts)}
        from {tables.CUSTOMER_SCORES} as s
        left join {tables.CUSTOMER_FEATURES} as e on s.customer_id = e.customer_id
        left join {tables.STRATEGY_FACTS} as f on s.customer_id = f.customer_id
        left join {tables.STRATEGY_STOCK} as k on {stock}
    """  # noqa: S608 - names


def _whom(planned: Planned, known: Known) -> str:
    """Whether a strategy may be used: condition, brakes, frequency cap, a channel."""
    strategy, rules = planned.strategy, ["is_known", planned.condition.sql]
    brakes = strategy.brakes
    if brakes.service_risk:
        levels = ("high",) if brakes.service_risk == "high" else ("high", "medium")
        listed = ", ".join(map(engine.literal, levels))
        rules.append(f"coalesce(cast({engine.quoted(_RISK)} as varchar) not in ({listed}), true)")
    if brakes.complaint_days:
        rules.append(f"coalesce({_double(_COMPLAINT)} > {brakes.complaint_days}, true)")
    if brakes.unsubscribed_days:
        rules.append(f"coalesce(unsubscribed_age_days > {brakes.unsubscribed_days}, true)")
    if brakes.low_stock and known.has_stock:
        rules.append(f"coalesce(pieces >= {brakes.low_stock}, true)")
    if strategy.frequency_cap:
        cap = strategy.frequency_cap
        rules.append(f"coalesce(contact_ages[{cap.contacts}] > {cap.days}, true)")
    if strategy.channels:
        rules.append(f"({' or '.join(f'may_{channel}' for channel in strategy.channels)})")
    return f"coalesce({' and '.join(rules)}, false)"


def _of_strategy(number: int, strategy: Strategy, known: Known, learnt: Collection[int], share: float) -> list[str]:
    cost = engine.literal(strategy.cost_per_contact)
    if number in learnt:
        mean, spread = f"u.mean_{number} - {cost}", f"u.spread_{number} * {settings.load().policy.exploration!r}"
    else:
        value = engine.literal(strategy.margin_amount)
        if strategy.margin_share is not None:
            shop = engine.literal(known.order_value or 0.0)
            value = f"{engine.literal(strategy.margin_share)} * coalesce({_double(ORDER_VALUE)}, {shop})"
        brings = f"{gain(strategy)} * {value}" + (f" * {share!r}" if share < 1 else "")
        mean, spread = f"{brings} - {cost}", f"abs({brings}) * {settings.load().policy.assumed_spread!r}"
    return [
        f"case when whom_{number} then cast({told} as double) end as {kind}_{number}"
        for kind, told in (("mean", mean), ("spread", spread))
    ]


def _is_held(strategy: Strategy) -> str:
    """HMAC-SHA256, its first 52 bits below the share."""
    most = f"{int(strategy.holdout_share * 16**_HASHED_DIGITS):0{_HASHED_DIGITS}x}"
    told = f"encode({engine.literal(strategy.id + '/')} || customer_id)"
    return f"left(sha256(outer_pad || unhex(sha256(inner_pad || {told}))), {_HASHED_DIGITS}) < '{most}'"


def _open(number: int, cutoff: Cutoff | None) -> str:
    """The margin, null below the strategy's last customer."""
    if cutoff is None:
        return f"margin_{number}"
    margin, last = f"cast('{cutoff.margin!r}' as double)", engine.literal(cutoff.customer_id)
    at_it = f"(tie < {cutoff.tie} or (tie = {cutoff.tie} and customer_id <= {last}))"
    return f"case when margin_{number} > {margin} or (margin_{number} = {margin} and {at_it}) then margin_{number} end"


def _overrun(session: engine.Session, planned: Sequence[Planned], closed: Collection[int]) -> dict[int, Cutoff]:
    """Strategies that as many customers have chosen as a day pays for, or more, and the last that it does pay for.

    Closed where it is just enough, too: the held-out ones are taken as far down as those who are contacted.
    """
    count = f"select number, count(*) as contacts from {tables.STRATEGY_CHOICES} where not is_held group by number"  # noqa: S608
    contacts = {row["number"]: row["contacts"] for row in engine.table_of(session.batches(count)).to_pylist()}
    found = {}
    for number, each in enumerate(planned):
        most = each.strategy.most_contacts
        if most is None or number in closed or contacts.get(number, 0) < most:
            continue
        last = f"""
            select margin, tie, customer_id from {tables.STRATEGY_CHOICES} where number = {number} and not is_held
            order by margin desc, tie, customer_id limit 1 offset {most - 1}
        """  # noqa: S608
        [row] = engine.table_of(session.batches(last)).to_pylist()
        found[number] = Cutoff(**row)
    return found


def _channel(strategy: Strategy) -> str:
    """The preferred channel if the strategy has it, else the first of the strategy's; of those that may be used."""
    if not strategy.channels:
        return "null"
    preferred = " ".join(
        f"when preferred = '{channel}' and may_{channel} then '{channel}'"
        for channel in CHANNELS
        if channel in strategy.channels
    )
    in_order = " ".join(f"when may_{channel} then '{channel}'" for channel in strategy.channels)
    return f"coalesce(case {preferred} end, case {in_order} end)"


def _double(name: str) -> str:
    return f"cast({engine.quoted(name)} as double)"
