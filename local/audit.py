"""
Known vulnerabilities of what is pinned: `make audit`, by pip-audit.

pip-audit passes over a package that its service does not know, and ends well where it knows none at all: a mirror that
answers, but has no advisories, looks like good news. So a package that is known to be vulnerable is asked for first:
only a service that says so is believed. Where none can be reached, that is said, and nothing fails for it. A known
vulnerability fails, unless known_vulnerabilities.yaml has it with a reason and a day that is still to come.
"""

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from local.licences import PINS, REPOSITORY
from segmentation import plain_yaml

REVIEWED = Path(__file__).with_name("known_vulnerabilities.yaml")
_CANARY = "jinja2==2.4.1"  # CVE-2014-1402 and later ones
_SERVICES = ("pypi", "osv")
_SECONDS = 600


class Finding(NamedTuple):
    """A known vulnerability of a pinned package."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    fixed_in: tuple[str, ...]


def answering(services: Sequence[str], osv_url: str | None) -> tuple[str | None, dict[str, str]]:
    """The first service that knows what everybody knows, and why the others are not believed."""
    silent = {}
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder, "canary.txt")
        canary.write_text(f"{_CANARY}\n")
        for service in services:
            try:
                if findings([canary], service, osv_url)[0]:
                    return service, silent
                silent[service] = "answers, but knows no vulnerability of a package that has some"
            except UnansweredError as error:
                silent[service] = f"{error}"
    return None, silent


class UnansweredError(Exception):
    """pip-audit has not come to an end; its last line."""


def findings(files: Iterable[Path], service: str, osv_url: str | None) -> tuple[list[Finding], list[str]]:
    """What a service knows of what files pin, and the packages that it does not know.

    :raises UnansweredError: it cannot be reached, or answers nonsense.
    """
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    command += ["--osv-url", osv_url] if osv_url else []
    for file in files:
        command += ["--requirement", str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        told = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired as error:
        raise UnansweredError(f"no end after {_SECONDS} seconds") from error
    except (ValueError, KeyError) as error:
        raise UnansweredError((done.stderr.strip() or "no answer").splitlines()[-1][:200]) from error
    found = {
        Finding(each["name"], each["version"], v["id"], tuple(v.get("aliases", ())), tuple(v.get("fix_versions", ())))
        for each in told
        for v in each.get("vulns", ())
    }
    return sorted(found), sorted({each["name"] for each in told if "skip_reason" in each})


def faults(found: Iterable[Finding], reviewed: Mapping[str, Mapping], today: dt.date) -> list[str]:
    """What is not passed over, in words: new vulnerabilities, and entries that are incomplete, over or of no use."""
    found, told, used = list(found), [], set()
    for each in found:
        known = next((name for name in (each.id, *each.aliases) if name in reviewed), None)
        if known is None:
            fixed = f"mended in {', '.join(each.fixed_in)}" if each.fixed_in else "not mended yet"
            told.append(f"{each.package} {each.version}: {', '.join((each.id, *each.aliases))}; {fixed}")
        else:
            used.add(known)
    for name, entry in reviewed.items():
        if not (isinstance(entry, dict) and entry.get("reason") and isinstance(entry.get("until"), dt.date)):
            told.append(f"{REVIEWED.name}: {name} needs a reason, and a day as `until`")
        elif entry["until"] <= today:
            told.append(f"{REVIEWED.name}: {name} was to be looked at again by {entry['until']}")
        elif name not in used:
            told.append(f"{REVIEWED.name}: {name} is no vulnerability of what is pinned now")
    return told


def main(arguments: Sequence[str] | None = None, today: dt.date | None = None) -> int:
    """Prints what was found; 1: something is to be done."""
    parser = argparse.ArgumentParser(
        prog="python -m local.audit", description="Known vulnerabilities of what is pinned"
    )
    parser.add_argument("--osv-url", help="a mirror of OSV's query address")
    parser.add_argument("files", nargs="*", type=Path, default=[REPOSITORY / file for file in PINS])
    asked = parser.parse_args(arguments)
    services = ("osv",) if asked.osv_url else _SERVICES
    service, silent = answering(services, asked.osv_url)
    if service is None:
        print("Vulnerabilities: NOT AUDITED, because no service could be asked. Nothing is known, good or bad.")
        print("\n".join(f"  {name}: {why}" for name, why in silent.items()))
        return 0
    try:
        found, unknown = findings(asked.files, service, asked.osv_url)
    except UnansweredError as error:
        print(f"Vulnerabilities: NOT AUDITED: {service} stopped answering: {error}")
        return 0
    told = faults(found, plain_yaml.load(REVIEWED) or {}, today or dt.datetime.now(dt.UTC).date())
    print(f"Vulnerabilities, as {service} knows them: {len(found)} found, {len(told)} to be seen to.")
    if unknown:
        print(f"  not known to it: {', '.join(unknown)}")
    print("".join(f"  {each}\n" for each in told), end="")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
