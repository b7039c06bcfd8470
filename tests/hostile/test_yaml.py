"""Files of YAML that mean harm: each is refused in a sentence with its line, at once, and nothing of it is run."""

import contextlib
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation import naming, page_words, plain_yaml, strategy_file
from segmentation.naming import NamesError
from segmentation.plain_yaml import PlainYamlError
from segmentation.strategy_file import StrategiesError

LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
)
HARMFUL = {
    "a billion laughs": (LAUGHS, "line 1", "anchors and aliases"),
    "laughs in a list": (f"- {{{LAUGHS.strip().replace(chr(10), ', ')}}}", "line 1", "anchors and aliases"),
    "one that holds itself": ("&a [*a]", "line 1", "anchors and aliases"),
    "an alias of a strategy": ("- &a {id: x}\n- *a", "line 1", "anchors and aliases"),
    "a call": ("- !!python/object/apply:os.system ['touch harm']", "line 1", "tags are not read"),
    "a name": ("- !!python/name:os.system", "line 1", "tags are not read"),
    "a module": ("- id: x\n  who: !!python/module:os", "line 2", "tags are not read"),
    "a set": ("- !!set {a, b}", "line 1", "tags are not read"),
    "bytes": ("1: {en: !!binary aGVsbG8=}", "line 1", "tags are not read"),
    "a tag of one's own": ("%TAG ! tag:evil,2026:\n---\n- !x y", "line 3", "tags are not read"),
    "an exclamation mark": ("- offer: !now", "line 1", "is a quotation mark missing?"),
    "a merge": ("- <<: {id: a}\n  id: b", "line 1", "<< is not read"),
    "deep brackets": ("[" * 5_000 + "]" * 5_000, "line 1", "more than 20 levels"),
    "deep braces": ("{a: " * 5_000 + "1" + "}" * 5_000, "line 1", "more than 20 levels"),
    "deep dashes": ("- " * 5_000 + "a", "line 1", "more than 20 levels"),
    "too long": ("- a\n" * 100_000, "line 1", "262,144 at most"),
    "a huge number": (f"- id: x\n  priority: {'9' * 5_000}", "line 1", "Exceeds the limit"),
    "no such day": ("- id: 2026-02-30", "line 1", "day is out of range"),
    "half a character": ('- offer: "\\ud800"', "line 1", "control character"),
    "NUL": ('- offer: "a\\0b"', "line 1", "control character"),
    "a list as a key": ("- ? [a]\n  : b", "line 1", "unhashable"),
    "two documents": ("- a\n---\n- b", "line 2", "another document"),
    "not UTF-8": (b"- \xff\xfe", "line 1", "UTF-8"),
    "UTF-16": ("- a".encode("utf-16"), "line 1", "UTF-8"),
    "cut": ("- {id: x", "line 1", "this is no YAML"),
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(text):
        path = tmp_path / "strategies.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return path

    return written


@pytest.mark.parametrize("name", HARMFUL)
def test_each_is_refused_with_its_line_by_every_reader(name, write):
    text, line, why = HARMFUL[name]
    path, began = write(text), time.monotonic()
    for read, error in (
        (plain_yaml.load, PlainYamlError),
        (strategy_file.read, StrategiesError),
        (naming.read, NamesError),
    ):
        with pytest.raises(error) as told:
            read(path)
        assert line in str(told.value)
        assert why in str(told.value)
        assert len(str(told.value)) < 1_000
    assert time.monotonic() - began < 3
    assert not Path("harm").exists()


@pytest.mark.parametrize("name", HARMFUL)
def test_the_page_does_without_the_names_of_such_a_file(name, write, monkeypatch):
    monkeypatch.setattr(strategy_file, "CONFIG", write(HARMFUL[name][0]))
    page_words._strategies.cache_clear()
    assert page_words.Words("en").strategy("win_back") == "win_back"
    page_words._strategies.cache_clear()


def test_keys_that_stand_twice_are_refused_wherever_they_are(write):
    with pytest.raises(PlainYamlError, match=r"strategies.yaml line 4: b stands in line 3 already"):
        plain_yaml.load(write("x:\n- a: 1\n  b: 2\n  b: 3"))


SCALARS = st.text(max_size=30) | st.integers() | st.floats() | st.booleans() | st.none() | st.dates()
KEYS = st.sampled_from(sorted(strategy_file.Strategy.model_fields)) | st.text(max_size=8)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
BITS = st.sampled_from([*"[]{}:,-?!&*#|>%@`'\"\n \t", "id", "who", "- ", ": ", "en", "\x00", "\u202e", "1", "~"])


@given(TREES.map(plain_yaml.yaml.safe_dump) | st.lists(BITS, max_size=40).map("".join) | st.text(max_size=80))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_file_says_it_is_read_or_refused_in_words(write, text):
    path = write(text)
    for read, error in (
        (plain_yaml.load, PlainYamlError),
        (strategy_file.read, StrategiesError),
        (naming.read, NamesError),
    ):
        with contextlib.suppress(error):
            told = read(path)
            if read is plain_yaml.load:
                assert repr(told) == repr(yaml.safe_load(text))  # what is not a number is not equal to itself
