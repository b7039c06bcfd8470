"""
A file of lines, plain or gzipped, looked through once before anything is done with it.

Whatever is wrong with the file as a whole is said here, in one sentence, before any database is touched.
"""

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, int, int], None]

CHUNK_BYTES = 1024 * 1024
LONGEST_FIRST_LINE = 64 * 1024
LINES_BETWEEN_REPORTS = 50_000

_GZIP = b"\x1f\x8b"
_KINDS = {
    b"PK\x03\x04": "an Excel workbook or zip archive (export the sheet as CSV, or unpack it)",
    b"PK\x05\x06": "an empty zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (export the sheet as CSV)",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"BZh": "a bzip2 file (unpack it, or pack it with gzip)",
    b"\xfd7zXZ": "an xz file (unpack it, or pack it with gzip)",
    b"\x28\xb5\x2f\xfd": "a Zstandard file (unpack it, or pack it with gzip)",
    b"7z\xbc\xaf": "a 7-Zip archive (unpack it)",
    codecs.BOM_UTF16_LE: "UTF-16 text (save it as UTF-8)",
    codecs.BOM_UTF16_BE: "UTF-16 text (save it as UTF-8)",
}


class WrongFile(ValueError):  # noqa: N818 - reads as what it says: the file is the wrong one
    """The file as a whole cannot be loaded; the message is one sentence: what was expected, what was found."""


@dataclass(frozen=True)
class SourceFile:
    """A readable text file: its bytes have been seen to the end, and its encoding is known.

    `size` is in bytes as unpacked; `sha256` is of the file as it lies; `newline` ends a line.
    """

    path: Path
    sha256: str
    size: int
    encoding: str
    newline: str
    is_gzip: bool

    @property
    def name(self) -> str:
        """What the file is called in reports and in quarantine."""
        return self.path.name

    def lines(self, progress: Progress) -> Iterator[str]:
        """The physical lines, each with its line end, without a byte order mark."""
        opened = gzip.open if self.is_gzip else open
        with opened(self.path, "rt", encoding=self.encoding, newline=self.newline) as text:
            done = 0
            for number, line in enumerate(text, start=1):
                done += len(line)
                if number % LINES_BETWEEN_REPORTS == 0:
                    progress(f"reading {self.name}", min(done, self.size), self.size)
                yield line
        progress(f"reading {self.name}", self.size, self.size)


def open_source(path: Path) -> SourceFile:
    """Reads the whole file once: can it be unpacked, is it text, in which encoding?

    :raises WrongFile: missing, a folder, unreadable, empty, not or no longer a gzip, not text.
    """
    if path.is_dir():
        raise WrongFile(f"expected a file, found that {path} is a folder")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise WrongFile(f"expected a file, found nothing at {path}") from None
    except OSError as error:
        raise WrongFile(f"expected a readable file, found {path}: {error.strerror}") from error
    is_gzip = start.startswith(_GZIP)
    if path.suffix.lower() == ".gz" and not is_gzip:
        found = _kind(start) or ("text" if start else "an empty file")
        raise WrongFile(f"expected a gzip file, as the name {path.name} says, found {found}")
    size, encoding, newline = _look_through(path, is_gzip)
    return SourceFile(path, sha256, size, encoding, newline, is_gzip)


def _look_through(path: Path, is_gzip: bool) -> tuple[int, str, str]:
    """Size in bytes as unpacked, encoding and line end."""
    size = 0
    encodings = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8-sig", "cp1252")}
    newline = "\n"
    for chunk in _chunks(path, is_gzip):
        if not size:
            newline = _line_end(path, chunk)
        size += len(chunk)
        for name, decoder in list(encodings.items()):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                del encodings[name]
    if not size:
        raise WrongFile(f"expected lines of text, found that {path.name} is empty")
    if "utf-8-sig" in encodings:
        try:
            encodings["utf-8-sig"].decode(b"", final=True)
        except UnicodeDecodeError:
            del encodings["utf-8-sig"]
    return size, next(iter(encodings), "latin-1"), newline


def _chunks(path: Path, is_gzip: bool) -> Iterator[bytes]:
    try:
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise WrongFile(
            f"expected a whole gzip file, found that {path.name} breaks off or is damaged ({error})"
        ) from error
    except OSError as error:
        raise WrongFile(f"expected a readable file, found {path}: {error.strerror}") from error


def _line_end(path: Path, chunk: bytes) -> str:
    """How lines end, from the first bytes; refuses what is not text at all."""
    kind = _kind(chunk)
    if kind:
        raise WrongFile(f"expected comma-separated text, found that {path.name} is {kind}")
    start = chunk[:LONGEST_FIRST_LINE]
    newline = "\n" if b"\n" in start or b"\r" not in start else "\r"
    first = start.split(newline.encode(), 1)[0]
    if len(first) == LONGEST_FIRST_LINE or any(byte < 32 and byte not in b"\t\r\x0c" for byte in first):
        raise WrongFile(f"expected lines of text, found that {path.name} is binary")
    return newline


def _kind(start: bytes) -> str | None:
    return next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), None)
