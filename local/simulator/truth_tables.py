"""The rows of schema `truth`: what is behind the shop, and what growing it further needs."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from local.simulator import columns
from local.simulator.campaigns import EFFECTS, Campaign
from local.simulator.catalogue import MOVEMENTS, Catalogue
from local.simulator.clock import DAY
from local.simulator.latent_types import MULTIPLIERS, TYPE_NAMES
from local.simulator.population import BRANDS, CONSENTS, Memory, Population
from local.simulator.stock import NOT_ORDERED, Stock

# What is read back of truth.customers and truth.products to go on from there
MEMORY = pa.schema(
    [
        (name, pa.int64())
        for name in (
            "customer_no",
            "orders_made",
            "last_ordered_us",
            "lost_us",
            *(f"{consent}_withdrawn_us" for consent in CONSENTS),
        )
    ]
)
STOCK = pa.schema(
    [
        ("on_hand", pa.int64()),
        ("on_order", pa.int64()),
        ("arrives_on_day", pa.int64()),
        ("daily_demand", pa.float64()),
        ("counted_us", pa.int64()),
    ]
)


def customers(people: Population, memory: Memory) -> pa.Table:
    """truth.customers: the latent parameters and the memory."""
    kind = people.kind
    table = {
        "customer_no": people.number,
        "customer_id": columns.customer_ids(people.number),
        "latent_type": columns.words(TYPE_NAMES, kind),
        "is_prospect": pa.array(people.is_prospect),
        "signed_up_at": columns.times(people.signed_up),
        "orders_a_day": people.rate,
        "drop_out_probability": people.drop_out,
        "order_value_mean": people.value_mean,
        "cancelled_share": people.cancelled_share,
        "coupon_share": people.coupons,
        "returned_share": people.returns,
        "complaint_share": people.complaints,
        "visits_a_day": people.visit_rate,
        "favourite_brand": columns.words((*BRANDS, None), people.brand % (len(BRANDS) + 1)),
        "taste": columns.shares_as_text(people.taste_sums),
        "order_channels": columns.shares_as_text(people.channel_sums),
        "media": columns.shares_as_text(people.media_sums),
        "content": columns.shares_as_text(people.content_sums),
        "welcome_order_us": people.welcome_at,
        "orders_made": memory.orders_made,
        "last_ordered_us": memory.last_ordered_at,
        "lost_us": memory.lost_at,
    }
    table |= {f"{name}_withdrawn_us": memory.withdrawn_at[:, place] for place, name in enumerate(CONSENTS)}
    return pa.table(table)


def products(catalogue: Catalogue, stock: Stock, until: int) -> pa.Table:
    """truth.products: how each truly sells, and the state of the storeroom."""
    appeal = catalogue.appeal(until - 1)
    of_category = np.bincount(catalogue.category, appeal)[catalogue.category]
    return pa.table(
        {
            "product_no": np.arange(len(catalogue)),
            "product_id": catalogue.ids(np.arange(len(catalogue))),
            "movement": columns.words(MOVEMENTS, catalogue.movement),
            "share_of_category": appeal / of_category,
            "on_hand": stock.on_hand,
            "on_order": stock.on_order,
            "arrives_on_day": pa.array(stock.arrives, pa.int64(), mask=stock.arrives == NOT_ORDERED),
            "daily_demand": stock.demand,
            "counted_us": stock.counted_at,
        }
    )


@dataclass(frozen=True)
class BlockEffects:
    """The campaigns of a block, and the sums over their contacts: (campaigns, types, EFFECTS)."""

    campaigns: list[Campaign]
    sums: np.ndarray


def campaign_effects(blocks: list[BlockEffects], until: int) -> pa.Table:
    """truth.campaign_effects: a row per campaign that has contacted somebody, and type among the contacted."""
    rows = [
        (campaign, kind, dict(zip(EFFECTS, block.sums[place, kind], strict=True)))
        for block in blocks
        for place, campaign in enumerate(block.campaigns)
        for kind in range(len(TYPE_NAMES))
        if block.sums[place, kind, 0] > 0
    ]
    counts = np.array([sums["contacts"] for *_, sums in rows])
    table = {
        "campaign_id": pa.array([campaign.campaign_id for campaign, *_ in rows], pa.string()),
        "arm": pa.array(["treatment"] * len(rows), pa.string()),
        "latent_type": pa.array([TYPE_NAMES[kind] for _, kind, _ in rows], pa.string()),
        "strategy_id": pa.array([campaign.strategy_id for campaign, *_ in rows], pa.string()),
        "rate_multiplier": np.array([MULTIPLIERS[campaign.strategy, kind] for campaign, kind, _ in rows]),
        "contacts": counts.astype(np.int64),
        "is_complete": pa.array([campaign.starts_at + 2 * DAY <= until for campaign, *_ in rows], pa.bool_()),
    }
    names = ("alive_share", "purchase_probability", "effect_on_purchase_probability", "orders_mean",
             "effect_on_orders", "spend_mean", "effect_on_spend")  # fmt: skip
    for name, effect in zip(names, EFFECTS[1:], strict=True):
        table[name] = np.array([sums[effect] for *_, sums in rows]) / counts
    return pa.table(table)


def memory_of(table: pa.Table) -> Memory:
    """The memory in rows of truth.customers, which are in order of customer_no and without a gap.

    :raises ValueError: a customer is missing.
    """
    numbers = table["customer_no"].to_numpy()
    if not np.array_equal(numbers, np.arange(len(numbers))):
        raise ValueError("truth.customers has gaps: make the shop anew")
    made, last, lost, *withdrawn = (table[name].to_numpy() for name in MEMORY.names[1:])
    return Memory(made, last, lost, np.column_stack(withdrawn))


def stock_of(table: pa.Table) -> Stock:
    """The storeroom in rows of truth.products, which are in order of product_no."""
    on_hand, on_order, arrives, demand, counted_at = (table[name] for name in STOCK.names)
    return Stock(
        on_hand.to_numpy(),
        on_order.to_numpy().copy(),
        arrives.fill_null(NOT_ORDERED).to_numpy().copy(),
        demand.to_numpy().copy(),
        counted_at.to_numpy().copy(),
    )
