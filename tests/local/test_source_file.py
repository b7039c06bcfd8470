"""Files as a whole: what is refused, in which words, and how the others are read."""

import gzip

import pytest

from local.source_file import WrongFile, open_source


def silent(text, done, total):
    pass


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def lines(path):
    return list(open_source(path).lines(silent))


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        ("café £5\n".encode(), "utf-8-sig", "café £5\n"),
        ("\ufeffcafé\n".encode(), "utf-8-sig", "café\n"),
        ("café £5 \u2019\n".encode("cp1252"), "cp1252", "café £5 \u2019\n"),
        (b"caf\xe9 \x81\n", "latin-1", "caf\xe9 \x81\n"),
        (b"caf\xc3", "cp1252", "cafÃ"),  # the last character of a UTF-8 file may not be cut short
    ],
)
def test_text_is_read_in_the_encoding_it_has(tmp_path, content, encoding, text):
    path = written(tmp_path, "a.csv", content)

    assert open_source(path).encoding == encoding
    assert lines(path) == [text]


def test_a_character_across_two_chunks_is_one_character(tmp_path):
    path = written(tmp_path, "a.csv", b"head\n" + b"x" * (1024 * 1024 - 6) + "é\n".encode())

    assert open_source(path).encoding == "utf-8-sig"


@pytest.mark.parametrize("content", [b"a\nb\nc", b"a\nb\nc\n", b"a\r\nb\r\nc\r\n", b"a\rb\rc\r"])
def test_lines_end_in_any_of_three_ways(tmp_path, content):
    assert [line.rstrip("\r\n") for line in lines(written(tmp_path, "a.csv", content))] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv"])
def test_a_gzip_is_known_by_its_bytes_whatever_its_name(tmp_path, name):
    assert lines(written(tmp_path, name, gzip.compress(b"a\nb\n", mtime=0))) == ["a\n", "b\n"]


def test_the_same_bytes_have_the_same_sha256_under_any_name(tmp_path):
    one, other = written(tmp_path, "a.csv", b"a\n"), written(tmp_path, "b.csv", b"a\n")

    assert open_source(one).sha256 == open_source(other).sha256
    assert open_source(one).name == "a.csv"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "expected lines of text, found that a.csv is empty"),
        ("a.csv.gz", b"", "expected a gzip file, as the name a.csv.gz says, found an empty file"),
        ("a.csv.gz", b"a,b\n", "expected a gzip file, as the name a.csv.gz says, found text"),
        (
            "a.csv.gz",
            b"PK\x03\x04...",
            "expected a gzip file, as the name a.csv.gz says, found an Excel workbook or zip",
        ),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "expected lines of text, found that a.csv.gz is empty"),
        (
            "a.csv.gz",
            gzip.compress(b"a,b\n" * 9999, mtime=0)[:-30],
            "expected a whole gzip file, found that a.csv.gz breaks off",
        ),
        ("a.csv.gz", gzip.compress(b"a,b\n" * 99, mtime=0)[:20] + b"!!!!!!!!!!!!!", "breaks off or is damaged"),
        ("a.xlsx", b"PK\x03\x04...", "is an Excel workbook or zip archive (export the sheet as CSV, or unpack it)"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old Excel workbook (export the sheet as CSV)"),
        ("a.txt", "InvoiceNo\tQuantity".encode("utf-16"), "is UTF-16 text (save it as UTF-8)"),
        ("a.bin", bytes(range(256)) * 9, "expected lines of text, found that a.bin is binary"),
        ("a.csv", b"x" * 100_000, "expected lines of text, found that a.csv is binary"),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path, name, content, sentence):
    path = written(tmp_path, name, content)

    with pytest.raises(WrongFile) as refusal:
        open_source(path)

    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_missing_or_a_folder_is_said_to_be(tmp_path):
    with pytest.raises(WrongFile, match=r"expected a file, found nothing at .*none\.csv"):
        open_source(tmp_path / "none.csv")
    with pytest.raises(WrongFile, match=r"expected a file, found that .* is a folder"):
        open_source(tmp_path)
