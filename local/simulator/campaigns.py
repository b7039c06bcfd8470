"""
Campaigns: who is contacted, how they respond, and what the contact truly changes.

Each block of four weeks has its campaigns, all over before the block is. Of the customers who can be reached a part is
drawn for one of them, at random within what a marketer can see; of these, `control_share` is held out by the toss of a
coin. A treated customer orders at `multipliers[type]` times the usual rate from the contact to the campaign's end, if
alive. The true effect is worked out exactly for every contact, treated or held out: over a window of exposure L a
living customer of rate r and drop-out p orders with probability 1 - exp(-rL), and on average (1 - exp(-prL)) / p
times, since the number is the smaller of a Poisson and a geometric one.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa

from local.simulator import columns, draws
from local.simulator.clock import DAY, FOREVER, HOUR, Calendar
from local.simulator.latent_types import MULTIPLIERS, OPENNESS, STRATEGIES, TYPES
from local.simulator.population import CONSENTS, Memory, Population
from local.simulator.purchases import Pull
from local.simulator.settings import Settings

WINDOW_DAYS = 18
ANNOUNCED_DAYS = 2  # before it starts, a campaign is in the books
_FIRST_OFFSET_DAYS = 2
_OFFSETS = 6
_NEW_DAYS = 7  # for so long after signing up, customers are left alone
_SURVEYED, _CLICKS = 0.12, 0.22
_CONSENTING = np.array([0.72, 0.45, 0.55])


@dataclass(frozen=True)
class Campaign:
    """One campaign: what the shop's books say of it, when it is `announced_at` there, and `strategy`, the place in
    STRATEGIES of what its contacts truly change. `channel` None: they go over several."""

    campaign_id: str
    name: str
    strategy_id: str
    channel: str | None
    strategy: int
    announced_at: int
    starts_at: int
    ends_at: int
    cost_per_contact: float
    fixed_cost: float


@dataclass(frozen=True)
class Contacts:
    """c contacts of a block: (c,) place of the `customer`, `campaign` (place in the block's list), `channel` (place in
    CONSENTS), `is_treated`, `contacted_at`; what came of it, FOREVER for what never happens; `satisfaction` 1..5
    (0: none) of `surveyed_at`."""

    customer: np.ndarray
    campaign: np.ndarray
    channel: np.ndarray
    is_treated: np.ndarray
    contacted_at: np.ndarray
    opened_at: np.ndarray
    clicked_at: np.ndarray
    unsubscribed_at: np.ndarray
    surveyed_at: np.ndarray
    satisfaction: np.ndarray

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, chosen: np.ndarray) -> "Contacts":
        """Some of the contacts, by place or by flag."""
        return Contacts(*(getattr(self, item.name)[chosen] for item in fields(self)))

    def followed_by(self, others: "Contacts") -> "Contacts":
        """These, and then the others."""
        pairs = ((getattr(each, item.name) for each in (self, others)) for item in fields(self))
        return Contacts(*(np.concatenate([*pair]) for pair in pairs))


def campaigns_of_block(settings: Settings, block: tuple[int, int, int]) -> list[Campaign]:
    """The campaigns of a block, spread over its first days, the strategies in turn."""
    made = []
    for place in range(settings.campaigns_per_block):
        number = block[0] * settings.campaigns_per_block + place
        starts_at = block[1] + (_FIRST_OFFSET_DAYS + place % _OFFSETS) * DAY + 8 * HOUR
        strategy = STRATEGIES[number % len(STRATEGIES)]
        made.append(Campaign(
            f"CAMPAIGN-{number + 1:05d}", f"{strategy.name} {number + 1}", strategy.strategy_id, strategy.channel,
            number % len(STRATEGIES), starts_at - ANNOUNCED_DAYS * DAY, starts_at, starts_at + WINDOW_DAYS * DAY,
            strategy.cost_per_contact, strategy.fixed_cost,
        ))  # fmt: skip
    return made


def draw(
    settings: Settings, people: Population, memory: Memory, block: tuple[int, int, int], campaigns: list[Campaign]
) -> Contacts:
    """Who is drawn for which campaign and arm, and how the treated respond."""
    key = draws.child(people.key, "campaign", block[0])
    drawn = draws.uniform(key, "drawn") / (settings.contact_share * _visibility(people)).clip(1e-9, 1)
    who = np.flatnonzero(drawn < (1 if campaigns else 0))
    campaign = (drawn[who] * max(1, len(campaigns))).astype(np.int64)
    starts = np.array([one.starts_at for one in campaigns] or [0])[campaign]
    strategy = np.array([one.strategy for one in campaigns] or [0])[campaign]
    channel = np.array([CONSENTS.index(one.channel) for one in STRATEGIES])[strategy]
    reached = (people.signed_up[who] < starts - _NEW_DAYS * DAY) & (people.deleted_at[who] > starts)
    given = consent(people.key[who], people.signed_up[who], memory.withdrawn_at[who], starts)
    reached &= given[np.arange(len(who)), channel]
    who, campaign, starts, strategy = who[reached], campaign[reached], starts[reached], strategy[reached]
    key = key[who]
    arm, hour = draws.two_uniforms(key, "arm and hour")
    is_treated = arm >= settings.control_share
    contacted = starts + (hour * 2 * DAY).astype(np.int64)
    return responses(people.kind[who], key, who, campaign, channel[reached], strategy, is_treated, contacted)


def consent(key: np.ndarray, signed_up: np.ndarray, withdrawn_at: np.ndarray, time: np.ndarray | int) -> np.ndarray:
    """Who of n customers allows email, sms and push messages at a time: booleans (n, 3).

    Given or not on signing up; push messages are switched on or off once in a while; withdrawn for good over a
    campaign, at `withdrawn_at` (n, 3).
    """
    given = np.stack([draws.uniform(key, f"{name} consent") for name in CONSENTS], axis=1) < _CONSENTING
    given[:, CONSENTS.index("push")] ^= push_switched_at(key, signed_up) <= time
    return given & (withdrawn_at > np.asarray(time).reshape(-1, 1))


def push_switched_at(key: np.ndarray, signed_up: np.ndarray) -> np.ndarray:
    """When each customer (n,) changes the mind about push messages."""
    return signed_up + (draws.exponential(draws.uniform(key, "push"), 900.0) * DAY).astype(np.int64)


def pull(contacts: Contacts, campaigns: list[Campaign], people: Population) -> Pull:
    """What the contacts change in the rates of the n customers."""
    factor, since, until = np.ones(len(people)), np.full(len(people), FOREVER), np.full(len(people), FOREVER)
    who = contacts.customer
    ends = np.array([one.ends_at for one in campaigns] or [0])
    factor[who] = np.where(contacts.is_treated, _multiplier(contacts, campaigns, people), 1.0)
    since[who], until[who] = contacts.contacted_at, ends[contacts.campaign]
    return Pull(factor, since, until)


def remember(contacts: Contacts, memory: Memory, until: int) -> None:
    """Notes the consents that were withdrawn over these campaigns before `until`."""
    gone = np.flatnonzero(contacts.unsubscribed_at < until)
    memory.withdrawn_at[contacts.customer[gone], contacts.channel[gone]] = contacts.unsubscribed_at[gone]


EFFECTS = ("contacts", "alive", "purchases", "purchases_more", "orders", "orders_more", "spend", "spend_more")


def effects(
    contacts: Contacts,
    campaigns: list[Campaign],
    people: Population,
    memory: Memory,
    calendar: Calendar,
    until: int,
) -> np.ndarray:
    """Sums over the contacts before `until`, of both arms: (campaigns, types, EFFECTS).

    `purchases`, `orders`, `spend` are expected within the window if nobody is treated; `.._more` is what treating
    everyone would add. Spend is without cancelled orders. Who is alive is taken as it truly was at the contact.
    """
    who = contacts.customer
    kind = people.kind[who]
    ends = np.array([one.ends_at for one in campaigns] or [0])[contacts.campaign]
    mean = people.rate[who] * (calendar.exposure(kind, ends) - calendar.exposure(kind, contacts.contacted_at))
    is_alive = ~people.is_prospect[who] & (memory.lost_at[who] > contacts.contacted_at)
    p = people.drop_out[who]
    value = (people.value_mean * (1 - people.cancelled_share))[who]
    parts = [np.ones(len(who)), is_alive]
    for worth in ("purchase", "order", "spend"):
        plain, treated = (
            is_alive * (-np.expm1(-each) if worth == "purchase" else -np.expm1(-p * each) / p)
            for each in (mean, mean * _multiplier(contacts, campaigns, people))
        )
        scale = value if worth == "spend" else 1.0
        parts += [plain * scale, (treated - plain) * scale]
    counted = contacts.contacted_at < until
    place = (contacts.campaign * len(TYPES) + kind)[counted]
    size = len(campaigns) * len(TYPES)
    sums = [np.bincount(place, part[counted], size) for part in parts]
    return np.stack(sums, axis=-1).reshape(len(campaigns), len(TYPES), len(EFFECTS))


def rows(campaigns: list[Campaign], since: int, until: int) -> pa.Table:
    """shop.campaigns as of `until`, those that came at `since` or later."""
    known = [one for one in campaigns if since <= one.announced_at < until]
    return pa.table(
        {
            "campaign_id": pa.array([one.campaign_id for one in known], pa.string()),
            "name": pa.array([one.name for one in known], pa.string()),
            "strategy_id": pa.array([one.strategy_id for one in known], pa.string()),
            "channel": pa.array([one.channel for one in known], pa.string()),
            "starts_at": columns.times(np.array([one.starts_at for one in known], np.int64)),
            "ends_at": columns.times(np.array([one.ends_at for one in known], np.int64)),
            "cost_per_contact": pa.array([one.cost_per_contact for one in known], pa.float64()),
            "fixed_cost": columns.money(np.array([int(one.fixed_cost * 100) for one in known], np.int64)),
            "updated_at": columns.times(np.array([one.announced_at for one in known], np.int64)),
        }
    )


def _visibility(people: Population) -> np.ndarray:
    """Marketers prefer whom they think they know: by the year of sign-up and a guess at the type, far from perfect."""
    guess = draws.uniform(people.key, "visibility")
    return 0.6 + 0.5 * guess + np.array([0.25, 0.1, 0.1, -0.15, -0.1, 0.2])[people.kind]


def _multiplier(contacts: Contacts, campaigns: list[Campaign], people: Population) -> np.ndarray:
    strategy = np.array([one.strategy for one in campaigns] or [0])[contacts.campaign]
    return MULTIPLIERS[strategy, people.kind[contacts.customer]]


def responses(
    kind: np.ndarray,
    key: np.ndarray,
    who: np.ndarray,
    campaign: np.ndarray,
    channel: np.ndarray,
    strategy: np.ndarray,
    is_treated: np.ndarray,
    contacted: np.ndarray,
) -> Contacts:
    """How c contacts are answered, all (c,): of customers at the places `who`, of a `kind` each, by draws of `key`.

    :param strategy: places in STRATEGIES.
    :param contacted: when, or for the held out when they would have been.
    """
    opens, after = draws.two_uniforms(key, "opened")
    clicks, later = draws.two_uniforms(key, "clicked")
    leaves, soon = draws.two_uniforms(key, "unsubscribed")
    answers, score = draws.two_uniforms(key, "survey")
    factor = MULTIPLIERS[strategy, kind]
    share = np.array([one.opens for one in STRATEGIES])[strategy] * np.array(OPENNESS)[kind]
    opened = contacted + (draws.exponential(after, 0.4).clip(0.001, 5) * DAY).astype(np.int64)
    is_opened = is_treated & (opens < share)
    clicked = opened + ((0.002 + 0.2 * later) * HOUR).astype(np.int64)
    is_clicked = is_opened & (clicks < _CLICKS * factor)
    put_off = np.where(factor < 1, 4.0, np.where(factor > 1, 0.6, 1.0))
    leaving = np.array([one.unsubscribes for one in STRATEGIES])[strategy] * put_off
    gone = contacted + ((0.1 + 3 * soon) * DAY).astype(np.int64)
    surveyed = contacted + ((4 + 8 * soon) * DAY).astype(np.int64)
    mean = 3.7 + np.where(is_treated, np.sign(factor - 1) * 0.5, 0)
    contacts = Contacts(
        customer=who,
        campaign=campaign,
        channel=channel,
        is_treated=is_treated,
        contacted_at=contacted,
        opened_at=np.where(is_opened, opened, FOREVER),
        clicked_at=np.where(is_clicked, clicked, FOREVER),
        unsubscribed_at=np.where(is_treated & (leaves < leaving), gone, FOREVER),
        surveyed_at=np.where(answers < _SURVEYED, surveyed, FOREVER),
        satisfaction=np.rint(mean + 0.9 * draws.normal(score)).clip(1, 5).astype(np.int64),
    )
    return replace(contacts, satisfaction=np.where(answers < _SURVEYED, contacts.satisfaction, 0))
