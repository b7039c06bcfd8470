"""
Reasons in words: the three things that weighed most in a score, as an agent on the phone can say them.

`include/config/reasons.yaml` sorts the features into kinds (recency, spend, complaints, ...) and has their texts,
`reasons.zh.yaml` the same in Chinese; what it does not name is told as the dictionary has it, by family. What the
features of a kind contribute counts together, since they say one thing twice (`spend_total`, `spend_365d`); the three
kinds that weigh most are told, the heaviest first, each by the feature that weighs most in its direction. What there is
nothing of is one thing, however many features say so: without an order the one reason is `no order yet`. A feature
about the person, `WITHHELD`, is never told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from segmentation import families, plain_yaml, preparation, tables
from segmentation.explain import Contributions

MOST = 3
Language = Literal["en", "zh"]
_CONFIG = Path(__file__).resolve().parents[1] / "config"
CONFIG: Mapping[Language, Path] = {"en": _CONFIG / "reasons.yaml", "zh": _CONFIG / "reasons.zh.yaml"}
# What nobody wants to hear as a reason: who they are, and where they live
WITHHELD = ("age_years", "gender", "income_band", "city", "country")
_SOON = ("raises the chance of an order soon", "lowers the chance of an order soon")
_SOON_ZH = ("近期下单概率升高", "近期下单概率降低")
_EFFECTS: Mapping[Language, Mapping[str, tuple[str, str]]] = {
    "en": {
        tables.CHURN.model: ("raises the risk to leave", "lowers the risk to leave"),
        tables.NEWCOMER.model: _SOON,
        tables.PURCHASE.model: _SOON,
    },
    "zh": {
        tables.CHURN.model: ("流失风险升高", "流失风险降低"),
        tables.NEWCOMER.model: _SOON_ZH,
        tables.PURCHASE.model: _SOON_ZH,
    },
}
_AS_TOLD: Mapping[Language, str] = {"en": "{} ({})", "zh": "{}（{}）"}
# Counted in Chinese: the measure word, and what is counted
_COUNTED_ZH = {
    "ads": "个广告", "articles": "篇文章", "brands": "个品牌", "categories": "个品类", "channels": "个渠道",
    "complaints": "次投诉", "contacts": "次营销触达", "days": "天", "different products": "种不同商品",
    "hours": "小时", "lines": "种商品", "orders": "个订单", "pieces": "件", "products": "种商品", "searches": "次搜索",
    "seconds": "秒", "sessions": "次访问", "steps": "步操作", "tickets": "个客服工单", "times": "次",
    "videos": "个视频", "views": "次浏览", "years": "岁",
}  # fmt: skip
_SINGULAR = {"categories": "category", "searches": "search"}
_NAMED = {"sessions": "visits", "tickets": "support tickets", "contacts": "campaign contacts", "lines": "products"}
_DIRECTIONS = ("falling", "steady", "rising")
_NO_COUNTS = ("days", "hours", "seconds", "years", "share", "probability", "ratio", "nats", "1 to 5", "name")
# What a family has nothing of where its columns are empty, and the feature that is empty where there is none at all
_SOURCES = {
    **dict.fromkeys(("order_rhythm", "order_frequency", "spend", "order_channels", "basket", "interest"), "orders"),
    **dict.fromkeys(("browsing", "viewed_interest", "media"), "visits"),
    "purchase_model": "orders",
}
_ANCHORS = {
    "orders": "last_order_age_days",
    "visits": "last_visit_age_days",
    "campaign_response": "last_contact_age_days",
    "service": "last_ticket_age_days",
}


@dataclass(frozen=True)
class Phrase:
    """How a feature is told: `{}` in the text stands for the value in its unit.

    :param source: what there is nothing of where it has no value, or is a count of 0.
    :param missing: where there is no value.
    :param none: where it is 0; None: like any other.
    :param directions: of a trend: falling, steady, rising; else empty.
    :param language: of the texts, and so of the unit.
    """

    kind: str
    source: str
    unit: str
    text: str
    missing: str
    none: str | None = None
    directions: tuple[str, ...] = ()
    language: Language = "en"

    def of(self, value: float | str) -> str:
        """The text for one value, which may be NaN or `preparation.UNKNOWN`."""
        if value == preparation.UNKNOWN or value != value:
            return self.missing
        text = self.directions[int(np.sign(value)) + 1] if self.directions else self.text
        return self.none if self.none and value == 0 else text.replace("{}", in_unit(value, self.unit, self.language))


def tell(found: Contributions, inputs: pd.DataFrame, model: str, language: Language = "en") -> pa.Array:
    """The reasons of each row, a list of three texts; fewer where fewer kinds of features have to do with the score.

    :param found: shape (n, features), of the score that decides.
    :param inputs: the features' values, as `preparation.inputs` makes them.
    :param model: the registered name of the model, which says what a contribution raises.
    :param language: of the texts.
    """
    names = [name for name in found.columns if name not in WITHHELD]
    columns = [inputs[name].to_numpy() if inputs[name].dtype.kind == "f" else inputs[name].array for name in names]
    values = found.values.T[[found.columns.index(name) for name in names]]
    book = phrasebook(language)
    lacks = _lacks(names, inputs)
    parts = [(np.where(lacks, 0, values), _kinds([book[name].kind for name in names], names))]
    parts.append((np.where(lacks, values, 0), _kinds([f"no {book[name].source}" for name in names])))
    weights = np.vstack([_summed(part, kinds) for part, kinds in parts])
    chosen = _heaviest(weights)
    codes, texts, first = np.full(chosen.shape, -1), [], 0
    for part, kinds in parts:
        for kind in range(max(kinds, default=-1) + 1):
            rows, ranks = np.divmod(np.flatnonzero(chosen == first + kind), chosen.shape[1])
            places = np.flatnonzero(np.array(kinds) == kind)
            rises = weights[first + kind, rows] > 0
            told = np.stack([part[place].take(rows) for place in places])
            heaviest = places[np.where(rises, told, -told).argmax(axis=0)]
            if part is not parts[0][0]:
                heaviest = _nothing_at_all(heaviest, rows, places, names, columns)
            for place in np.flatnonzero(np.bincount(heaviest, minlength=len(names))):
                mine = heaviest == place
                column = columns[place].take(rows[mine])
                effects = _EFFECTS[language][model]
                codes[rows[mine], ranks[mine]], more = _texts(
                    column, rises[mine], book[names[place]], effects, len(texts)
                )
                texts += more
        first += max(kinds, default=-1) + 1
    told = codes >= 0
    offsets = np.concatenate([[0], told.sum(axis=1).cumsum()]).astype("int32")
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(texts, pa.string()).take(pa.array(codes[told])))


def agreement(one: Contributions, other: Contributions) -> float:
    """The share of the rows, 0..1, of which both name the same kinds of features as the `MOST` that weigh most.

    :param one: and
    :param other: of the same rows and model, n > 0.
    """
    return float((_foremost(one) == _foremost(other)).all(axis=1).mean())


def in_unit(value: float | str, unit: str, language: Language = "en") -> str:
    """A value as people read it.

    >>> in_unit(120.0, "days"), in_unit(1, "orders"), in_unit(0, "orders"), in_unit(1234.5, "currency")
    ('120 days', '1 order', 'no orders', '1,234')
    >>> in_unit(0.345, "share"), in_unit(1.44, "ratio"), in_unit(3.26, "1 to 5"), in_unit("search_ad", "name")
    ('34 %', '1.4', '3.3 of 5', 'search ad')
    >>> in_unit(120.0, "days", "zh"), in_unit(0, "orders", "zh"), in_unit(0.345, "share", "zh")
    ('120 天', '0 个订单', '34%')
    """
    is_chinese = language == "zh"
    match unit:
        case "name":
            return str(value).replace("_", " ")
        case "share" | "probability":
            return f"{100 * value:.0f}%" if is_chinese else f"{100 * value:.0f} %"
        case "currency":
            return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2f}".removesuffix(".00")
        case "ratio":
            return f"{value:.2g}" if abs(value) < 10 else f"{value:,.0f}"
        case "nats":
            return f"{np.exp(value):.1f}".removesuffix(".0")
        case "1 to 5":
            told = f"{value:.1f}".removesuffix(".0")
            return f"{told} 分（满分 5 分）" if is_chinese else f"{told} of 5"
    digits = ",.0f" if abs(value) >= 10 or value == int(value) else ".1f" if abs(value) >= 1 else ".2g"
    number = f"{value:{digits}}"
    if is_chinese:
        return f"{number} {_COUNTED_ZH.get(unit, unit)}"
    counts = _NAMED.get(unit, unit)
    if number == "0" and unit not in ("days", "hours", "seconds", "years"):
        return f"no {counts}"
    return f"{number} {_one(counts) if number == '1' else counts}"


@cache
def phrasebook(language: Language = "en") -> Mapping[str, Phrase]:
    """How each feature of the dictionary is told."""
    texts = {
        column: (kind, told)
        for kind, told_of in plain_yaml.load(CONFIG[language]).items()
        for column, told in told_of.items()
    }
    return {
        column.name: replace(
            _phrase(column, _SOURCES.get(family.name, family.name), *texts.get(column.name, (family.name, None))),
            language=language,
        )
        for family in families.every()
        for column in family.columns
    }


def _phrase(column: families.Column, source: str, kind: str, told: list | dict[str, Any] | None) -> Phrase:
    if told is None:
        told = {"text": f"{_plain(column)}: {{}}", "missing": f"{_plain(column)}: {column.null or 'not known'}"}
    elif isinstance(told, list):
        told = dict(zip(("text", "missing"), told, strict=False))
    directions = tuple(told[each] for each in _DIRECTIONS) if "rising" in told else ()
    missing = told.get("missing") or told.get("none") or f"{_plain(column)}: not known"
    unit, text = told.get("unit", column.unit), told.get("text", "")
    return Phrase(kind, source, unit, text, missing, told.get("none"), directions)


def _plain(column: families.Column) -> str:
    """A feature's meaning as a heading: without what comes after a colon or comma, with the window.

    >>> _plain(families.Column("x", "Products viewed, each time counting.", "views", "90 days"))
    'products viewed in the last 90 days'
    """
    head = column.meaning.split(":")[0].split(",")[0].rstrip(".")
    window = f" in the last {column.window}" if column.window[0].isdigit() else ""
    return head[0].lower() + head[1:] + window


def _one(counts: str) -> str:
    first, _, last = counts.rpartition(" ")
    return f"{first} {_SINGULAR.get(last, last.removesuffix('s'))}".strip()


def _foremost(found: Contributions) -> np.ndarray:
    """The kinds that weigh most in each row, as numbers in order, shape (n, MOST). What there is nothing of counts for
    its kind; a feature that the dictionary does not know is a kind of its own."""
    book = phrasebook()
    names = [name for name in found.columns if name not in WITHHELD]
    kinds = _kinds([book[name].kind if name in book else name for name in names], names)
    values = found.values.T[[found.columns.index(name) for name in names]]
    return np.sort(_heaviest(_summed(values, kinds)), axis=1)


def _kinds(kinds: list[str], names: list[str] | None = None) -> list[int]:
    """Kinds as numbers; each feature, if named, is one of its own where that is what it takes for three reasons."""
    if names and len(set(kinds)) < MOST:
        kinds = names
    return [sorted(set(kinds)).index(kind) for kind in kinds]


def _lacks(names: list[str], inputs: pd.DataFrame) -> np.ndarray:
    """Whether a feature says that there is nothing: no value, a count of 0, or no such thing at all; (features, n)."""
    book, found = phrasebook(), np.zeros((len(names), len(inputs)), bool)
    no_such_thing = {anchor: np.isnan(inputs[anchor].to_numpy()) for anchor in _ANCHORS.values() if anchor in inputs}
    for lacks, name in zip(found, names, strict=True):
        phrase, values = book[name], inputs[name]
        anchor = _ANCHORS.get(phrase.source)
        if values.dtype.kind == "f":
            np.isnan(values.to_numpy(), out=lacks)
            if phrase.unit not in _NO_COUNTS:
                lacks |= values.to_numpy() == 0
        else:
            lacks |= np.asarray(values == preparation.UNKNOWN)
        if anchor in no_such_thing:
            lacks |= no_such_thing[anchor]
    return found


def _nothing_at_all(
    heaviest: np.ndarray, rows: np.ndarray, places: np.ndarray, names: list[str], columns: list[np.ndarray]
) -> np.ndarray:
    """Of what there is nothing of at all, the feature that says so shortest stands for all others."""
    for place in places:
        if names[place] in _ANCHORS.values():
            return np.where(np.isnan(columns[place].take(rows)), place, heaviest)
    return heaviest


def _heaviest(weights: np.ndarray) -> np.ndarray:
    """The kinds that weigh most, the heaviest first, of equals the first; -1 where none is left that weighs anything.

    :param weights: shape (kinds, n).
    :returns: shape (n, MOST).
    """
    chosen, sizes = np.full((MOST, weights.shape[1]), -1, "int16"), np.abs(weights)
    for rank in chosen:
        most = np.zeros(weights.shape[1])
        for kind, size in enumerate(sizes):
            is_more = size > most
            np.copyto(rank, kind, where=is_more)
            np.copyto(most, size, where=is_more)
        found = np.flatnonzero(rank >= 0)
        sizes[rank[found], found] = 0
    return chosen.T


def _summed(values: np.ndarray, kinds: list[int]) -> np.ndarray:
    """Shape (kinds, n), of shape (features, n)."""
    found = np.zeros((max(kinds, default=-1) + 1, values.shape[1]))
    for column, kind in zip(values, kinds, strict=True):
        found[kind] += column
    return found


def _texts(
    values: Any, rises: np.ndarray, phrase: Phrase, effects: tuple[str, str], first: int
) -> tuple[np.ndarray, list[str]]:
    """(the number of each row's text, the texts): every distinct one is made once.

    :param values: an array of numbers or of texts, shape (n,).
    :param effects: what raises the score does, and what lowers it.
    :param first: the number that the texts begin at.
    """
    if values.dtype.kind == "f":
        values = np.where(np.abs(values) >= 10, np.rint(values), np.round(values, 2))
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    whole = _AS_TOLD[phrase.language]
    both = [whole.format(text, effect) for text in map(phrase.of, distinct) for effect in effects]
    return first + 2 * codes + np.where(rises, 0, 1), both
