"""
The strategies as a marketer writes them, `include/config/strategies.yaml`, checked whole.

Everything that is wrong is said at once, each with its line, so that a marketer mends it in one go. What each field
means is in docs/strategies.md.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from segmentation import conditions, plain_yaml, strategy_columns
from segmentation.errors import FinalError

CONFIG = Path(__file__).resolve().parents[1] / "config" / "strategies.yaml"
CHANNELS = ("email", "sms", "push")
_PLAINLY = {"missing": "is missing", "extra_forbidden": "is no field that a strategy has"}
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Whole = Annotated[int, Field(strict=True)]
_Text = Annotated[str, Field(min_length=1, max_length=200)]


class Problem(NamedTuple):
    """What is wrong with a line of the file."""

    line: int
    told: str


class StrategiesError(FinalError):
    """The file of strategies cannot be right. Names every line, and what is wrong with it."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        head = f"{path.name} has {len(problems)} problem{'s' * (len(problems) > 1)}; nobody gets an offer by it:"
        super().__init__("\n".join([head, *(f"line {line}: {told}" for line, told in self.problems)]))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Name(_Part):
    """What a strategy is called."""

    en: _Text
    zh: _Text


class Cap(_Part):
    """At most so many contacts of a customer in so many days before the day, whoever made them."""

    contacts: _Whole = Field(ge=1, le=100)
    days: _Whole = Field(ge=1, le=365)


class Brakes(_Part):
    """What keeps a strategy off a customer, see docs/strategies.md."""

    service_risk: Literal["high", "medium"] | None = None
    complaint_days: _Whole | None = Field(None, ge=1, le=3650)
    unsubscribed_days: _Whole | None = Field(None, ge=1, le=3650)
    low_stock: _Whole | None = Field(None, ge=1)


class Strategy(_Part):
    """One strategy; see docs/strategies.md."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")
    name: Name
    priority: _Whole = Field(ge=1)
    who: _Text = Field(max_length=1_000)
    offer: _Text
    channels: list[Literal["email", "sms", "push"]]
    cost_per_contact: _Number = Field(ge=0)
    expected_margin: float | str
    expected_lift: _Number = Field(gt=1, le=10)
    budget: _Number | None = Field(None, gt=0)
    frequency_cap: Cap | None = None
    holdout_share: _Number = Field(ge=0, le=0.5)
    brakes: Brakes = Brakes()

    @field_validator("expected_margin", mode="before")
    @classmethod
    def _margin(cls, told: Any) -> Any:
        text = told.strip().removesuffix("%") if isinstance(told, str) and told.strip().endswith("%") else told
        try:
            number = float("nan") if isinstance(text, bool) or (text is told and isinstance(told, str)) else float(text)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number > 0 and (text is told or number <= 100)):
            raise ValueError("must be an amount such as 12.5, or a share of an order's value such as 30%")
        return number if text is told else f"{number}%"

    @property
    def margin_amount(self) -> float | None:
        """What one order more brings, in the shop's currency; None: it is a share."""
        return None if isinstance(self.expected_margin, str) else self.expected_margin

    @property
    def margin_share(self) -> float | None:
        """The same as a share, 0..1, of the value of the customer's orders; None: it is an amount."""
        return float(self.expected_margin[:-1]) / 100 if isinstance(self.expected_margin, str) else None

    @property
    def most_contacts(self) -> int | None:
        """How many contacts a day's budget pays; None: as many as there are."""
        if self.budget is None or not self.cost_per_contact:
            return None
        return math.floor(Decimal(str(self.budget)) / Decimal(str(self.cost_per_contact)))


@dataclass(frozen=True)
class Planned:
    """A strategy of the file, its condition ready to run, and the line where it begins."""

    strategy: Strategy
    condition: conditions.Condition
    line: int


def read(path: Path = CONFIG) -> tuple[Planned, ...]:
    """The strategies of the file, by priority.

    :raises StrategiesError: with every problem, each with its line.
    """
    problems: list[Problem] = []
    found = []
    entries = _entries(path)
    for node, told in entries:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            problems.append(Problem(line, "a strategy is a list of fields, such as id: welcome_pack"))
            continue
        problems += [
            Problem(at, f"{key} stands in line {first} already") for at, key, first in plain_yaml.doubled(node)
        ]
        try:
            strategy = Strategy.model_validate(told)
        except ValidationError as error:
            problems += _plain_problems(error, node, told)
            problems += _of_condition(told.get("who"), node, told)[1]
            continue
        condition, wrong = _of_condition(strategy.who, node, told)
        problems += wrong
        problems += [Problem(_line(node, [field]), f"{strategy.id}: {field} {why}") for field, why in _odd(strategy)]
        found.append((strategy, condition, node))
    problems += _clashes(entries)
    if problems:
        raise StrategiesError(path, problems)
    planned = [Planned(strategy, condition, node.start_mark.line + 1) for strategy, condition, node in found]
    return tuple(sorted(planned, key=lambda each: each.strategy.priority))


def _entries(path: Path) -> list[tuple[yaml.Node, Any]]:
    """Each entry of the file's list as YAML has it, and what it says."""
    try:
        root, told = plain_yaml.read(path)
    except plain_yaml.PlainYamlError as error:
        raise StrategiesError(path, [Problem(error.line, error.why)]) from error
    if root is None:
        return []
    if not isinstance(root, yaml.SequenceNode):
        raise StrategiesError(path, [Problem(root.start_mark.line + 1, "the file is a list: - id: ...")])
    return list(zip(root.value, told, strict=True))


def _plain_problems(error: ValidationError, node: yaml.MappingNode, told: dict) -> Iterator[Problem]:
    """What pydantic has found, where it stands and in plain words."""
    for each in error.errors():
        path = [str(part) if isinstance(part, str) else part for part in each["loc"]]
        why = _PLAINLY.get(each["type"], each["msg"].removeprefix("Value error, "))
        if each["type"] not in (*_PLAINLY, "value_error"):
            why = f"is {str(each['input'])[:50]!r}: {why[:1].lower()}{why[1:]}"
        where = ".".join(str(part) for part in path)
        yield Problem(_line(node, path), f"{_id_of(told)}{where} {why}")


def _of_condition(who: Any, node: yaml.MappingNode, told: dict) -> tuple[Any, list[Problem]]:
    if not isinstance(who, str):
        return None, []
    try:
        return conditions.compiled(who, strategy_columns.every()), []
    except conditions.ConditionError as error:
        return None, [Problem(_line(node, ["who"]), f"{_id_of(told)}who: {error}")]


def _odd(strategy: Strategy) -> Iterator[tuple[str, str]]:
    """(field, what is wrong) of fields that do not go together."""
    cost, budget = strategy.cost_per_contact, strategy.budget
    if cost and budget is None:
        yield "budget", f"is missing: a contact costs {cost:g}, so say what a day may cost"
    if budget is not None and cost > budget:
        yield "budget", f"of {budget:g} a day is impossible: one contact costs {cost:g}"
    if strategy.channels and strategy.frequency_cap is None:
        yield "frequency_cap", "is missing: whoever is contacted needs a limit, such as {contacts: 2, days: 30}"
    if len(set(strategy.channels)) < len(strategy.channels):
        yield "channels", "has a channel twice"
    # p k / (1 - p + p k) - p is the largest at p = 1 / (1 + sqrt(k))
    root = math.sqrt(strategy.expected_lift)
    if strategy.margin_amount is not None and strategy.margin_amount * (root - 1) / (root + 1) <= cost:
        yield "expected_margin", f"of {strategy.margin_amount:g} never pays for a contact of {cost:g} at that lift"


def _clashes(entries: Sequence[tuple[yaml.Node, Any]]) -> Iterator[Problem]:
    """Two strategies of one id, or of one priority: which goes first would be left to chance."""
    for field in ("id", "priority"):
        seen: dict[Any, int] = {}
        for node, told in entries:
            value = told.get(field) if isinstance(told, dict) else None
            if not isinstance(value, str | int):
                continue
            line = _line(node, [field])
            if seen.setdefault(value, line) != line:
                yield Problem(line, f"{_id_of(told)}{field} {value} is that of line {seen[value]} already")


def _line(node: yaml.Node, path: Sequence[str | int]) -> int:
    """The line of what a path leads to, or of what it would stand in."""
    line = node.start_mark.line + 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _id_of(told: dict) -> str:
    return f"{told['id']}: " if isinstance(told.get("id"), str) else ""
