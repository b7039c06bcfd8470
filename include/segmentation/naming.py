"""
Names for segments that a marketer understands, in English and Chinese, from what sets each apart; and his own names.

A name says, in this order, how lately the segment's customers bought, how often, and how much they spend, each against
all buyers: `recent_loyal_big_spenders`, 近期·高频·高消费客户. Two segments that would share a name get one word more,
about what differs most between them. `include/config/segment_names.yaml` may call any segment something else.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
import yaml

from segmentation import plain_yaml
from segmentation.errors import FinalError

log = logging.getLogger(__name__)

CONFIG = Path(__file__).resolve().parents[1] / "config" / "segment_names.yaml"


class NamesError(FinalError):
    """The file of names cannot be right; says which line, and why."""


class Name(NamedTuple):
    """What a segment is called; in the file of names either may be left out."""

    en: str | None
    zh: str | None


PROSPECTS = Name("prospects", "潜在客户")
# column -> (word for the low end, word for the high end), used to tell namesakes apart
_CONTRASTS = {
    "last_order_age_days": (Name("more_recent", "较近"), Name("longer_silent", "沉默更久")),
    "orders_count": (Name("fewer_orders", "订单较少"), Name("more_orders", "订单较多")),
    "spend_total": (Name("lower_spend", "消费较低"), Name("higher_spend", "消费较高")),
}
_RECENCY = (Name("recent", "近期"), Name("cooling", "渐冷"), Name("lapsed", "沉睡"))
_FREQUENCY = (Name("occasional", "低频"), Name("repeat", "中频"), Name("loyal", "高频"))
_ONE_TIME = Name("one_time", "单次")
_SPEND = (Name("small", "低消费"), Name("medium", "中等消费"), Name("big", "高消费"))
_LOW, _HIGH = 0.4, 0.6
_LONGEST = 80


def name_segments(ranks: pd.DataFrame, median_orders: pd.Series) -> dict[int, Name]:
    """One name per segment, unique in each language.

    :param ranks: index segment; columns `last_order_age_days`, `orders_count`, `spend_total`: mean percentile rank of
        the segment's customers among all buyers, 0..1.
    :param median_orders: index segment; the median number of orders.

    >>> ranks = pd.DataFrame({"last_order_age_days": [0.2, 0.8], "orders_count": [0.8, 0.2], "spend_total": [0.9, 0.1]})
    >>> [name.en for name in name_segments(ranks, pd.Series([7, 1])).values()]
    ['recent_loyal_big_spenders', 'lapsed_one_time_small_spenders']
    """
    first = pd.Series({segment: _words(ranks.loc[segment], median_orders[segment]) for segment in ranks.index})
    named = {}
    for name, group in first.groupby(first):
        named |= _told_apart(name, ranks.loc[group.index])
    return {segment: named[segment] for segment in ranks.index}


def apart_from(name: Name, taken: Collection[str]) -> Name:
    """A name for a new segment that no other has or had: with a number, if it takes that.

    >>> apart_from(Name("loyal", "高频"), {"loyal", "高频"})
    Name(en='loyal_2', zh='高频2')
    """
    known, number, found = {_plain(each) for each in taken}, 1, name
    while _plain(found.en) in known or _plain(found.zh) in known:
        number += 1
        found = Name(f"{name.en}_{number}", f"{name.zh}{number}")
    return found


def in_chinese(name: str) -> str:
    """A published name in Chinese, where it is one that this module gave; else as it is.

    >>> in_chinese("recent_loyal_big_spenders_more_orders_2"), in_chinese("big regulars")
    ('近期·高频·高消费客户·订单较多2', 'big regulars')
    """
    if name == PROSPECTS.en:
        return PROSPECTS.zh
    sides = [side for pair in _CONTRASTS.values() for side in pair]
    parts = [_RECENCY, (*_FREQUENCY, _ONE_TIME), _SPEND]
    pattern = "_".join(f"({'|'.join(word.en for word in words)})" for words in parts)
    found = re.fullmatch(f"{pattern}_spenders((?:_(?:{'|'.join(side.en for side in sides)}))*)(?:_([0-9]+))?", name)
    if not found:
        return name
    told = [{word.en: word.zh for word in words}[found[place]] for place, words in enumerate(parts, 1)]
    more = re.findall("|".join(side.en for side in sides), found[4])
    chinese = {side.en: side.zh for side in sides}
    return "·".join([*told[:2], f"{told[2]}客户", *(chinese[each] for each in more)]) + (found[5] or "")


def edited(names: Mapping[int, str], language: Literal["en", "zh"] = "en", path: Path = CONFIG) -> dict[int, str]:
    """The names to show for segments: those of the file where it has any, else the given ones.

    What the file says of other segments is no error, since it may be about retired ones; it is warned of.

    :param names: segment id -> the model's own name.
    :raises NamesError: the file cannot be right, or gives a segment the name of another.
    """
    lines = {}
    found = dict(names)
    for line, segment, name in _entries(path):
        if segment not in names:
            log.warning("%s line %d: there is no segment %d now", path.name, line, segment)
        elif chosen := getattr(name, language):
            found[segment], lines[segment] = chosen, line
    for segment, line in lines.items():
        twins = [other for other, name in found.items() if other != segment and _plain(name) == _plain(found[segment])]
        if twins:
            raise NamesError(
                f"{path.name} line {line}: segment {twins[0]} is called {found[segment]!r} already; two segments "
                "cannot share a name"
            )
    return found


def read(path: Path = CONFIG) -> dict[int, Name]:
    """The names in the file, by segment id.

    :raises NamesError: names the line and what is wrong with it.
    """
    return {segment: name for _, segment, name in _entries(path)}


def _entries(path: Path) -> Iterator[tuple[int, int, Name]]:
    """(line, segment id, names) of each entry."""
    try:
        root = plain_yaml.read(path).root
    except plain_yaml.PlainYamlError as error:
        raise NamesError(str(error)) from error
    if root is None:
        return
    seen: dict[tuple[str, str], int] = {}
    segments: dict[int, int] = {}
    for key, value in _pairs(root, path, "segment ids, each with its names"):
        line = key.start_mark.line + 1
        if not (key.tag.endswith(":int") and key.value.isdigit()):
            raise NamesError(f"{path.name} line {line}: {key.value!r} is no segment id, which is a whole number")
        segment = int(key.value)
        if segment in segments:
            raise NamesError(f"{path.name} line {line}: segment {segment} stands in line {segments[segment]} already")
        segments[segment] = line
        told: dict[str, str] = {}
        for language, node in _pairs(value, path, f"en and zh of segment {segment}"):
            where = f"{path.name} line {language.start_mark.line + 1}: segment {segment}"
            if language.value not in Name._fields:
                raise NamesError(f"{where}: {language.value!r} is not known; there are en and zh")
            if language.value in told:
                raise NamesError(f"{where}: {language.value} stands there twice")
            told[language.value] = text = _checked(node, f"{where}: {language.value}")
            twin = seen.setdefault((language.value, _plain(text)), segment)
            if twin != segment:
                raise NamesError(f"{where}: segment {twin} is called {text!r} already; two cannot share a name")
        yield line, segment, Name(told.get("en"), told.get("zh"))


def _pairs(node: yaml.Node, path: Path, expected: str) -> list[tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise NamesError(f"{path.name} line {node.start_mark.line + 1}: expected {expected}")
    return node.value


def _checked(node: yaml.Node, where: str) -> str:
    """A name as it may be published: one line of text."""
    if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null") or not node.value.strip():
        raise NamesError(f"{where} is empty; leave it out to keep the model's own name")
    text = node.value.strip()
    if not text.isprintable() or len(text) > _LONGEST:
        raise NamesError(f"{where} must be one line of at most {_LONGEST} characters")
    return text


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _words(rank: pd.Series, median_orders: float) -> Name:
    recency = _band(rank["last_order_age_days"], _RECENCY)
    frequency = _ONE_TIME if median_orders <= 1 else _band(rank["orders_count"], _FREQUENCY)
    spend = _band(rank["spend_total"], _SPEND)
    return Name(f"{recency.en}_{frequency.en}_{spend.en}_spenders", f"{recency.zh}·{frequency.zh}·{spend.zh}客户")


def _band(rank: float, words: tuple[Name, Name, Name]) -> Name:
    return words[0] if rank < _LOW else words[2] if rank > _HIGH else words[1]


def _told_apart(name: Name, ranks: pd.DataFrame) -> dict[int, Name]:
    """Splits namesakes in two at the widest gap of their most differing column, until each stands alone."""
    if len(ranks) == 1:
        return {ranks.index[0]: name}
    gaps = {column: ranks[column].sort_values().diff().max() for column in _CONTRASTS}
    column = max(gaps, key=gaps.get)
    ordered = ranks.sort_values(column, kind="stable")
    cut = max(int(ordered[column].diff().fillna(-1).to_numpy().argmax()), 1)
    parts = zip(_CONTRASTS[column], (ordered.iloc[:cut], ordered.iloc[cut:]), strict=True)
    return {
        segment: told
        for word, part in parts
        for segment, told in _told_apart(Name(f"{name.en}_{word.en}", f"{name.zh}·{word.zh}"), part).items()
    }
