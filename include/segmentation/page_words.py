"""
The Segments page's words in English and Chinese, and how it prints numbers. The words are in segments_page.yaml.
"""

import datetime as dt
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from segmentation import naming, plain_yaml, strategy_file

Language = Literal["en", "zh"]
FILE = Path(__file__).with_name("segments_page.yaml")


def language_of(asked: str | None, accepted: str | None) -> Language:
    """The language that was asked for, else the first that the browser accepts and the page speaks, else English.

    :param asked: of the address, `?lang=`.
    :param accepted: the header Accept-Language.

    >>> language_of(None, "fr, zh-CN;q=0.8, en;q=0.4"), language_of("en", "zh"), language_of("xx", None)
    ('zh', 'en', 'en')
    """
    if asked in ("en", "zh"):
        return asked
    weighed = []
    for place, part in enumerate((accepted or "").split(",")):
        name, _, weight = part.strip().partition(";")
        found = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", weight)
        weighed.append((-(float(found[1]) if found else 1.0), place, name.strip().lower()[:2]))
    return next((name for weight, _, name in sorted(weighed) if weight and name in ("en", "zh")), "en")


@cache
def _file() -> dict[str, dict[str, dict[str, str]]]:
    return plain_yaml.load(FILE)


class Words:
    """The page's words in one language.

    >>> words = Words("zh")
    >>> words("late", days=3), words.value("high"), words.number(1234567), words.percent(0.1234)
    ('此结果已有 3 天，之后的数据尚未发布。', '高', '1,234,567', '12.3%')
    """

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: Any) -> str:
        """A text; the names in braces filled in.

        :raises KeyError: there is no such text.
        """
        return _file()["texts"][key][self.language].format(**values)

    def value(self, value: str | None) -> str:
        """A word of the data, such as a band; as it is where the page has no other for it."""
        return _told(_file()["values"], value, self.language) if value is not None else self("none")

    def column(self, name: str) -> str:
        """What a column is called."""
        return _told(_file()["columns"], name, self.language)

    def segments(self, names: Mapping[int, str]) -> dict[int, str]:
        """Published names of segments, in this language: by the file of names, else as the models name them."""
        shown = dict(names)
        if self.language == "zh":
            shown = {segment: naming.in_chinese(name) for segment, name in names.items()}
            try:
                chosen = naming.read()
            except naming.NamesError:  # the daily run says what is wrong with it
                chosen = {}
            shown |= {segment: chosen[segment].zh for segment in names if segment in chosen and chosen[segment].zh}
        return {segment: name.replace("_", " ") for segment, name in shown.items()}

    def strategy(self, strategy_id: str | None) -> str:
        """What a strategy is called."""
        if strategy_id is None:
            return self("no_strategy")
        return _told(_strategies(strategy_file.CONFIG.stat().st_mtime_ns), strategy_id, self.language)

    @staticmethod
    def language_of_text(text: str) -> str:
        """What a text of the shop's or of the models' is written in, for whoever reads the page aloud."""
        return "zh-Hans" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"

    def number(self, value: float | None, digits: int = 0) -> str:
        """With commas; few customers are None."""
        return self("few") if value is None else f"{value:,.{digits}f}"

    def percent(self, value: float | None) -> str:
        """Of a share 0..1."""
        return "–" if value is None else f"{value:.1%}"

    def time(self, value: dt.datetime | None) -> str:
        """To the minute."""
        return "–" if value is None else f"{value:%Y-%m-%d %H:%M}"


def _told(words: Mapping[str, Mapping[str, str]], name: str, language: Language) -> str:
    return words[name][language] if name in words else name


@cache
def _strategies(changed: int) -> dict[str, dict[str, str]]:
    """Id -> names of the strategies' file as it was at a time; what is wrong in it, the daily run says.

    :param changed: when it was changed, to be read again then.
    """
    try:
        entries = plain_yaml.load(strategy_file.CONFIG)
        return {each["id"]: {name: str(each["name"][name]) for name in ("en", "zh")} for each in entries}
    except (plain_yaml.PlainYamlError, TypeError, KeyError):
        return {}
