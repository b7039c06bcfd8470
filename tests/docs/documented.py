"""The commands and links that the documents show, as their readers would copy them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
_SETTING = r"(?:[A-Z][A-Z_]*=\S+ +)*"  # before a command, for it alone
_PROGRAM = _SETTING + r"(?:make|pip|python|psql|airflow|docker|pytest|sh|sqlite3|\.venv/bin/\w+)(?: |$)"
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")


def commands() -> dict[str, set[str]]:
    """Each form of a command that some page shows in a block or between backticks -> the pages that show it."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        for shown in _shown(page.read_text(encoding="utf-8")):
            found.setdefault(form(shown), set()).add(str(page.relative_to(ROOT)))
    return found


def form(command: str) -> str:
    """A command without what a reader puts in: `make run DAG=x DAY=2026-07-01` is `make run DAG=x DAY=`.

    Which DAG, and which module, is part of the form; values of the rest, file names and ids are not.
    """
    words = [word.strip("[]") for word in _WORD.findall(command) if word[:1] not in "\"'"]
    kept, is_value = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and name.isupper() and name != "DAG":
            kept.append(f"{name}=")
        elif word.startswith("--"):
            kept.append(name)
            is_value = True
            continue
        elif not is_value:
            kept.append(word)
        is_value = is_value and word[:1].isdigit()  # an option may take several numbers
    return " ".join(kept)


def links() -> Iterator[tuple[Path, str]]:
    """(page, address) of each link and picture that leads into the project."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for address in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in address:
                yield page, address


def _shown(text: str) -> Iterator[str]:
    text = text.replace("\\\n", " ")
    for line in text.splitlines():
        command = re.sub(r"\s+# .*", "", line.strip())
        if line.startswith("    ") and re.match(_PROGRAM, command):
            yield re.sub(f"^{_SETTING}", "", command)
    for command in re.findall(r"`([^`]+)`", re.sub(r"\s+", " ", text)):
        if re.match(_PROGRAM, command):
            yield re.sub(f"^{_SETTING}", "", command)
