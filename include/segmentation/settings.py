"""
What may be set, one frozen and validated group per stage, and where a run reads and writes.

Every number can be overridden by the environment, e.g. `SEGMENTATION_CLUSTER__K_MAX=10`; a value that cannot be
right is refused at start with its name (pydantic's ValidationError).
"""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from segmentation import tables


@dataclass(frozen=True)
class Stores:
    """Where a run reads and writes. The DSNs hold passwords, so they are passed in and never shown.

    :param warehouse: the shop's warehouse, read only: a Postgres DSN, or what opens a DB-API connection.
    :param marketing: DSN of the database with schema `marketing`.
    :param lake: folder or object-store URI under which the Parquet tables lie.
    :param registry: address of the MLflow server.
    """

    warehouse: str | Callable[[], Any] = field(repr=False)
    marketing: str = field(repr=False)
    lake: str
    registry: str


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DuckDB(_Group):
    """The embedded SQL engine's share of the machine."""

    threads: int = Field(2, ge=1)
    memory_limit: str = Field("3GB", pattern=r"^\d+(MB|GB)$")


class Spark(_Group):
    """Where Spark is, for `SEGMENTATION_ENGINE=spark`; the rest is Spark's own, in `conf`."""

    master: str = Field("local[*]", description="a master, or the address of a Spark Connect server, sc://host:15002")
    conf: dict[str, str] = Field({}, description='e.g. {"spark.executor.memory": "8g"}')


class Extract(_Group):
    """How the source is read."""

    overlap_minutes: int = Field(60, ge=0, description="read again behind the watermark: transactions that ended late")
    finds_deletions: bool = Field(True, description="compare keys with the source when row counts do not add up")
    most_unreadable: int = Field(1_000, ge=0, description="values of a column that may not fit its type; then it stops")
    memory_limit: str = Field("400MB", pattern=r"^\d+(MB|GB)$", description="of the comparison of keys")


class History(_Group):
    """How the history is kept small in files."""

    files_per_merge: int = Field(8, ge=2)
    merge_rows: int = Field(500_000, ge=1_000, description="rows in memory while files are merged")
    first_rows: int = Field(
        10_000_000, ge=1, description="orders, or events, that new aggregates are made of at a time; a day's at least"
    )


class Gates(_Group):
    """The gates: what is not said in `include/expectations/`."""

    rules: dict[str, dict[str, Any]] = Field(
        {}, description='changes to rules, e.g. {"raw.orders: the newest row is too old": {"max_value": 30}}'
    )
    future_days: int = Field(1, ge=0, description="events may be this far after all that the extract has seen")
    planned_days: int = Field(1_100, ge=0, description="the same, for what is planned ahead: campaigns, launches")
    few_rows: int = Field(20, ge=1, description="fewer broken rows than this are no matter for the table as a whole")
    orphan_days: int = Field(60, ge=0, description="so long an orphan waits in quarantine for what it refers to")
    history_days: int = Field(28, ge=7, description="the recent days that volume and drift are compared with")
    min_rows_a_day: int = Field(20, ge=1, description="median below which a day's volume is not judged")
    min_rows_drift: int = Field(200, ge=1, description="rows on each side without which drift is not judged")
    sample_rows: int = Field(20_000, ge=100, description="accepted rows that Great Expectations checks once more")
    keys_a_pass: int = Field(8_000_000, ge=1_000, description="keys that are compared at once to find duplicates")
    rows_at_once: int = Field(2_000_000, ge=1, description="customers whose key is looked for in another table at once")
    memory_limit: str = Field("1200MB", pattern=r"^\d+(MB|GB)$")
    data_docs: str | None = Field(None, description="folder of the Data Docs; None: data_docs in the lake")


class CleanColumn(_Group):
    """What is done to one numeric column before the rules look at it."""

    missing: Literal["keep", "drop", "mean", "median", "model"] = "keep"
    outliers: Literal["keep", "winsorise", "quarantine"] = "keep"
    z_score: float = Field(4.0, gt=0, description="how many standard deviations from the mean an outlier begins")


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


class Clean(_Group):
    """Missing values and outliers; nothing is mended unless it is asked for."""

    duplicates: Literal["quarantine", "latest"] = Field(
        "quarantine", description="rows of one key that contradict: all go, or all but the latest by updated_at"
    )
    columns: dict[str, CleanColumn] = Field({}, description='e.g. {"orders.discount_amount": {"missing": "median"}}')
    fit_rows: int = Field(50_000, ge=100, description="rows that mean, median, spread and model are taken from")
    model_rounds: int = Field(10, ge=1, description="rounds of the iterative imputer")
    seed: int = 20_261

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns):
        for name in columns:
            entity, _, column = name.partition(".")
            known = tables.ENTITIES.get(entity)
            if known is None or column not in known.schema.names:
                raise ValueError(f"{name}: there is no such column in the source contract")
            if not is_number(known.schema.field(column).type) or column in known.key:
                raise ValueError(f"{name}: only numbers can be filled in or be outliers")
        return columns


class Features(_Group):
    """How the features of a day are made."""

    customers_at_once: int = Field(
        1_500_000, ge=1, description="above so many they are made in parts, by customer_id; Spark makes its own"
    )


class PurchaseModel(_Group):
    """How the probabilistic purchase model is fitted to a snapshot."""

    most_customers: int = Field(1_000_000, ge=1_000, description="buyers above which an even share of them is taken")
    seed: int = 20_262


class Targets(_Group):
    """How far ahead the models look, and whom they call what. The columns keep the contract's names all the same."""

    near_days: int = Field(30, ge=1, description="horizon of the purchase probability")
    far_days: int = Field(90, ge=1, description="horizon of churn, high value, potential, service risk, spend")
    high_value_share: float = Field(0.20, gt=0, lt=1, description="high value: the top share of buyers by next spend")
    new_days: int = Field(30, ge=1, description="newcomers: without an order, or with a first one so long ago at most")
    high_potential_share: float = Field(0.20, gt=0, lt=1, description="newcomers of high potential: the most probable")
    low_potential_share: float = Field(0.40, gt=0, lt=1, description="newcomers of low potential: the least probable")
    high_risk_share: float = Field(0.05, gt=0, lt=1, description="customers of high service risk: the most probable")
    medium_risk_share: float = Field(0.15, gt=0, lt=1, description="customers of medium service risk: those after them")

    @model_validator(mode="after")
    def _shares(self):
        if self.high_potential_share + self.low_potential_share >= 1:
            raise ValueError("high_potential_share and low_potential_share leave nobody in between")
        if self.high_risk_share + self.medium_risk_share >= 1:
            raise ValueError("high_risk_share and medium_risk_share leave nobody of low risk")
        return self


class Training(_Group):
    """The past days at which training looks back from, what counts as enough, and how long it may take."""

    cutoff_step_days: int = Field(30, ge=1, description="distance between two cutoffs")
    max_cutoffs: int = Field(12, ge=2, description="at most this many past cutoffs")
    min_history_days: int = Field(45, ge=1, description="orders needed before the earliest cutoff")
    min_examples: int = Field(100, ge=2, description="positives and negatives needed to train a target")
    max_rows: int = Field(300_000, ge=1_000, description="examples of past cutoffs, above which customers are sampled")
    search: Literal["grid", "random", "bayesian", "none"] = "bayesian"
    has_learning_curve: bool = Field(True, description="whether each training shows what more examples would bring")
    search_seconds: float = Field(20, ge=0, description="time for the search of one target; defaults are always tried")
    search_trials: int = Field(12, ge=1, description="trials of one candidate, at most")
    search_rows: int = Field(60_000, ge=1_000, description="examples that the search learns from, at most")
    validations: int = Field(3, ge=1, description="cutoffs that candidates are compared at, the newest before the test")
    forest_rows: int = Field(30_000, ge=1_000, description="examples that each tree of a forest sees, at most")
    stacking_rows: float = Field(300, gt=0, description="rows that the equal weights of a blend's members count for")
    stacking_cutoffs: float = Field(4, ge=0, description="cutoffs that an intercept of 0 counts for: see ensembles")
    threads: int = Field(1, ge=1, description="of the libraries that learn in parallel; two targets train at a time")
    selection_rows: int = Field(50_000, ge=1_000, description="rows that features are measured and selected on")
    selection_bins: int = Field(10, ge=2, le=100, description="equally filled bins that a number is measured in")
    max_chi2_p: float = Field(0.05, gt=0, le=1, description="a feature tells nothing if chance explains so much")
    min_mutual_information: float = Field(0.0001, ge=0, description="nats with the target; below, it tells nothing")
    max_correlation: float = Field(0.995, gt=0, le=1, description="Spearman's, above which a feature repeats a better")
    max_missing_shift: float = Field(0.25, gt=0, le=1, description="how far the share missing may have moved lately")
    min_features: int = Field(5, ge=1, description="kept, the best first, if all tell nothing")
    max_feature_auc: float = Field(0.95, gt=0.5, le=1, description="AUC of one feature above which it must be a leak")
    seed: int = Field(20_260, ge=0)

    def selection_limits(self) -> dict[str, float]:
        """The settings that the selection of features goes by."""
        names = ("selection_rows", "selection_bins", "max_chi2_p", "min_mutual_information", "max_correlation",
                 "max_missing_shift", "min_features", "min_examples", "seed")  # fmt: skip
        return {name: getattr(self, name) for name in names}


class Promotion(_Group):
    """What a new model must be to replace the champion: up to the first limit it is, from the second on it is not, and
    in between a human decides. See docs/models.md for why these are the limits."""

    good_gain: float = Field(-0.005, description="AUC, or share of spend in the best tenth, over the champion's recipe")
    bad_gain: float = Field(-0.02, description="the same; below zero, as the same recipe on newer data gains nothing")
    good_calibration_error: float = Field(0.05, ge=0, le=1, description="or no more than the champion's recipe has")
    bad_calibration_error: float = Field(0.15, ge=0, le=1)
    good_total_off: float = Field(0.25, ge=0, description="spend foreseen less spent, as a share; or the champion's")
    bad_total_off: float = Field(0.50, ge=0)
    good_fairness_gap: float = Field(0.10, ge=0, le=1, description="of true positive rates; or no more than before")
    bad_fairness_gap: float = Field(0.25, ge=0, le=1)
    good_ratio_gap: float = Field(
        0.20, ge=0, description="of groups, spend foreseen over spent; or no more than before"
    )
    bad_ratio_gap: float = Field(0.50, ge=0)
    good_changed_share: float = Field(0.25, ge=0, le=1, description="of customers whose segment, band or offer changes")
    bad_changed_share: float = Field(0.60, ge=0, le=1)
    most_below_promise: float = Field(
        0.03, ge=0, description="AUC, or Spearman's correlation, below the champion's own; then a human is asked"
    )
    compared_rows: int = Field(20_000, ge=100, description="customers that both models score for it, at most")

    @model_validator(mode="after")
    def _in_order(self):
        if self.bad_gain > self.good_gain:
            raise ValueError(f"bad_gain {self.bad_gain} must not be above good_gain {self.good_gain}")
        for name in ("calibration_error", "total_off", "fairness_gap", "ratio_gap", "changed_share"):
            if getattr(self, f"bad_{name}") < getattr(self, f"good_{name}"):
                raise ValueError(f"bad_{name} must not be below good_{name}")
        return self


class Cluster(_Group):
    """How segments are made, chosen and kept; see docs/segments.md."""

    k_min: int = Field(4, ge=2, description="segments, if any clustering within the limits has so many; else fewer")
    k_max: int = Field(8, ge=2)
    min_share: float = Field(0.02, ge=0, lt=0.5, description="smallest segment, as a share of the buyers")
    max_share: float = Field(0.60, gt=0.1, le=1, description="largest segment, as a share of the buyers")
    weights: dict[Literal["separation", "stability", "silhouette", "evenness", "simplicity"], float] = Field(
        {"separation": 0.40, "stability": 0.25, "silhouette": 0.10, "evenness": 0.05, "simplicity": 0.20},
        description="of the parts of the score that clusterings are chosen by; see cluster_score",
    )
    keep_margin: float = Field(0.05, ge=0, description="by so much others must beat the champion's recipe, or K-Means")
    min_overlap: float = Field(
        1 / 3, gt=0, lt=1, description="Jaccard index from which a cluster is the champion's: a third is half of each"
    )
    sample_rows: int = Field(50_000, ge=1_000, description="customers that clusters are fitted on")
    search_rows: int = Field(2_000, ge=100, description="customers that all recipes are tried on")
    finalists: int = Field(4, ge=1, description="trials of each algorithm that are measured in full")
    sampled_rows: int = Field(3_000, ge=100, description="customers that Ward, DBSCAN and HDBSCAN see")
    measured_rows: int = Field(3_000, ge=100, description="customers of silhouette, stability, simplicity")
    inits: int = Field(100, ge=1, description="beginnings of K-Means by the training's own seed")
    refit_gain: float = Field(0.01, ge=0, lt=1, description="of inertia, from which the best of these counts")
    resamples: int = Field(4, ge=2, description="refits that stability is measured by")
    score_depth: int = Field(4, ge=1, description="of the tree whose agreement is simplicity")
    rules_depth: int = Field(8, ge=1, description="of the tree that describes the segments, at most")
    rules_agreement: float = Field(0.85, gt=0, le=1, description="from which no deeper tree is looked for")
    least_past: int = Field(100, ge=2, description="buyers at a past cutoff without which separation is not measured")

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights):
        if any(weight < 0 for weight in weights.values()) or not sum(weights.values()) > 0:
            raise ValueError("weights must not be negative, and not all 0")
        return weights

    @model_validator(mode="after")
    def _k_range(self):
        if self.k_max < self.k_min:
            raise ValueError(f"k_max {self.k_max} is below k_min {self.k_min}")
        return self


class Score(_Group):
    """How scores become the bands that a marketer reads."""

    new_days: int = Field(30, ge=1, description="first order at most this long ago: lifecycle_stage new")
    active_days: int = Field(90, ge=1, description="last order at most this long ago: active")
    lapsing_days: int = Field(180, ge=2, description="last order at most this long ago: lapsing, then lapsed")
    high_value_share: float = Field(0.20, gt=0, lt=1, description="top share of buyers by spend in 365 days")
    medium_value_share: float = Field(0.30, gt=0, lt=1, description="the share after that")
    high_churn_probability: float = Field(0.70, gt=0, lt=1)
    medium_churn_probability: float = Field(0.40, gt=0, lt=1)
    reasons_language: Literal["en", "zh"] = Field("en", description="of the reasons beside a customer's scores")
    least_content_share: float = Field(0.25, gt=0, le=1, description="of looks, from which content is preferred")
    batch_rows: int = Field(25_000, ge=1, description="customers in a batch")
    threads: int = Field(2, ge=1, description="batches that are scored at the same time")

    @model_validator(mode="after")
    def _order(self):
        if not self.active_days < self.lapsing_days:
            raise ValueError(f"active_days {self.active_days} must be below lapsing_days {self.lapsing_days}")
        if self.high_value_share + self.medium_value_share >= 1:
            raise ValueError("high_value_share and medium_value_share leave nobody for the low tier")
        if not self.medium_churn_probability < self.high_churn_probability:
            raise ValueError("medium_churn_probability must be below high_churn_probability")
        return self


class Strategy(_Group):
    """What keeps the strategies from being published; what they are is in `include/config/strategies.yaml`."""

    max_offer_gap: float = Field(
        0.20, gt=0, le=1, description="share with an offer, between two groups of an attribute"
    )


class Policy(_Group):
    """What strategies change, learnt from campaigns, and how that is used; see docs/policy.md."""

    history_days: int = Field(365, ge=1, description="campaigns that began so lately are learnt from")
    most_rows: int = Field(300_000, ge=1_000, description="contacts that are learnt from, of the latest campaigns")
    choice_days: int = Field(7, ge=0, description="a campaign goes by the latest choice of at most so many days before")
    redraw_days: int = Field(7, ge=1, description="what is explored stays the same for so many days")
    exploration: float = Field(1.0, ge=0, le=3, description="times what is unsure of an effect; 0: nothing is explored")
    assumed_spread: float = Field(0.0, ge=0, le=3, description="how unsure is what is only assumed, as a share")
    seed: int = Field(20_263, ge=0)


class Recommend(_Group):
    """What is recommended; see docs/products.md."""

    size: int = Field(10, ge=1, le=100, description="products in a list, at most")
    just_bought_days: int = Field(7, ge=0, description="what was bought so lately is not recommended")
    most_of_category: int = Field(4, ge=1, description="products of one category in a list")
    largest_category_share: float = Field(0.5, gt=0, le=1, description="of products; above, categories tell nothing")
    left_out: tuple[str, ...] = Field(("service",), description="categories that are no goods: postage, fees, vouchers")
    history_days: int = Field(365, ge=1, description="purchases that are looked at")
    half_days: int = Field(90, ge=1, description="after so many days a purchase weighs half")
    popular_half_days: int = Field(30, ge=1, description="the same, for what is popular")
    popular_shrink: float = Field(20, gt=0, description="buyers that everyone's taste counts for in a group's")
    looked_days: int = Field(30, ge=1, description="what was looked at since then is a candidate")
    most_own: int = Field(100, ge=1, description="products kept of what a customer bought")
    most_looked: int = Field(20, ge=0, description="products kept of what a customer looked at")
    most_paired: int = Field(30, ge=2, description="products of a customer that similarity is counted from")
    sampled_customers: int = Field(200_000, ge=1_000, description="customers that similarity is counted from, at most")
    similar_shrink: float = Field(10, ge=0, description="common buyers at which a similarity counts half")
    neighbours: int = Field(20, ge=1, description="similar products kept of each")
    seeds: int = Field(20, ge=1, description="products of a customer whose neighbours are candidates")
    fill: int = Field(20, ge=1, description="popular products that are candidates for everyone, and for each group")
    learnt_days: int = Field(30, ge=1, description="the last days, that the weights are learnt from")
    learners: int = Field(5_000, ge=100, description="customers that the weights are learnt from, at most")
    least_lessons: int = Field(200, ge=1, description="purchases among their candidates, without which none are learnt")
    part_rows: int = Field(50_000, ge=1, description="customers whose candidates are in memory at once")


class Movement(_Group):
    """How products are told apart by how they sell, and what is done about them; see docs/products.md."""

    weeks: int = Field(13, ge=4, le=52, description="without a sale in the last weeks a product is dead")
    least_weeks: int = Field(4, ge=2, description="weeks on sale without which there is no trend")
    young_days: int = Field(28, ge=0, description="on sale for less: a slow product is promoted, never cleared")
    fast_share: float = Field(0.50, gt=0, lt=1, description="of all units: fast are the best sellers that bring it")
    slow_share: float = Field(0.05, gt=0, lt=1, description="of all units: slow are the last sellers that bring it")
    falling: float = Field(0.03, gt=0, description="loss of units from week to week, as a share, from which sales fall")
    restock_days: int = Field(21, ge=1, description="days of stock below which fast and steady products are ordered")
    promote_days: int = Field(180, ge=1, description="days of stock above which slow or falling ones are promoted")
    clear_days: int = Field(730, ge=1, description="days of stock above which slow ones are cleared")
    left_out: tuple[str, ...] = Field(("service",), description="categories that are no goods: postage, fees, vouchers")
    keep_days: int = Field(400, ge=1, description="classifications of so many days up to the latest are kept")

    @model_validator(mode="after")
    def _in_order(self):
        if self.fast_share + self.slow_share >= 1:
            raise ValueError("fast_share and slow_share leave nothing in between")
        if not self.restock_days < self.promote_days < self.clear_days:
            raise ValueError("restock_days, promote_days and clear_days must rise")
        if self.least_weeks > self.weeks:
            raise ValueError(f"least_weeks {self.least_weeks} must not be above weeks {self.weeks}")
        return self


class Publish(_Group):
    """How patient publishing is with readers, how long snapshots are kept, which groups are too small to be told."""

    reader_wait_seconds: float = Field(300, ge=0, description="longest wait for readers that began before the snapshot")
    keep_days: int = Field(35, ge=1, description="published snapshots of so many days up to the current one are kept")
    keep_spare_days: int = Field(7, ge=0, description="others (superseded, rejected, older) are kept so long once made")
    keep_changes_days: int = Field(400, ge=1, description="the feed is kept so long, and at least as the snapshots are")
    smallest_group: int = Field(10, ge=1, description="profiles and exports tell of no smaller group of customers")
    memory_limit: str = Field(
        "300MB", pattern=r"^\d+(MB|GB)$", description="of comparing with who consents, and of sorting"
    )


class Runs(_Group):
    """How long it is kept how the runs went; see `task_runs`."""

    keep_days: int = Field(400, ge=30, description="ops.runs and ops.alerts go back so far")


class Performance(_Group):
    """How realised performance is measured."""

    rounds: int = Field(100, ge=20, description="resamples behind an interval")
    catch_up_days: int = Field(7, ge=0, description="days without a run that the next one looks back for as well")


class Drift(_Group):
    """From when on the customers count as others than those that training saw; see `distributions`."""

    bins: int = Field(10, ge=2, le=100, description="equally filled bins of a number, besides one for what is missing")
    least_level_share: float = Field(0.01, ge=0, lt=1, description="levels of a category below it are put together")
    same_within: float = Field(0.05, ge=0, lt=0.5, description="frequent values: part of the span of the middle 80%")
    least_index: float = Field(0.25, gt=0, description="stability index below which a column has not drifted")
    by_chance: float = Field(0.001, gt=0, lt=0.5, description="how often chance may pass a column's threshold")


class Retrain(_Group):
    """When the models are trained before their time."""

    max_rank_shortfall: float = Field(0.03, ge=0, description="AUC, or Spearman's correlation, below what was promised")
    max_calibration_error: float = Field(0.05, gt=0, description="of realised probabilities")
    max_total_off: float = Field(0.25, gt=0, description="of expected spend, as a share of what was spent")
    most_drifted_share: float = Field(0.05, gt=0, le=1, description="of the features; one score is enough")
    min_days: int = Field(3, ge=1, description="between two trainings, or two requests for one")


class Evaluate(_Group):
    """How campaigns are measured; see docs/campaign-results.md."""

    settle_days: int = Field(30, ge=0, description="after its end: late orders and returns may still come, then final")
    intended_shares: dict[str, dict[str, float]] = Field(
        {},
        description='of the arms, by campaign or strategy; their ratio counts: {"coupon": {"control": 1, "mail": 3}}',
    )
    alarm: float = Field(0.001, gt=0, lt=0.5, description="p-value below which the draw of the arms is not trusted")
    least_costed: float = Field(0.95, gt=0, le=1, description="part of the revenue with unit costs, else no margin")
    few_events: int = Field(10, ge=1, description="customers of an arm with an outcome; with fewer, ends are rough")
    most_compared: int = Field(50_000, ge=100, description="customers who were not contacted, of a campaign, at most")
    most_unlike: float = Field(0.1, gt=0, description="standard deviations that compared groups may lie apart")
    least_overlap: float = Field(0.95, gt=0, le=1, description="part of the contacted who have their like among others")
    seed: int = Field(20_262, ge=0)

    @field_validator("intended_shares")
    @classmethod
    def _shares(cls, intended):
        for name, shares in intended.items():
            if len(shares) < 2 or any(not share > 0 for share in shares.values()):
                raise ValueError(f"the intended shares of {name} must be of two arms or more, each above 0: {shares}")
        return {
            name: {arm: share / sum(shares.values()) for arm, share in shares.items()}
            for name, shares in intended.items()
        }


class Page(_Group):
    """The Segments page in Airflow; see docs/segments-page.md."""

    trend_days: int = Field(30, ge=2, description="that trends are drawn over")
    quality_days: int = Field(7, ge=1, description="whose checks are shown")
    late_days: float = Field(
        2, gt=0, description="since the day of the snapshot began, from which the page calls it late"
    )
    campaigns: int = Field(8, ge=1, description="so many are shown, the latest")
    mlflow: str | None = Field(None, description="MLflow's address in a browser; None: as the pipeline reaches it")


class Settings(BaseSettings):
    """All groups. Read once per process; tests make their own."""

    model_config = SettingsConfigDict(env_prefix="SEGMENTATION_", env_nested_delimiter="__", frozen=True)

    engine: Literal["duckdb", "spark"] = "duckdb"
    duckdb: DuckDB = DuckDB()
    spark: Spark = Spark()
    extract: Extract = Extract()
    history: History = History()
    gates: Gates = Gates()
    clean: Clean = Clean()
    features: Features = Features()
    purchase_model: PurchaseModel = PurchaseModel()
    targets: Targets = Targets()
    training: Training = Training()
    cluster: Cluster = Cluster()
    promotion: Promotion = Promotion()
    score: Score = Score()
    strategy: Strategy = Strategy()
    policy: Policy = Policy()
    recommend: Recommend = Recommend()
    movement: Movement = Movement()
    publish: Publish = Publish()
    runs: Runs = Runs()
    performance: Performance = Performance()
    drift: Drift = Drift()
    retrain: Retrain = Retrain()
    evaluate: Evaluate = Evaluate()
    page: Page = Page()


def data_docs_of(lake: str) -> str:
    """The folder of the Data Docs, a path or a URI: in the lake, unless the settings say otherwise."""
    return load().gates.data_docs or posixpath.join(lake, "data_docs")


@cache
def load() -> Settings:
    """The settings of this process, from the environment over the defaults above."""
    return Settings()
