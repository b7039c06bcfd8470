"""
Under which licences the packages are that the project installs: `make licences` writes docs/licences.md.

What is allowed, and what packages do not say well themselves, is in licences.yaml. A package whose licence is unknown
or not allowed is named, and nothing is written. Of a package the licence is what its metadata say, in this order: the
SPDX expression, the text of `License`, the classifier.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from segmentation import plain_yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE, RULES = REPOSITORY / "docs" / "licences.md", Path(__file__).with_name("licences.yaml")
# file of pinned packages -> what they are needed for; a package counts for the first that has it
PINS = {"requirements.txt": "the product", "requirements-spark.txt": "Spark", "requirements-dev.txt": "lint and tests"}
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)")
_HEAD = """# Licences of what is installed

Every package that `requirements*.txt` pin, by what its own metadata say. Made by `make licences`; a test fails where a
package's licence is unknown or none of those in `local/licences.yaml`, which says why each is allowed.

"""
_WORDS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit -or- apache license 2.0": "MIT OR Apache-2.0",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}


class Licensed(NamedTuple):
    """A package, what it is needed for, its licence as SPDX has it (None: unknown), and why that was set by hand."""

    name: str
    use: str
    licence: str | None
    why: str = ""


def pinned(files: Iterable[Path]) -> dict[str, Path]:
    """Package -> the first file that pins it."""
    found: dict[str, Path] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if pin := _PIN.match(line):
                found.setdefault(re.sub(r"[-_.]+", "-", pin[1]).lower(), file)
    return found


def packages(rules: Mapping) -> list[Licensed]:
    """Every pinned package with its licence, by name."""
    found, known = [], {name.lower(): name for name in rules["allowed"]}
    for name, file in sorted(pinned(REPOSITORY / file for file in PINS).items()):
        reviewed = rules["reviewed"].get(name, {})
        licence = reviewed.get("licence") or _of_metadata(name, known)
        found.append(Licensed(name, PINS[file.name], licence, reviewed.get("why", "")))
    return found


def faults(found: Iterable[Licensed], rules: Mapping) -> list[str]:
    """What is wrong: packages of an unknown or not allowed licence, and rules that no package needs."""
    found = list(found)
    told = [
        f"{each.name}: its licence is not known; look into its files, and name it under `reviewed`"
        if each.licence is None
        else f"{each.name}: {each.licence} is not allowed"
        for each in found
        if each.licence is None or not is_allowed(each.licence, rules["allowed"])
    ]
    names = {each.name for each in found}
    return told + [f"{name}: reviewed, but not installed any more" for name in rules["reviewed"] if name not in names]


def is_allowed(licence: str, allowed: Iterable[str]) -> bool:
    """Whether one of the alternatives of an SPDX expression has nothing but allowed licences in it.

    >>> is_allowed("GPL-3.0-only OR MIT", ["MIT"]), is_allowed("GPL-3.0-only AND MIT", ["MIT"])
    (True, False)
    """
    allowed = set(allowed)
    return any(all(part.strip() in allowed for part in either.split(" AND ")) for either in licence.split(" OR "))


def page(found: Iterable[Licensed]) -> str:
    """The text of docs/licences.md."""
    found = list(found)
    lines = ["| licence | packages |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(Counter(each.licence for each in found).items())]
    lines += ["", "| package | licence | needed for | set by hand, because |", "|---|---|---|---|"]
    lines += [f"| {each.name} | {each.licence} | {each.use} | {each.why} |" for each in found]
    return _HEAD + "\n".join(lines) + "\n"


def _of_metadata(name: str, known: Mapping[str, str]) -> str | None:
    """What a package says; None where it is not installed, says nothing, or says it in words that are not known."""
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    if expression := told.get("License-Expression"):
        return expression
    text = (told.get("License") or "").strip()
    if licence := _plain(text, known) or (text if re.fullmatch(r"[\w.+-]+( (AND|OR) [\w.+-]+)+", text) else None):
        return licence
    classified = {each.split(" :: ")[-1] for each in told.get_all("Classifier", []) if each.startswith("License ::")}
    classified -= {"OSI Approved", "DFSG approved"}
    return _plain(classified.pop(), known) if len(classified) == 1 else None


def _plain(text: str, known: Mapping[str, str]) -> str | None:
    return _WORDS.get(text.lower()) or known.get(text.lower())


if __name__ == "__main__":
    _rules = plain_yaml.load(RULES)
    _found = packages(_rules)
    if _faults := faults(_found, _rules):
        sys.exit("\n".join(_faults))
    PAGE.write_text(page(_found), encoding="utf-8")
    print(f"wrote {PAGE.name}: {len(_found)} packages")
