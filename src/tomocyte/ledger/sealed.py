"""Sealed JSON: a small file that vouches for itself, so that a single flipped bit shows.

The commit records, the manifest and the marker of an output folder are written and read here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tomocyte.errors import InputError, SettingsError


def seal(content: Mapping[str, Any]) -> bytes:
    """JSON that vouches for itself: sorted keys, UTF-8, and a ``sha256`` of all the rest.

    Raises
    ------
    SettingsError
        ``E-RECORD-VALUE``: a value that JSON cannot hold, such as NaN.
    """
    try:
        return _canonical({**content, "sha256": hashlib.sha256(_canonical(content)).hexdigest()})
    except (TypeError, ValueError) as error:
        cure = "Use numbers, text, lists and None; None for NaN."
        raise SettingsError(
            "E-RECORD-VALUE", f"a record contains a value that JSON cannot store ({error}).", cure=cure
        ) from error


def unseal(path: Path) -> dict[str, Any]:
    """Read sealed JSON back, without its seal.

    Raises
    ------
    InputError
        ``E-RECORD``: not sealed JSON, or a single bit differs from what was written.
    OSError
        The file cannot be read.
    """
    data = path.read_bytes()
    try:
        content = json.loads(data)
        claimed = content.pop("sha256")
        is_sound = claimed == hashlib.sha256(_canonical(content)).hexdigest() and data == seal(content)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InputError("E-RECORD", f"is not a record of tomocyte ({error}).", path=path) from error
    if not is_sound:
        raise InputError("E-RECORD", "was changed after it was written.", path=path)
    return dict(content)


def _canonical(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
    return (text + "\n").encode()
