"""
Mentions: where a text names a person, or a row of theirs, as the gates do when they give examples.

A mention is a whole word: `C12` is not in `C123`. A number of up to four digits means all sorts of things, so it counts
as a mention only in a list of keys, as in "for example 12, 15", or where it is all that a cell of a page says.
"""

import html
import json
import re
from collections.abc import Iterable

ERASED = "(erased)"
_WORD = re.compile(r"[\w.@+\-]+")
_KEYS = re.compile(r"(?<=for example )[^\n<]*|(?<=>)[^<>]*(?=<)")
_MOST_AMBIGUOUS_DIGITS = 4
_FEW_NAMES = 32  # as many are looked for one by one in less time than a text takes to be decoded


class Mentions:
    """Finds names in texts, however many names there are."""

    def __init__(self, names: Iterable[str]) -> None:
        spelt = {each for name in names for each in (name, html.escape(name), json.dumps(name)[1:-1])}
        self._spelt = [each.encode("utf-8", "surrogateescape") for each in sorted(spelt)]
        words = {each for each in spelt if _WORD.fullmatch(each)}
        self._ambiguous = {each for each in words if each.isdigit() and len(each) <= _MOST_AMBIGUOUS_DIGITS}
        self._words = words - self._ambiguous
        rest = sorted(spelt - words, key=len, reverse=True)
        self._rest = re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in rest)) if rest else None

    def redacted_bytes(self, content: bytes, *, same_length: bool = False) -> tuple[bytes, int]:
        """`redacted` for the content of a file, which need be no valid UTF-8; far cheaper where few are looked for and
        none is there."""
        if len(self._spelt) <= _FEW_NAMES and not any(name in content for name in self._spelt):
            return content, 0
        text, found = self.redacted(content.decode("utf-8", "surrogateescape"), same_length=same_length)
        return (text.encode("utf-8", "surrogateescape") if found else content), found

    def redacted(self, text: str, *, same_length: bool = False) -> tuple[str, int]:
        """The text without its mentions, and how many there were.

        :param same_length: puts as many asterisks in their place as they have bytes in UTF-8; else "(erased)".
        """
        found = 0

        def put(name: str) -> str:
            nonlocal found
            found += 1
            return "*" * len(name.encode("utf-8", "surrogateescape")) if same_length else ERASED

        def of_words(part: str, names: set[str]) -> str:
            return _WORD.sub(lambda match: _put_word(match[0], names, put), part)

        if self._rest:
            text = self._rest.sub(lambda match: put(match[0]), text)
        if self._words:
            text = of_words(text, self._words)
        if self._ambiguous:
            text = _KEYS.sub(lambda match: self._in_list(match[0], put), text)
        return text, found

    def count(self, content: bytes) -> int:
        """How many mentions there are in the content of a file."""
        return self.redacted_bytes(content)[1]

    def _in_list(self, keys: str, put) -> str:
        parts = re.split(r"(, |/)", keys)
        return "".join(_put_word(part, self._ambiguous, put) if _WORD.fullmatch(part) else part for part in parts)


def _put_word(word: str, names: set[str], put) -> str:
    """The word, or what stands for it; a full stop or a hyphen at its end may belong to the sentence."""
    if word in names:
        return put(word)
    bare = word.rstrip(".-")
    return put(bare) + word[len(bare) :] if bare in names else word
