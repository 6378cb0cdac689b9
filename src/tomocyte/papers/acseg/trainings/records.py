"""Small sealed files with what is finished, found again by a key of everything that decides their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tomocyte.errors import InputError
from tomocyte.ledger.sealed import unseal


def stored(path: Path, key: str) -> dict[str, Any] | None:
    """The record in a file, or ``None`` where it is missing, damaged or of another key."""
    if not path.exists():
        return None
    try:
        content = unseal(path)
    except InputError:
        return None
    return content if content.get("key") == key else None
