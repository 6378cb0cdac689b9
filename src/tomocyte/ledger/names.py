"""Safe names for items: from any input path to a folder name that every system can hold.

To change what counts as safe, edit :data:`_REPLACED` or :func:`_plain_name`; names decide what is resumed, so such a
change makes old outputs be computed again.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tomocyte.errors import InputError
from tomocyte.ledger.atomic import PART
from tomocyte.names import shown_name

RECORD_SUFFIX = ".done.json"

_LONGEST_BYTES = 120  # leaves room for marks within the 255 bytes of common file systems, 143 of encrypted ones
_REPLACED = re.compile(r"""[<>:"/\\|?*'`$;&!]""")
_DOUBLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", ".ome.btf", ".nii.gz", ".tar.gz")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def _fold(name: str) -> str:
    """What a file system that ignores case and composition compares."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _digest(path: str | Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()


def _stem(path: str | Path) -> str:
    name = os.path.basename(os.path.abspath(path))
    for suffix in _DOUBLE_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


def _plain_name(path: str | Path) -> str:
    stem = unicodedata.normalize("NFC", _stem(path))
    letters = (
        " " if unicodedata.category(c) == "Zs" else "_" if unicodedata.category(c)[0] in "CZ" else c for c in stem
    )
    name = _REPLACED.sub("_", "".join(letters)).strip(" ").rstrip(". ")
    name = PART.sub("_part", name)
    if name.casefold().endswith(RECORD_SUFFIX):
        name = name[: -len(RECORD_SUFFIX)] + "_done_json"
    # A leading dot hides, a leading - is taken for a flag, a leading = + @ for a formula.
    if not name or not (name[0].isalnum() or name[0] == "_" or unicodedata.category(name[0]) == "So"):
        name = f"_{name[1:]}" if name else "item"
    if name.partition(".")[0].casefold() in _RESERVED:
        name = f"_{name}"
    encoded = name.encode()
    if len(encoded) > _LONGEST_BYTES:
        head = encoded[: _LONGEST_BYTES - 9].decode(errors="ignore").rstrip(" .")
        name = f"{head}-{hashlib.sha256(encoded).hexdigest()[:8]}"
    return name


def is_safe_name(item: str) -> bool:
    """Whether a name can be an item: one path component, not hidden, not a mark of the ledger's own."""
    is_mark = PART.search(item) is not None or item.endswith(RECORD_SUFFIX)
    return bool(item) and not is_mark and not item.startswith(".") and not set(item) & {"/", "\\", "\0"}


def item_name(path: str | Path, taken: Collection[str] = ()) -> str:
    """The name of one item: its input's name without suffix, made safe; with a short hash if that is taken.

    Parameters
    ----------
    path : path-like
        The input, file or folder.
    taken : collection of str
        Names that may not be used, compared without case and Unicode composition.

    Returns
    -------
    str
        At most 140 bytes in UTF-8, NFC. The hash depends on the absolute path alone.

    See Also
    --------
    item_names : For several inputs, independent of their order.

    Examples
    --------
    >>> item_name("day 1/-Zelle.ome.tif")
    '_Zelle'
    """
    name = _plain_name(path)
    return f"{name}-{_digest(path)[:8]}" if _fold(name) in {_fold(other) for other in taken} else name


def item_names(paths: Sequence[str | Path], known: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Names for all inputs of a run, distinct on every file system and independent of the order given.

    Parameters
    ----------
    paths : sequence of path-like
        The inputs, each once.
    known : mapping, optional
        Absolute path, as :func:`place_of` gives it -> name that the input has in the output folder already and keeps,
        however many others are given with it; the name of an input that still exists is not given to another.

    Returns
    -------
    tuple of str
        One per input. Inputs whose plain names clash carry the folders below their common folder
        (``control_f1``, ``drug_f1``); if that does not tell them apart, a hash of their absolute path.

    Raises
    ------
    InputError
        ``E-NAME-CLASH``: the same input is given twice.

    Examples
    --------
    >>> item_names(["a/cell.tif", "b/other.tif"]), item_names(["a/cell.tif", "b/cell.tif"])
    (('cell', 'other'), ('a_cell', 'b_cell'))
    """
    places: set[str] = set()
    for path in paths:
        if os.path.abspath(path) in places:
            raise InputError("E-NAME-CLASH", "is given twice.", path=path, cure="Give each input once.")
        places.add(os.path.abspath(path))
    names_of = known or {}
    kept = [names_of.get(place_of(path)) for path in paths]
    # An input that is gone was moved, perhaps here; one that is still there keeps its name, though it is not given now.
    given = {place_of(path) for path in paths}
    others = [place for place in names_of if place not in given and os.path.exists(place)]
    taken = {_fold(name) for name in kept if name is not None} | {_fold(names_of[place]) for place in others}
    plain = [_plain_name(path) for path in paths]
    longer = [_plain_name(relative.replace("/", "_")) for relative in portable_paths([*paths, *others])[: len(paths)]]
    digests = [_digest(path) for path in paths]
    names = plain
    for length in (0, 8, 16, 32, 64):
        counts = Counter(_fold(name) for name, old in zip(names, kept, strict=True) if old is None)
        is_clashing = [counts[_fold(name)] > 1 or _fold(name) in taken for name in names]
        if not any(clash and old is None for clash, old in zip(is_clashing, kept, strict=True)):
            break
        names = [
            (f"{short}-{digest[:length]}" if length else with_folder) if clashes else name
            for name, short, with_folder, digest, clashes in zip(
                names, longer, longer, digests, is_clashing, strict=True
            )
        ]
    return tuple(name if old is None else old for name, old in zip(names, kept, strict=True))


def place_of(path: str | Path) -> str:
    """The absolute path of an input, as text."""
    return shown_name(os.path.abspath(path))


def portable_paths(paths: Sequence[str | Path]) -> tuple[str, ...]:
    """Paths relative to the folder that all have in common, with ``/``: the same on every computer.

    Parameters
    ----------
    paths : sequence of path-like

    Examples
    --------
    >>> portable_paths(["x/control/f1.tif", "x/drug/f1.tif"]), portable_paths(["x/control/f1.tif"])
    (('control/f1.tif', 'drug/f1.tif'), ('f1.tif',))
    """
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    try:
        common = os.path.commonpath(folders) if folders else ""
    except ValueError:  # other drives have nothing in common
        return tuple(os.path.basename(os.path.abspath(path)) for path in paths)
    relative = (os.path.relpath(folder, common) for folder in folders)
    names = (os.path.basename(os.path.abspath(path)) for path in paths)
    return tuple(
        name if folder == os.curdir else f"{folder}/{name}".replace(os.sep, "/")
        for folder, name in zip(relative, names, strict=True)
    )
