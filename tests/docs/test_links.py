"""No link of the documents leads nowhere, and each page is led to."""

import re

from tests.docs import documented


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_files_and_headings_that_exist():
    dead = []
    for page, address in documented.links():
        path, _, anchor = address.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text(encoding="utf-8"))):
            dead.append(f"{page.relative_to(documented.ROOT)}: {address}")
    assert dead == []


def test_every_page_and_picture_is_linked_from_another():
    docs = documented.ROOT / "docs"
    linked = {(page.parent / address.partition("#")[0]).resolve() for page, address in documented.links()}
    folders = {path for path in linked if path.is_dir()}
    files = [path for path in docs.rglob("*") if path.suffix in (".md", ".png", ".svg", ".py")]
    alone = [f"{path.relative_to(docs)}" for path in files if path not in linked and path.parent not in folders]
    assert alone == []
