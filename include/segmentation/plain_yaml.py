"""
YAML as people write it by hand: mappings, lists, texts and numbers; what could harm whoever reads it is refused.

Anchors and aliases (by which a few lines become a billion), tags (which ask for other types), deep nesting and long
files are no part of any of our files, nor are keys that stand twice, of which the last would silently count.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from segmentation.errors import FinalError

_LONGEST, _DEEPEST = 256 * 1024, 20
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class PlainYamlError(FinalError):
    """A file is not plain YAML in UTF-8; names the file and the line, and says why."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        self.line, self.why = line, why
        super().__init__(f"{path.name} line {line}: {why}")


class Document(NamedTuple):
    """A file as YAML's nodes, which know their lines (None: it is empty), and what these say."""

    root: yaml.Node | None
    told: Any


def load(path: Path) -> Any:
    """What a file says: dicts, lists, texts, numbers, truths, dates, and None.

    :raises PlainYamlError: it is not plain YAML, or a key stands in it twice.
    """
    found = read(path)
    for line, key, first in doubled(found.root):
        raise PlainYamlError(path, line, f"{key} stands in line {first} already")
    return found.told


def read(path: Path) -> Document:
    """A file, without a look at keys that stand twice; see `doubled`.

    :raises PlainYamlError: it is not plain YAML.
    """
    try:
        content = path.read_bytes()
        if len(content) > _LONGEST:
            raise PlainYamlError(path, 1, f"it has {len(content):,} bytes; {_LONGEST:,} at most are read")
        loader = _Loader(content.decode("utf-8"))
        root = loader.get_single_node()
        return Document(root, None if root is None else loader.construct_document(root))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PlainYamlError(path, line, f"this is no YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise PlainYamlError(path, 1, f"this is no YAML in UTF-8: {error}") from error


def doubled(node: yaml.Node | None) -> Iterator[tuple[int, str, int]]:
    """(line, key, line where it stood first) of keys that stand twice, of which YAML would take the last."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key.value, str) and seen.setdefault(key.value, line) != line:
                yield line, key.value, seen[key.value]
            yield from doubled(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from doubled(each)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, without what is refused."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse("anchors and aliases (& and *) are not read; write it out", event)
        if getattr(event, "tag", None):
            self._refuse(f"tags are not read, such as {event.tag!r}; is a quotation mark missing?", event)
        if isinstance(event, yaml.ScalarEvent) and _UNWRITABLE.search(event.value):
            self._refuse("a text holds a control character, or half of one", event)
        if self._depth == _DEEPEST:
            self._refuse(f"more than {_DEEPEST} levels are in each other", event)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node, deep=False):
        for key, _ in node.value:
            if key.tag.endswith(":merge"):
                raise yaml.constructor.ConstructorError(None, None, "<< is not read; write it out", key.start_mark)
        return super().construct_mapping(node, deep)

    def _refuse(self, why: str, event: yaml.Event) -> None:
        raise yaml.composer.ComposerError(None, None, why, event.start_mark)
