"""Sealed JSON: a small file that vouches for itself, so that a single flipped bit shows.

The commit records, the manifest and the marker of an output folder are written and read here.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from json.encoder import encode_basestring
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
        return _sealed(content)
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
        content.pop("sha256")
        is_sound = data == seal(content)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InputError("E-RECORD", f"is not a record of tomocyte ({error}).", path=path) from error
    if not is_sound:
        raise InputError("E-RECORD", "was changed after it was written.", path=path)
    return dict(content)


def _sealed(content: Mapping[str, Any]) -> bytes:
    try:
        lines = {name: f"{encode_basestring(name)}: {_encoded(value, _LINE)}" for name, value in content.items()}
    except (_UnusualError, TypeError):  # numbers as keys, subclasses: what the library makes of them, or refuses
        digest = hashlib.sha256(_by_library(content)).hexdigest()
        return _by_library({**content, "sha256": digest})
    lines["sha256"] = f'"sha256": "{hashlib.sha256(_joined(lines)).hexdigest()}"'
    return _joined(lines)


def _joined(lines: Mapping[str, str]) -> bytes:
    inside = f",{_LINE}".join(lines[name] for name in sorted(lines))
    return (f"{{{_LINE}{inside}\n}}\n" if lines else "{}\n").encode()


def _by_library(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
    return (text + "\n").encode()


class _UnusualError(Exception):
    """A value that only the library can encode."""


def _encoded(value: Any, line: str) -> str:
    """What ``json.dumps`` gives with these options, ten times faster; ``line`` is a line break and the indentation.

    With an indentation the library encodes in Python, step by step; ten thousand records took 20 s.
    """
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if value is None or kind is bool:
        return _CONSTANTS[value]
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    inner = line + " "
    if kind is dict and all(type(name) is str for name in value):
        lines = [f"{encode_basestring(name)}: {_encoded(value[name], inner)}" for name in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(lines)}{line}}}" if lines else "{}"
    if kind is list or kind is tuple:
        lines = [_encoded(entry, inner) for entry in value]
        return f"[{inner}{f',{inner}'.join(lines)}{line}]" if lines else "[]"
    raise _UnusualError


_LINE = "\n "
_CONSTANTS = {None: "null", True: "true", False: "false"}
