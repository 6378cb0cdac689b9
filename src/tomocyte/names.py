"""Names of files as people see them: shown on one line, in natural order, without hidden ones.

A name is bytes to most systems and need not be text; Python holds such bytes as lone surrogates, which no file and no
terminal takes. Whatever is written or printed goes through :func:`shown_name` or :func:`encodable`.
"""

from __future__ import annotations

import os
import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DIGITS = re.compile(r"([0-9]+)")
HIDDEN_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
"""What archives, shares and drives put beside other people's files, in lower case."""
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What file browsers drop into every folder."""


def shown_name(name: str | os.PathLike[str]) -> str:
    r"""A name or path on one line and as text: bytes that are no UTF-8 as ``\xb5``, control characters as ``\n``.

    Examples
    --------
    >>> shown_name("zelle_\udcb5m.tif"), shown_name("a\nb.tif"), shown_name("µm.tif")
    ('zelle_\\xb5m.tif', 'a\\nb.tif', 'µm.tif')
    """
    return _UNSHOWN.sub(_escape, os.fspath(name))


def encodable(text: str) -> str:
    r"""A text that every file takes: only bytes that are no UTF-8 are replaced, lines are kept.

    Examples
    --------
    >>> encodable("line 1\nzelle_\udcb5m.tif")
    'line 1\nzelle_\\xb5m.tif'
    """
    return _SURROGATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return _escape_character(match[0])


def _escape_character(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no text (PEP 383)
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Handler for :func:`codecs.register_error`: a stream shows what it cannot encode instead of failing."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_escape_character(character) for character in text), error.end


def natural_key(name: str | os.PathLike[str]) -> tuple[object, ...]:
    """Sort key that counts as people do: well A2 before A10, frame 9 before frame 10.

    Examples
    --------
    >>> sorted(["A10", "A2", "B1", "A1"], key=natural_key)
    ['A1', 'A2', 'A10', 'B1']
    """
    text = os.fspath(name)
    parts = [
        tuple((1, "", int(run)) if run.isdecimal() else (0, run, 0) for run in _DIGITS.split(part) if run)
        for part in re.split(r"[/\\]", text)
    ]
    return (tuple(parts), text)


def is_hidden(name: str) -> bool:
    """Whether a name is hidden, a companion (``._c1.tif`` of macOS, ``~$c1.tif`` of Office) or litter: never an image.

    Examples
    --------
    >>> [is_hidden(name) for name in ("._c1.tif", "~$c1.tif", "Thumbs.db", "c1.tif")]
    [True, True, True, False]
    """
    return name.startswith((".", "~$")) or name in LITTER or name.lower() in HIDDEN_FOLDERS
