"""Which command's results a folder holds: a marker in the folder, so that no command writes into another's results.

A command that writes into a folder calls :func:`claim_folder`, or opens a :class:`~tomocyte.ledger.Ledger` of its kind.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tomocyte.errors import InputError, OutputError
from tomocyte.ledger.atomic import PART, part_name, put_in_place, write_whole, writing
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.names import LITTER, shown_name

MARKER_NAME = ".tomocyte.json"
MARKER = {"format": "tomocyte output", "layout": 1}
_SIGNS_BESIDE_MARKER = {"run.json": "run", "labelled.json": "edits export", "card.json": "simulate"}
_SIMULATED = ("data", "held-out")
"""Folders of images that a command simulates for itself before it begins; they carry a marker of their own."""
_SIGNS = {"evaluation.json": "evaluate", "crossval.json": "crossval", "log.jsonl": "train"}
"""Files by which results of versions without a kind in the marker are told."""


def is_output_folder(path: Path) -> bool:
    """Whether a folder holds results of tomocyte."""
    return (path / MARKER_NAME).is_file()


def marked_kind(out: Path) -> tuple[str, str]:
    """What the marker of a folder says: the command, and what about (the modality of a run); empty where unknown."""
    try:
        content = unseal(out / MARKER_NAME)
    except (FileNotFoundError, InputError):
        return "", ""
    return str(content.get("kind", "")), str(content.get("about", ""))


def kind_of(out: Path) -> tuple[str, str]:
    """The command that made a folder's results, and what about, also where an earlier version did; empty: unknown."""
    kind, about = marked_kind(out)
    if not kind:
        signs = _SIGNS | (_SIGNS_BESIDE_MARKER if is_output_folder(out) else {})
        kind = next((kind for name, kind in signs.items() if (out / name).is_file()), "")
        about = _modality_of(out) if kind == "run" else ""
    return kind, about


def _modality_of(out: Path) -> str:
    try:
        content: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
        return str(content["settings"]["modality"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def marker_bytes(kind: str, about: str) -> bytes:
    """Content of the marker."""
    return seal(MARKER | ({"kind": kind} if kind else {}) | ({"about": about} if about else {}))


def is_marker(path: Path) -> bool:
    """Whether a file is an undamaged marker."""
    try:
        content = unseal(path)
    except InputError:
        return False
    return {name: content.get(name) for name in MARKER} == MARKER and set(content) <= {*MARKER, "kind", "about"}


def refuse_other_kind(out: Path, kind: str, about: str = "") -> None:
    """Refuse a folder that holds the results of another command, or of a run of another modality.

    Raises
    ------
    OutputError
        ``E-OUT-KIND``.
    """
    other, other_about = kind_of(out)
    if not kind or not other or (other == kind and (not about or not other_about or about == other_about)):
        return
    made = f"`tomocyte {other}`" + (f" of the modality {other_about}" if other_about else "")
    wanted = f"`tomocyte {kind}`" + (f" of the modality {about}" if about and other == kind else "")
    raise OutputError(
        "E-OUT-KIND",
        f"holds the results of {made}; those of {wanted} do not belong there.",
        path=out,
        cure="Choose another folder with -o; nothing was written.",
    )


def claim_folder(out: Path, kind: str, *, own: tuple[str, ...] = ()) -> None:
    """Make a folder for the results of one command, and mark it.

    Parameters
    ----------
    out : Path
        Made if missing.
    kind : str
        The command.
    own : tuple of str
        Files and folders that only this command writes: a folder without a marker that holds one of them is an earlier
        result of it.

    Raises
    ------
    OutputError
        ``E-OUT-KIND``: it holds the results of another command. ``E-OUT-FOREIGN``: other people's files.
        ``E-OUT-NOTDIR``, ``E-OUT-RO``, ``E-DISK``.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        refuse_other_kind(out, kind)
        if not is_output_folder(out):
            is_own = any((out / name).exists() for name in own)
            if not is_own and not any(is_output_folder(out / name) for name in _SIMULATED):
                refuse_foreign(out)
            write_marker(out, kind)


def write_marker(out: Path, kind: str, about: str = "") -> None:
    """Write the marker of a folder, whole or not at all."""
    part = out / part_name(MARKER_NAME)
    write_whole(part, marker_bytes(kind, about))
    put_in_place(part, out / MARKER_NAME)


def refuse_foreign(out: Path, lock_name: str = ".lock") -> None:
    """Raise ``E-OUT-FOREIGN`` where a folder holds files but not our marker.

    Raises
    ------
    OutputError
    """
    names = set(os.listdir(out)) - LITTER
    strange = sorted(
        name for name in names if name != lock_name and PART.search(name) is None and not name.startswith("._")
    )
    if strange and MARKER_NAME not in names:
        shown = ", ".join(map(shown_name, strange[:3]))
        problem = f"holds files that tomocyte did not write ({shown}{', …' if len(strange) > 3 else ''})."
        raise OutputError("E-OUT-FOREIGN", problem, path=out, cure="Choose an empty folder or an earlier output.")
