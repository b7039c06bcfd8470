"""A name is found as a whole word, however it is spelt; a text that does not name anybody stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.mentions import Mentions

NAMES = st.sets(st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("names", "text", "left"),
    [
        (["C12"], "C12, C123 and XC12: C12.", "(erased), C123 and XC12: (erased)."),
        (["a@b.de"], "mail from a@b.de.", "mail from (erased)."),
        (["order-1"], "orders order-1, order-10, order-1-2", "orders (erased), order-10, order-1-2"),
        (["a b/c"], 'keys "a b/c", a b/cd', 'keys "(erased)", a b/cd'),
        (["a<b"], "<td>a&lt;b</td>", "<td>(erased)</td>"),
        (['a"b'], '{"key": "a\\"b"}', '{"key": "(erased)"}'),
        (["54321"], "54321 of 54322 rows", "(erased) of 54322 rows"),
        (["12"], "12 of 9 rows, for example 12, 120, 3/12", "12 of 9 rows, for example (erased), 120, 3/(erased)"),
        (["12"], "<td>12</td> <p>12 rows</p>", "<td>(erased)</td> <p>12 rows</p>"),
    ],
)
def test_names_are_put_out_as_whole_words(names, text, left):
    mentions = Mentions(names)
    assert mentions.redacted(text)[0] == left
    assert mentions.count(left.encode()) == 0


@given(names=NAMES, before=st.text(alphabet=" ,;()\n", max_size=5), after=st.text(alphabet=" ,;()\n", max_size=5))
def test_every_name_in_a_list_of_keys_is_found(names, before, after):
    mentions = Mentions(names)
    for name in names:
        assert mentions.count(f"{before},for example {name}, {after}".encode()) > 0


@given(names=NAMES, text=st.text(max_size=60))
def test_in_place_the_length_in_bytes_stays(names, text):
    redacted, found = Mentions(names).redacted(text, same_length=True)
    assert len(redacted.encode()) == len(text.encode())
    assert (redacted == text) == (found == 0) or "*" in text
    assert Mentions(names).redacted(redacted, same_length=True)[1] == 0 or "*" in "".join(names)


@given(names=NAMES, others=st.integers(0, 50), content=st.binary(max_size=40), place=st.integers(0, 40))
def test_a_file_is_told_as_its_text_is_for_few_names_and_for_many(names, others, content, place):
    mentions = Mentions(names | {f"another-{number}" for number in range(others)})
    content = content[:place] + b" " + sorted(names)[0].encode() + b"- " + content[place:]
    text, found = mentions.redacted(content.decode("utf-8", "surrogateescape"))
    assert mentions.redacted_bytes(content) == (text.encode("utf-8", "surrogateescape"), found)
