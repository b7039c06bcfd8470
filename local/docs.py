"""Writes the documents that are generated from the code: `make docs`. A test fails where they differ from it."""

from pathlib import Path

from segmentation import families

FEATURES = Path(__file__).resolve().parents[1] / "docs" / "features.md"


def features() -> str:
    """The text of docs/features.md."""
    return families.dictionary()


if __name__ == "__main__":
    FEATURES.write_text(features(), encoding="utf-8")
    print(f"wrote {FEATURES.name}")
