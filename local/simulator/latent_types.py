"""
The latent types of customers and the strategies of campaigns: what nobody outside schema `truth` is told.

A customer belongs to one type, which sets the distributions that the customer's own parameters come from. What a
campaign changes depends on the type alone: `multipliers` are factors on the rate of orders from the contact to the
campaign's end. Persuadables have a factor above 1, sure things and lost causes 1, the put-off below 1.
"""

from dataclasses import dataclass

import numpy as np

CATEGORIES = ("clothing", "home", "beauty", "sports", "toys", "food", "books", "electronics")
ORDER_CHANNELS = ("web", "app", "store", "social")
MEDIA = ("web", "app", "email", "wechat", "douyin", "bilibili")
EVENTS = (
    "page_view",
    "product_view",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "ad_view",
    "ad_click",
    "article_read",
    "video_view",
)
GENDERS = ("female", "male", "other", None)
INCOMES = ("low", "middle", "high", None)
SOURCES = ("organic", "search_ad", "social_ad", "referral", "store", None)


@dataclass(frozen=True)
class LatentType:
    """One kind of customer. Shares are of 1; rates are of 30 days while alive, in the mean over the season.

    Orders: rates are Gamma(`rate_shape`) of mean `orders`; after each order the customer is lost with a probability of
    its own, Beta(`drop_out`): the BG/NBD model (Fader, Hardie & Lee 2005, "Counting your customers the easy way").
    `prospects` never order; `welcome` order at once after signing up. Order values: Gamma-Gamma of mean `spend`
    (Fader & Hardie 2013). `lines` is the mean number of lines of a basket beyond the first. `wave`, `wave_peak_day`,
    `weekend` and `feasts` make the season. `taste`, `order_channels`, `media` and `content` (along EVENTS) are
    concentrations of Dirichlet distributions. `gender`, `income` and `source` are shares along the tuples above.
    """

    name: str
    share: float
    prospects: float
    welcome: float
    orders: float
    rate_shape: float
    drop_out: tuple[float, float]
    spend: float
    lines: float
    sessions: float
    coupons: float
    cancels: float
    returns: float
    complaints: float
    wave: float
    wave_peak_day: int
    weekend: float
    feasts: float
    taste: tuple[float, ...]
    order_channels: tuple[float, ...]
    media: tuple[float, ...]
    content: tuple[float, ...]
    gender: tuple[float, ...]
    income: tuple[float, ...]
    source: tuple[float, ...]
    born: tuple[float, float]


TYPES = (
    LatentType(
        "loyalist", 0.18, prospects=0.02, welcome=0.75, orders=3.2, rate_shape=2.5, drop_out=(1.2, 45),
        spend=230, lines=1.8, sessions=0.6, coupons=0.12, cancels=0.015, returns=0.025, complaints=0.01,
        wave=0.10, wave_peak_day=345, weekend=1.15, feasts=0.5,
        taste=(0.9, 1.1, 0.9, 0.5, 0.4, 1.6, 0.6, 0.4), order_channels=(1.2, 2.4, 0.8, 0.4),
        media=(1.5, 3.0, 1.0, 1.0, 0.3, 0.3), content=(3, 6, 1, 1.4, 0.4, 0.6, 0.3, 2.0, 0.6),
        gender=(0.52, 0.30, 0.02, 0.16), income=(0.12, 0.36, 0.20, 0.32),
        source=(0.38, 0.14, 0.10, 0.22, 0.12, 0.04), born=(1982, 11),
    ),
    LatentType(
        "bargain_hunter", 0.24, prospects=0.05, welcome=0.7, orders=1.85, rate_shape=1.6, drop_out=(1.2, 20),
        spend=105, lines=1.35, sessions=1.3, coupons=0.62, cancels=0.05, returns=0.06, complaints=0.03,
        wave=0.15, wave_peak_day=320, weekend=1.1, feasts=1.3,
        taste=(1.6, 0.9, 0.8, 0.5, 0.6, 0.8, 0.3, 0.5), order_channels=(1.6, 1.6, 0.3, 1.0),
        media=(1.6, 1.8, 0.8, 0.6, 1.6, 0.4), content=(2, 5, 2, 1.6, 1.0, 1.6, 1.2, 0.5, 1.0),
        gender=(0.54, 0.29, 0.02, 0.15), income=(0.32, 0.30, 0.06, 0.32),
        source=(0.20, 0.30, 0.30, 0.10, 0.05, 0.05), born=(1989, 10),
    ),
    LatentType(
        "gifter", 0.15, prospects=0.04, welcome=0.6, orders=1.0, rate_shape=2.0, drop_out=(1.1, 16),
        spend=280, lines=1.55, sessions=0.5, coupons=0.18, cancels=0.02, returns=0.05, complaints=0.02,
        wave=0.55, wave_peak_day=350, weekend=1.3, feasts=2.2,
        taste=(0.6, 0.8, 1.0, 0.4, 2.2, 0.7, 0.9, 0.7), order_channels=(2.2, 1.0, 1.0, 0.5),
        media=(2.2, 0.8, 1.6, 1.2, 0.4, 0.3), content=(3, 5, 2, 1.0, 0.4, 0.8, 0.5, 1.4, 0.5),
        gender=(0.50, 0.33, 0.02, 0.15), income=(0.14, 0.36, 0.17, 0.33),
        source=(0.36, 0.24, 0.12, 0.16, 0.08, 0.04), born=(1978, 13),
    ),
    LatentType(
        "browser", 0.20, prospects=0.35, welcome=0.25, orders=0.5, rate_shape=1.2, drop_out=(1.0, 9),
        spend=125, lines=0.8, sessions=2.1, coupons=0.25, cancels=0.04, returns=0.05, complaints=0.02,
        wave=0.08, wave_peak_day=340, weekend=1.25, feasts=0.8,
        taste=(0.8, 0.5, 0.9, 0.9, 0.4, 0.4, 0.8, 1.6), order_channels=(1.0, 2.4, 0.2, 1.4),
        media=(0.8, 1.8, 0.3, 1.2, 2.0, 1.6), content=(3, 4, 1.2, 0.5, 0.4, 1.6, 0.6, 2.2, 3.4),
        gender=(0.46, 0.36, 0.03, 0.15), income=(0.22, 0.34, 0.10, 0.34),
        source=(0.22, 0.16, 0.42, 0.10, 0.04, 0.06), born=(1996, 8),
    ),
    LatentType(
        "one_off", 0.18, prospects=0.0, welcome=0.9, orders=0.5, rate_shape=1.5, drop_out=(6.0, 3.0),
        spend=140, lines=0.7, sessions=0.35, coupons=0.30, cancels=0.06, returns=0.10, complaints=0.06,
        wave=0.12, wave_peak_day=330, weekend=1.1, feasts=1.0,
        taste=(0.7, 0.8, 0.7, 0.8, 0.7, 0.5, 0.7, 1.2), order_channels=(2.2, 1.0, 0.5, 0.7),
        media=(2.4, 0.9, 0.5, 0.6, 0.9, 0.5), content=(3, 5, 2, 1.2, 0.6, 1.2, 1.0, 0.6, 0.8),
        gender=(0.45, 0.35, 0.02, 0.18), income=(0.22, 0.33, 0.11, 0.34),
        source=(0.22, 0.36, 0.24, 0.06, 0.07, 0.05), born=(1987, 12),
    ),
    LatentType(
        "wholesaler", 0.05, prospects=0.01, welcome=0.8, orders=4.9, rate_shape=4.0, drop_out=(1.1, 60),
        spend=1500, lines=3.0, sessions=0.35, coupons=0.06, cancels=0.02, returns=0.015, complaints=0.02,
        wave=0.05, wave_peak_day=300, weekend=0.35, feasts=0.2,
        taste=(0.5, 1.5, 0.4, 0.4, 0.4, 2.0, 0.4, 0.8), order_channels=(4.0, 0.5, 0.6, 0.2),
        media=(4.0, 0.5, 1.2, 0.6, 0.15, 0.15), content=(3, 6, 3, 1.6, 0.3, 0.3, 0.2, 0.6, 0.2),
        gender=(0.38, 0.44, 0.02, 0.16), income=(0.08, 0.34, 0.28, 0.30),
        source=(0.34, 0.18, 0.04, 0.28, 0.12, 0.04), born=(1977, 9),
    ),
)  # fmt: skip

# Gamma-Gamma (Fader & Hardie 2013): the shape of one customer's order values, and that of the customers' means.
ORDER_VALUE_SHAPE = 5.0
MEAN_VALUE_SHAPE = 4.0


@dataclass(frozen=True)
class Strategy:
    """What a campaign does. `multipliers` along TYPES; costs in the shop's currency; shares are of the treated."""

    strategy_id: str
    name: str
    channel: str
    multipliers: tuple[float, ...]
    cost_per_contact: float
    fixed_cost: float
    opens: float
    unsubscribes: float


#                                                            loyal bargain gifter browser one-off whole
STRATEGIES = (
    Strategy("coupon", "Ten per cent off", "email", (1.00, 1.90, 1.35, 1.60, 1.00, 1.00), 0.08, 300, 0.34, 0.006),
    Strategy("care", "A call from the shop", "sms", (0.75, 1.00, 1.30, 1.00, 1.00, 1.45), 0.60, 500, 0.55, 0.012),
    Strategy("newsletter", "News of the month", "email", (1.00, 1.00, 1.00, 1.00, 1.00, 1.00), 0.02, 150, 0.28, 0.004),
    Strategy("flash_sale", "Two days only", "push", (0.80, 1.70, 1.00, 1.40, 1.00, 0.70), 0.03, 250, 0.22, 0.010),
    Strategy("gift_guide", "Ideas for presents", "email", (1.10, 1.00, 1.80, 1.00, 1.00, 1.00), 0.05, 400, 0.38, 0.004),
)

# The strategies of include/config/strategies.yaml truly work like one of these. One that is in neither changes nothing,
# as a newsletter does.
WORKS_LIKE = {
    "welcome_pack": "coupon",
    "best_sellers": "newsletter",
    "remarketing": "flash_sale",
    "interest_group_picks": "gift_guide",
    "category_picks": "gift_guide",
    "vip_preview": "gift_guide",
    "medium_tier_bundle": "coupon",
    "low_tier_coupon": "coupon",
    "anniversary_gift": "coupon",
    "points_bonus": "coupon",
    "personal_care": "care",
    "responding_channel": "flash_sale",
    "responders": "flash_sale",
    "video_stories": "newsletter",
    "article_stories": "newsletter",
    "social_group_buy": "flash_sale",
}

# What of a strategy's parts each type takes up, beside the orders: opening, and putting an end to the messages.
OPENNESS = (1.3, 1.1, 1.0, 1.2, 0.5, 0.7)


def along_types(attribute: str) -> np.ndarray:
    """One number of every type, as float64 (types,) or (types, k)."""
    return np.array([getattr(kind, attribute) for kind in TYPES], float)


def cumulated(attribute: str) -> np.ndarray:
    """Shares of every type, cumulated to 1: (types, k)."""
    shares = along_types(attribute).cumsum(axis=1)
    return shares / shares[:, -1:]


TYPE_NAMES = tuple(kind.name for kind in TYPES)
MULTIPLIERS = np.array([strategy.multipliers for strategy in STRATEGIES])
