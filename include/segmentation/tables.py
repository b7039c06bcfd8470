"""
Every table, lake folder, model and asset, spelt once, in the order in which the data flow.

`grep feat.customer_daily` (or the constant's name) tells that table's whole story.
"""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")
_MONEY = pa.decimal128(14, 2)
_SUM = pa.decimal128(18, 2)


@dataclass(frozen=True)
class Entity:
    """One kind of row that the pipeline reads from a shop, as the source contract (docs/contract.md) has it.

    `time` says when the thing happened (None: it has no time of its own). `is_append_only`: rows are never deleted.
    """

    name: str
    key: tuple[str, ...]
    schema: pa.Schema
    required: bool = False
    time: str | None = None
    is_append_only: bool = False

    @property
    def table(self) -> str:
        """What the stages after the gate read, e.g. `raw.orders`: the entity as known for a day."""
        return f"raw.{self.name}"

    @property
    def staged(self) -> str:
        """The lake table that the extract writes, e.g. `staged.orders`: what a day brought, not yet accepted."""
        return f"staged.{self.name}"

    @property
    def incoming(self) -> str:
        """The lake table that the gate judges where it is not the staged one itself, e.g. `incoming.orders`."""
        return f"incoming.{self.name}"

    @property
    def version_schema(self) -> pa.Schema:
        """The contract's columns and `is_deleted`: the source no longer has the key, the other columns are null."""
        return self.schema.append(pa.field("is_deleted", pa.bool_()))

    @property
    def staged_schema(self) -> pa.Schema:
        """The columns of a version, and what the gate is to know besides.

        `unreadable`: a JSON object of the values that do not fit their column's type (null there); null for most rows.
        `quarantine_row`: the `row_id` in quarantine from which the row is taken back; null for what the source brings.
        """
        unreadable = pa.field("unreadable", pa.string())
        return self.version_schema.append(unreadable).append(pa.field("quarantine_row", pa.int64()))


CUSTOMERS = Entity(
    "customers",
    key=("customer_id",),
    required=True,
    time="signed_up_at",
    schema=pa.schema(
        [
            ("customer_id", pa.string()),
            ("signed_up_at", _TIME),
            ("birth_year", pa.int16()),
            ("gender", pa.string()),
            ("income_band", pa.string()),
            ("city", pa.string()),
            ("country", pa.string()),
            ("acquisition_channel", pa.string()),
            ("email_consent", pa.bool_()),
            ("sms_consent", pa.bool_()),
            ("push_consent", pa.bool_()),
            ("profiling_consent", pa.bool_()),
            ("updated_at", _TIME),
        ]
    ),
)
PRODUCTS = Entity(
    "products",
    key=("product_id",),
    time="launched_at",
    schema=pa.schema(
        [
            ("product_id", pa.string()),
            ("name", pa.string()),
            ("category", pa.string()),
            ("brand", pa.string()),
            ("list_price", _MONEY),
            ("unit_cost", _MONEY),
            ("launched_at", _TIME),
            ("stock_on_hand", pa.int32()),
            ("updated_at", _TIME),
        ]
    ),
)
ORDERS = Entity(
    "orders",
    key=("order_id",),
    required=True,
    time="ordered_at",
    schema=pa.schema(
        [
            ("order_id", pa.string()),
            ("customer_id", pa.string()),
            ("ordered_at", _TIME),
            ("status", pa.string()),
            ("channel", pa.string()),
            ("coupon_code", pa.string()),
            ("discount_amount", _MONEY),
            ("total_amount", _MONEY),
            ("updated_at", _TIME),
        ]
    ),
)
ORDER_ITEMS = Entity(
    "order_items",
    key=("order_id", "line_no"),
    schema=pa.schema(
        [
            ("order_id", pa.string()),
            ("line_no", pa.int32()),
            ("product_id", pa.string()),
            ("quantity", pa.int32()),
            ("unit_price", _MONEY),
            ("returned_quantity", pa.int32()),
            ("updated_at", _TIME),
        ]
    ),
)

EVENTS = Entity(
    "events",
    key=("event_id",),
    time="occurred_at",
    is_append_only=True,
    schema=pa.schema(
        [
            ("event_id", pa.string()),
            ("customer_id", pa.string()),
            ("occurred_at", _TIME),
            ("event_type", pa.string()),
            ("channel", pa.string()),
            ("session_id", pa.string()),
            ("product_id", pa.string()),
            ("dwell_seconds", pa.float32()),
            ("updated_at", _TIME),
        ]
    ),
)
SUPPORT_TICKETS = Entity(
    "support_tickets",
    key=("ticket_id",),
    time="opened_at",
    schema=pa.schema(
        [
            ("ticket_id", pa.string()),
            ("customer_id", pa.string()),
            ("opened_at", _TIME),
            ("category", pa.string()),
            ("resolved_at", _TIME),
            ("satisfaction", pa.int16()),
            ("updated_at", _TIME),
        ]
    ),
)
CAMPAIGNS = Entity(
    "campaigns",
    key=("campaign_id",),
    time="starts_at",
    schema=pa.schema(
        [
            ("campaign_id", pa.string()),
            ("name", pa.string()),
            ("strategy_id", pa.string()),
            ("channel", pa.string()),
            ("starts_at", _TIME),
            ("ends_at", _TIME),
            ("cost_per_contact", pa.decimal128(14, 4)),
            ("fixed_cost", _MONEY),
            ("updated_at", _TIME),
        ]
    ),
)
CAMPAIGN_CONTACTS = Entity(
    "campaign_contacts",
    key=("campaign_id", "customer_id"),
    time="contacted_at",
    schema=pa.schema(
        [
            ("campaign_id", pa.string()),
            ("customer_id", pa.string()),
            ("arm", pa.string()),
            ("contacted_at", _TIME),
            ("opened_at", _TIME),
            ("clicked_at", _TIME),
            ("unsubscribed_at", _TIME),
            ("satisfaction", pa.int16()),
            ("updated_at", _TIME),
        ]
    ),
)

ENTITIES = {
    entity.name: entity
    for entity in (
        CUSTOMERS,
        PRODUCTS,
        ORDERS,
        ORDER_ITEMS,
        EVENTS,
        SUPPORT_TICKETS,
        CAMPAIGNS,
        CAMPAIGN_CONTACTS,
    )
}
# The customers as last heard of, whatever the day: consent that was withdrawn since counts for every day
CUSTOMERS_NOW = "raw.customers_now"


@dataclass(frozen=True)
class Aggregate:
    """What a kind of row amounts to per customer and day, kept by `aggregates` so that no snapshot reads each row.

    The rows add up: what changed later is a row that takes the old away and one that adds the new.

    :param keys: the columns that the rows are grouped by; `day` is the one of them that says when it happened.
    :param measures: the columns that add up.
    :param entities: what it is made from.
    A row counts for the days after its `changed_on`.
    """

    name: str
    keys: pa.Schema
    measures: pa.Schema
    day: str
    entities: tuple[str, ...]

    @property
    def table(self) -> str:
        """As the SQL of the features has it, e.g. `agg.order_days`."""
        return f"agg.{self.name}"

    @property
    def file_schema(self) -> pa.Schema:
        """The columns of its files: keys, measures, and the batch whose rows made it so."""
        return pa.schema([*self.keys, *self.measures, ("_batch", pa.int64())])

    @property
    def schema(self) -> pa.Schema:
        """The columns that the features read."""
        return pa.schema([field for field in (*self.keys, *self.measures) if field.name != "changed_on"])


def _counts(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.int64()) for name in names]


ORDER_DAYS = Aggregate(
    "order_days",
    keys=pa.schema(
        [
            ("customer_id", pa.string()),
            ("ordered_on", pa.date32()),
            ("channel", pa.string()),
            ("changed_on", pa.date32()),
        ]
    ),
    measures=pa.schema([*_counts("orders", "cancelled_orders", "coupon_orders"), ("amount", _SUM), ("discount", _SUM)]),
    day="ordered_on",
    entities=("orders",),
)
PRODUCT_DAYS = Aggregate(
    "product_days",
    keys=pa.schema(
        [
            ("customer_id", pa.string()),
            ("ordered_on", pa.date32()),
            ("product_id", pa.string()),
            ("changed_on", pa.date32()),
        ]
    ),
    measures=pa.schema([*_counts("lines", "units", "returned_units"), ("amount", _SUM)]),
    day="ordered_on",
    entities=("orders", "order_items"),
)
SESSIONS = Aggregate(
    "sessions",
    keys=pa.schema(
        [
            ("customer_id", pa.string()),
            ("visited_on", pa.date32()),
            ("channel", pa.string()),
            ("session_id", pa.string()),
            ("started_at", _TIME),
            ("changed_on", pa.date32()),
        ]
    ),
    measures=pa.schema(
        _counts(
            "sessions",
            "events",
            "page_views",
            "product_views",
            "searches",
            "cart_adds",
            "cart_removes",
            "ad_views",
            "ad_clicks",
            "article_reads",
            "video_views",
            "dwell_ms",
        )
    ),
    day="visited_on",
    entities=("events",),
)
PRODUCT_VIEWS = Aggregate(
    "product_views",
    keys=pa.schema(
        [
            ("customer_id", pa.string()),
            ("visited_on", pa.date32()),
            ("product_id", pa.string()),
            ("changed_on", pa.date32()),
        ]
    ),
    measures=pa.schema(_counts("views", "cart_adds")),
    day="visited_on",
    entities=("events",),
)
AGGREGATES = {each.name: each for each in (ORDER_DAYS, PRODUCT_DAYS, SESSIONS, PRODUCT_VIEWS)}

# Lake, written by the pipeline, one folder a day: {LAKE_URI}/<schema>/<table>/as_of=<day>/
# What snapshots are made of besides the families; tables of a session, not in the lake
CATEGORY_BUYS = "feat.category_buys"
CATEGORY_PRICES = "feat.category_prices"
POPULATION = "feat.population"  # of a snapshot that is being made, like feat.<family>; not in the lake
OUTCOME_ROWS = "feat.outcomes"  # the same: what its customers did afterwards
CUSTOMER_FEATURES = "feat.customer_daily"
TRAINING_EXAMPLES = "feat.training_examples"
CONTACT_EXAMPLES = "feat.contact_examples"  # features of who was drawn for a campaign, as of the day of that choice
DEMAND = "feat.demand"  # how busy each past day was; see `demand`
DICTIONARY = "features.md"  # beside either: what the columns mean, and which families were off
CUSTOMER_SCORES = "score.customer_daily"
RECOMMENDATIONS = "score.recommendations_daily"
STRATEGIES = "score.strategy_daily"

# What the strategies of a day are chosen from; tables of a session, not in the lake
STRATEGY_FACTS = "strategy.facts"
STRATEGY_STOCK = "strategy.stock"
STRATEGY_UPLIFT = "strategy.uplift"
STRATEGY_CANDIDATES = "strategy.candidates"
STRATEGY_CHOICES = "strategy.choices"
ASKED = "recommend.asked"  # of a list that is being made, like recommend.<table>; not in the lake
CANDIDATES = "recommend.candidates"

# Models in the registry: who belongs where, and one classifier per target
SEGMENTS_MODEL = "customer_segments"
# What each strategy changes for each customer; without it the strategies go by what their file assumes
UPLIFT_MODEL = "strategy_uplift"


@dataclass(frozen=True)
class Target:
    """What a model predicts: a column of the training examples, known once its horizon has passed.

    The names carry the horizon that the contract promises; settings may set another.

    :param horizon: the setting of `settings.Targets` that says how many days it looks ahead.
    :param spend: the column of the training examples with what was spent within that horizon.
    :param who: whom it is predicted for: everyone, buyers (with an order), newcomers (without one, or a first one of
        late).
    :param score: the column of the published table that its prediction, or a band of it, goes to.
    """

    model: str
    label: str
    horizon: Literal["near_days", "far_days"]
    spend: Literal["spend_near", "spend_far"]
    who: Literal["everyone", "buyers", "newcomers"]
    score: str
    is_amount: bool = False


CHURN = Target("churn_90d", "is_churn", "far_days", "spend_far", "buyers", "churn_probability_90d")
PURCHASE = Target("purchase_30d", "is_purchase", "near_days", "spend_near", "everyone", "purchase_probability_30d")
HIGH_VALUE = Target("high_value_90d", "is_high_value", "far_days", "spend_far", "buyers", "high_value_probability_90d")
NEWCOMER = Target(
    "new_customer_90d", "is_newcomer_purchase", "far_days", "spend_far", "newcomers", "new_customer_potential"
)
SERVICE = Target("service_risk_90d", "is_service_case", "far_days", "spend_far", "everyone", "service_risk")
SPEND = Target("spend_90d", "spend_far", "far_days", "spend_far", "everyone", "expected_spend_90d", is_amount=True)
TARGETS = {target.model: target for target in (CHURN, PURCHASE, HIGH_VALUE, NEWCOMER, SERVICE, SPEND)}

# What the training examples know of the time after their cutoff
OUTCOMES = (
    "is_purchase",
    "is_churn",
    "is_high_value",
    "is_newcomer_purchase",
    "is_service_case",
    "spend_near",
    "spend_far",
)
# Columns of the features and examples that no model may learn from
NOT_FEATURES = ("customer_id", "as_of_date", *OUTCOMES)

# Marketing database: the contract's relations, and behind them what no client reads
CUSTOMER_SEGMENTS = "marketing.customer_segments"
SNAPSHOTS = "marketing.snapshots"
SEGMENT_ROWS = "marketing_internal.segment_rows"
CHANGE_ROWS = "marketing_internal.change_rows"
CURRENT_SNAPSHOT = "marketing_internal.current_snapshot"
SEGMENT_HISTORY = "marketing.segment_history"
CAMPAIGN_RESULTS = "marketing.campaign_results"
CAMPAIGN_RESULT_ROWS = "evaluation.campaign_results"
PRODUCT_MOVEMENT = "marketing.product_movement"
MOVEMENT_ROWS = "marketing_internal.product_movement_rows"
PAGE_COUNTS = "marketing_internal.page_counts"

# Of a day's evaluation of campaigns, in its session: which are due, whom they drew, whom they left out, all of these
DUE_CAMPAIGNS = "evaluate.due"
DRAWN = "evaluate.drawn"
NOT_CONTACTED = "evaluate.not_contacted"
MEASURED_CUSTOMERS = "evaluate.customers"
CONTACTED = "learn_policy.contacted"  # whom the campaigns of one day of choice drew

# Beside it, what the gates found: every rule's result, and the rows that do not count
QUALITY_RESULTS = "quality.results"
QUARANTINE = "quarantine.rows"

# And what the pipeline keeps of itself: which batch of versions a day knows, and how far each entity was read
ACCEPTANCES = "ops.acceptances"
BATCH_ROWS = "ops.batch_rows"
VERSIONS = "ops.versions"
WATERMARKS = "ops.watermarks"

# What became of the scores, how far the customers have moved since, and whether that called for a training
PERFORMANCE = "ops.performance"
DRIFT = "ops.drift"
RETRAINS = "ops.retrains"

# How long each task took, with how many rows and what end; and what somebody was told of it
RUNS = "ops.runs"
ALERTS = "ops.alerts"

# The published row, as the output contract has it, but for the snapshot it belongs to
SEGMENT_COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("segment_id", pa.int32()),
        ("segment_name", pa.string()),
        ("lifecycle_stage", pa.string()),
        ("value_tier", pa.string()),
        ("expected_spend_90d", _MONEY),
        ("purchase_probability_30d", pa.float32()),
        ("churn_probability_90d", pa.float32()),
        ("churn_risk", pa.string()),
        ("new_customer_potential", pa.string()),
        ("interest_group", pa.string()),
        ("preferred_channel", pa.string()),
        ("content_preference", pa.string()),
        ("service_risk", pa.string()),
        ("strategy_id", pa.string()),
        ("offer", pa.string()),
        ("contact_channel", pa.string()),
        ("in_holdout", pa.bool_()),
        ("recommended_products", pa.list_(pa.string())),
        ("reasons", pa.list_(pa.string())),
        ("model_versions", pa.string()),
        ("scored_at", _TIME),
        ("high_value_probability_90d", pa.float32()),
        ("strategy_basis", pa.string()),
    ]
)

# What a campaign changed, a row per design, arm, metric and segment
RESULT_COLUMNS = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("campaign_name", pa.string()),
        ("strategy_id", pa.string()),
        ("channel", pa.string()),
        ("starts_at", _TIME),
        ("ends_at", _TIME),
        ("status", pa.string()),
        ("design", pa.string()),
        ("arm", pa.string()),
        ("metric", pa.string()),
        ("segment_id", pa.int32()),
        ("segment_name", pa.string()),
        ("treatment_customers", pa.int64()),
        ("control_customers", pa.int64()),
        ("treatment_mean", pa.float64()),
        ("control_mean", pa.float64()),
        ("difference", pa.float64()),
        ("difference_low", pa.float64()),
        ("difference_high", pa.float64()),
        ("p_value", pa.float64()),
        ("relative_lift", pa.float64()),
        ("adjusted_difference", pa.float64()),
        ("adjusted_low", pa.float64()),
        ("adjusted_high", pa.float64()),
        ("adjusted_p_value", pa.float64()),
        ("variance_reduction", pa.float64()),
        ("corrected_p_value", pa.float64()),
        ("minimum_detectable", pa.float64()),
        ("cost", pa.float64()),
        ("roi", pa.float64()),
        ("roi_low", pa.float64()),
        ("roi_high", pa.float64()),
        ("is_trusted", pa.bool_()),
        ("note", pa.string()),
        ("checks", pa.string()),
        ("as_of_date", pa.date32()),
    ]
)

# The strategy of each scored customer. `expected_margin`: what the contact was to bring beyond its cost when it was
# chosen; `basis`: what that rests on; `chance`: of this choice, and `open_to`: what might have been chosen, for whoever
# learns from what comes of it
STRATEGY_COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("strategy_id", pa.string()),
        ("offer", pa.string()),
        ("contact_channel", pa.string()),
        ("in_holdout", pa.bool_()),
        ("expected_margin", pa.float64()),
        ("basis", pa.string()),
        ("chance", pa.float64()),
        ("open_to", pa.list_(pa.string())),
    ]
)

# What is recommended to whom, the best product first
RECOMMENDATION_COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("recommended_products", pa.list_(pa.string())),
    ]
)
