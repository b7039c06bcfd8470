"""
The shop answers to what was published: its marketing department does what `marketing.customer_segments` says.

What is published as of the shop's next day is taken up once, when the shop grows: on its first new day a campaign
begins for each strategy that contacts somebody. Everybody with that strategy is in it: contacted over the customer's
`contact_channel`, or, if `in_holdout`, in its control arm with the time at which the contact would have been. Left out
of both arms alike is who has been deleted, allows that channel no longer, or is still within another campaign: so a
contact's true effect is its own. Each campaign is over after WINDOW_DAYS.

What a contact truly changes is as in campaigns of the shop's own choosing: the factor of one of STRATEGIES for the
customer's type. Which one it is, `latent_types.WORKS_LIKE` says. What it costs is in the file of strategies.

A shop that has answered once runs no campaigns of its own choosing any more. Those that have begun go on.

Who was drawn does not follow from the settings, so schema `truth` remembers it. All that comes of a draw does, as with
everything in the shop: an answer's orders, clicks and departures are the same in one step of growth or in many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from local.simulator import campaigns, draws
from local.simulator.campaigns import Campaign, Contacts
from local.simulator.clock import BLOCK, DAY, FOREVER, HOUR, day_of, start_of
from local.simulator.latent_types import STRATEGIES, WORKS_LIKE
from local.simulator.population import CONSENTS, Memory, Population, population
from local.simulator.purchases import Pull
from local.simulator.settings import Settings
from segmentation import strategy_file, warehouse

WINDOW_DAYS = 7
_FROM_HOUR, _FOR_HOURS = 8, 12  # contacts are made within these hours of the first day
_IDS = [one.strategy_id for one in STRATEGIES]

_PUBLISHED = """
select t.customer_no, s.as_of_date, s.strategy_id, s.contact_channel, s.in_holdout
from marketing.customer_segments as s
inner join truth.customers as t on s.customer_id = t.customer_id
order by t.customer_no
"""
_PUBLISHED_COLUMNS = pa.schema(
    [
        ("customer_no", pa.int64()),
        ("as_of_date", pa.date32()),
        ("strategy_id", pa.string()),
        ("contact_channel", pa.string()),
        ("in_holdout", pa.bool_()),
    ]
)
_CAMPAIGNS = """
select campaign_id, name, strategy_id, channel, works_like, starts_us, ends_us, cost_per_contact
from truth.answered_campaigns
where answer_no = :answer_no
order by campaign_id
"""
_CONTACTS = """
select c.customer_no, c.campaign_id, c.channel, c.is_treated, c.contacted_us
from truth.answered_contacts as c
inner join truth.answered_campaigns as k on c.campaign_id = k.campaign_id
where k.answer_no = {answer_no}
order by c.customer_no
"""
_CONTACT_COLUMNS = pa.schema(
    [
        ("customer_no", pa.int64()),
        ("campaign_id", pa.string()),
        ("channel", pa.string()),
        ("is_treated", pa.bool_()),
        ("contacted_us", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Answer:
    """What the shop did about one publication: its `number` from 0, the day that was published, the midnight on which
    its campaigns begin; and its c contacts, by customer: (c,) `customer_no`, `campaign` (place in `campaigns`),
    `channel` (place in CONSENTS), `is_treated`, `contacted_at`."""

    number: int
    as_of: date
    begins_at: int
    campaigns: list[Campaign]
    customer_no: np.ndarray
    campaign: np.ndarray
    channel: np.ndarray
    is_treated: np.ndarray
    contacted_at: np.ndarray

    @property
    def ends_at(self) -> int:
        return self.begins_at + WINDOW_DAYS * DAY

    def of(self, people: Population) -> tuple[np.ndarray, slice]:
        """(The places of the contacts' customers in a chunk of customers, which of the contacts these are)."""
        first, last = (people.number[0], people.number[-1] + 1) if len(people) else (0, 0)
        ours = slice(*np.searchsorted(self.customer_no, [first, last]))
        return self.customer_no[ours] - first, ours


@dataclass(frozen=True)
class Answers:
    """The answers that matter to some blocks, in order; `since`: from when on the shop answers, FOREVER if not yet."""

    given: Sequence[Answer] = ()
    since: int = FOREVER

    def own(self, planned: list[Campaign], contacts: Contacts) -> Contacts:
        """Of the contacts of a block's own campaigns those of the ones that are held."""
        starts = np.array([one.starts_at for one in planned] or [0])
        return contacts.take(starts[contacts.campaign] < self.since)

    def announced(self, planned: list[Campaign]) -> list[Campaign]:
        """Of a block's own campaigns those that came into the books."""
        return [one for one in planned if one.announced_at < self.since]

    def campaigns_of_block(self, block: tuple[int, int, int]) -> list[Campaign]:
        """The campaigns that begin within a block."""
        return [campaign for answer in self._begun(block) for campaign in answer.campaigns]

    def contacts(self, people: Population, block: tuple[int, int, int], before: int) -> Contacts:
        """The contacts of campaigns that begin within a block.

        :param before: how many campaigns are before these in the block's list.
        """
        found = _nobody()
        for answer in self._begun(block):
            who, ours = answer.of(people)
            campaign = answer.campaign[ours]
            strategy = np.array([one.strategy for one in answer.campaigns] or [0])[campaign]
            key = draws.child(people.key[who], "answer", answer.number)
            found = found.followed_by(
                campaigns.responses(
                    people.kind[who], key, who, campaign + before, answer.channel[ours], strategy,
                    answer.is_treated[ours], answer.contacted_at[ours],
                )
            )  # fmt: skip
            before += len(answer.campaigns)
        return found

    def pulls(self, people: Population, block: tuple[int, int, int]) -> list[Pull]:
        """What the contacts change in the rates of the customers within a block, whenever it began."""
        found = []
        for answer in self.given:
            if answer.begins_at < block[2] and answer.ends_at > block[1]:
                who, ours = answer.of(people)
                factor, since = np.ones(len(people)), np.full(len(people), FOREVER)
                strategy = np.array([one.strategy for one in answer.campaigns] or [0])[answer.campaign[ours]]
                factor[who] = np.where(answer.is_treated[ours], campaigns.MULTIPLIERS[strategy, people.kind[who]], 1.0)
                since[who] = answer.contacted_at[ours]
                until = np.where(since == FOREVER, FOREVER, answer.ends_at)
                found.append(Pull(factor, since, until, answer.number))
        return found

    def _begun(self, block: tuple[int, int, int]) -> list[Answer]:
        return [answer for answer in self.given if block[1] <= answer.begins_at < block[2]]


def remembered(connection, dsn: str, since: int) -> Answers:
    """The answers of the past whose campaigns ended after `since`."""
    given = []
    rows = warehouse.fetch(connection, "select answer_no, as_of_date, begins_us from truth.answers order by answer_no")
    for number, as_of, begins_at in rows:
        if begins_at + WINDOW_DAYS * DAY > since:
            kept = [
                Campaign(campaign_id, name, strategy, channel, _IDS.index(like), starts, starts, ends, float(cost), 0.0)
                for campaign_id, name, strategy, channel, like, starts, ends, cost in warehouse.fetch(
                    connection, _CAMPAIGNS, {"answer_no": number}
                )
            ]
            told = _read(dsn, _CONTACTS.format(answer_no=number), _CONTACT_COLUMNS)
            given.append(_answer(number, as_of, begins_at, kept, told))
    return Answers(given, rows[0][2] if rows else FOREVER)


def take_up(
    connection, dsn: str, settings: Settings, memory: Memory, now: int, so_far: Answers, strategies: Path
) -> Answer | None:
    """What the shop does about what is published now; None if that is nothing, or has been taken up already.

    :param now: the midnight that the shop grows from; `memory` is that of it.
    :param strategies: the file of strategies: what they are called, and what contacts cost.
    :raises ValueError: what is published is as of a later day than the shop has come to.
    """
    if warehouse.fetch(connection, "select to_regclass('marketing.customer_segments')")[0][0] is None:
        return None
    published = _read(dsn, _PUBLISHED, _PUBLISHED_COLUMNS)
    if not published.num_rows:
        return None
    as_of: date = published["as_of_date"][0].as_py()
    if start_of(as_of) > now:
        raise ValueError(
            f"marketing.customer_segments is as of {as_of}, but the simulated shop has only come to {day_of(now - 1)}: "
            f"let it grow to {day_of(start_of(as_of) - 1)} first, without ANSWER"
        )
    [(number, latest)] = warehouse.fetch(connection, "select count(*), max(as_of_date) from truth.answers")
    if latest is not None and latest >= as_of:
        return None
    chosen = published.filter(published["strategy_id"].is_valid())
    chosen = chosen.filter(chosen["contact_channel"].is_valid())
    parts = [_drawn(settings, memory, now, so_far, number, chosen.slice(at, settings.chunk_customers))
             for at in range(0, chosen.num_rows, settings.chunk_customers)]  # fmt: skip
    told = pa.concat_tables(parts) if parts else None
    planned = _planned(told, as_of, now, strategies) if told is not None else []
    if told is not None:
        ids = {one.strategy_id: one.campaign_id for one in planned}
        told = told.append_column("campaign_id", pa.array([ids[each] for each in told["strategy_id"].to_pylist()],
                                                          pa.string()))  # fmt: skip
    answer = _answer(number, as_of, now, planned, told if told is not None else _CONTACT_COLUMNS.empty_table())
    _remember(connection, answer)
    return answer


def _drawn(settings: Settings, memory: Memory, now: int, so_far: Answers, number: int, chosen: pa.Table) -> pa.Table:
    """Those of some published customers who are drawn, with arm and time of the contact."""
    numbers = chosen["customer_no"].to_numpy()
    people = population(settings, numbers)
    channel = _places(chosen["contact_channel"])
    known = Memory(memory.orders_made[numbers], memory.last_ordered_at[numbers], memory.lost_at[numbers],
                   memory.withdrawn_at[numbers])  # fmt: skip
    may = campaigns.consent(people.key, people.signed_up, known.withdrawn_at, now)[np.arange(len(people)), channel]
    may &= people.deleted_at > now
    for answer in so_far.given:
        if answer.ends_at > now:
            may &= ~np.isin(numbers, answer.customer_no)
    start = start_of(settings.first_day)
    index = (now - start) // BLOCK
    block = (index, start + index * BLOCK, start + (index + 1) * BLOCK)
    own = campaigns.campaigns_of_block(settings, block)
    running = so_far.own(own, campaigns.draw(settings, people, known, block, own))
    begun = np.array([one.starts_at < now < one.ends_at for one in own] or [False])
    may[running.customer[begun[running.campaign]]] = False
    hour = draws.uniform(draws.child(people.key, "answer", number), "hour")
    contacted = now + _FROM_HOUR * HOUR + (hour * _FOR_HOURS * HOUR).astype(np.int64)
    return pa.table(
        {
            "customer_no": numbers,
            "strategy_id": chosen["strategy_id"],
            "channel": chosen["contact_channel"],
            "is_treated": pa.array(~chosen["in_holdout"].fill_null(False).to_numpy()),
            "contacted_us": contacted,
        }
    ).filter(pa.array(may))


def _planned(told: pa.Table, as_of: date, now: int, strategies: Path) -> list[Campaign]:
    """A campaign for each strategy that draws somebody."""
    known = {each.strategy.id: each.strategy for each in strategy_file.read(strategies)}
    by_strategy = told.group_by("strategy_id").aggregate([("channel", "distinct")]).to_pylist()
    starts_at, planned = now + _FROM_HOUR * HOUR, []
    for row in sorted(by_strategy, key=lambda row: row["strategy_id"]):
        name, channels = row["strategy_id"], row["channel_distinct"]
        like = STRATEGIES[_IDS.index(name if name in _IDS else WORKS_LIKE.get(name, "newsletter"))]
        there = known.get(name)
        planned.append(Campaign(
            f"{as_of}-{name}", f"{there.name.en if there else like.name}, {as_of}", name,
            channels[0] if len(channels) == 1 else None, STRATEGIES.index(like), starts_at, starts_at,
            now + WINDOW_DAYS * DAY, there.cost_per_contact if there else like.cost_per_contact, 0.0,
        ))  # fmt: skip
    return planned


def _remember(connection, answer: Answer) -> None:
    rows = [{"answer_no": answer.number, "as_of_date": answer.as_of, "begins_us": answer.begins_at}]
    kept = [
        {
            "answer_no": answer.number, "campaign_id": one.campaign_id, "name": one.name,
            "strategy_id": one.strategy_id, "channel": one.channel, "works_like": _IDS[one.strategy],
            "starts_us": one.starts_at, "ends_us": one.ends_at, "cost_per_contact": one.cost_per_contact,
        }
        for one in answer.campaigns
    ]  # fmt: skip
    contacts = pa.table(
        {
            "customer_no": answer.customer_no,
            "campaign_id": pa.array([one.campaign_id for one in answer.campaigns], pa.string()).take(
                pa.array(answer.campaign)
            ),
            "channel": pa.array(CONSENTS, pa.string()).take(pa.array(answer.channel)),
            "is_treated": answer.is_treated,
            "contacted_us": answer.contacted_at,
        }
    )
    for name, table in (
        ("answers", pa.Table.from_pylist(rows)),
        ("answered_campaigns", pa.Table.from_pylist(kept)),
        ("answered_contacts", contacts),
    ):
        if table.num_rows:
            warehouse.copy_in(connection, f"truth.{name}", [table], table.column_names)


def _answer(number: int, as_of: date, begins_at: int, kept: list[Campaign], told: pa.Table) -> Answer:
    place = {one.campaign_id: index for index, one in enumerate(kept)}
    return Answer(
        number, as_of, begins_at, kept, told["customer_no"].to_numpy(),
        np.array([place[each] for each in told["campaign_id"].to_pylist()], np.int64), _places(told["channel"]),
        told["is_treated"].to_numpy(), told["contacted_us"].to_numpy(),
    )  # fmt: skip


def _places(channel: pa.ChunkedArray) -> np.ndarray:
    return np.array([CONSENTS.index(each) for each in channel.to_pylist()], np.int64)


def _nobody() -> Contacts:
    whole, flags = np.zeros(0, np.int64), np.zeros(0, bool)
    return Contacts(whole, whole, whole, flags, *[whole] * 6)


def _read(dsn: str, query: str, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(warehouse.stream(dsn, query, schema), schema)
