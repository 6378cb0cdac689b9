"""What a user made in the folder of an earlier run and the next run must not lose: corrected files and their edits.

A result that was changed since it was written stops its item (``E-OUT-CHANGED``), unless the edits of this run give
exactly what was saved, or the user discards changes. Edits of an earlier run stay, unless others are given or the user
discards them. Another file that users may correct in place is a new case of :func:`is_in_edits`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.errors import InputError, OutputError, TomocyteError
from tomocyte.ledger import CommitRecord, Ledger

if TYPE_CHECKING:
    from tomocyte.corrections.edits import EditList
    from tomocyte.ledger.keeping import Changes

CHANGED = "E-OUT-CHANGED"
CURE_EDITS = "Give them with --edits, or leave them out with --discard-changes."


@dataclass(frozen=True)
class GivenEdits:
    """Edits of a run.

    Parameters
    ----------
    edits : mapping of str to EditList
        As given by the user; an empty list asks for none.
    file : Path, optional
        Where they come from.
    is_discarding : bool
        Whether changes and edits of earlier runs are left out.
    """

    edits: Mapping[str, EditList] = field(default_factory=dict)
    file: Path | None = None
    is_discarding: bool = False


def earlier_edits(ledger: Ledger, record: CommitRecord) -> EditList | None:
    """The edits that an item was made with; ``None`` where it was not corrected.

    Raises
    ------
    OutputError
        ``E-EDIT-KEPT``: it was corrected, and its edits cannot be read any more.
    """
    from tomocyte.corrections.files import COPY_NAME, edits_sha256, load_edits

    facts: Any = record.facts.get("edits")
    if facts is None:
        return None
    path = ledger.items / record.item / COPY_NAME
    try:
        edits = load_edits(path, [record.item])[record.item]
    except (OSError, TomocyteError, KeyError) as problem:
        raise OutputError(
            "E-EDIT-KEPT",
            "was corrected by hand in an earlier run, and the file with those edits cannot be read.",
            path=path,
            cure=CURE_EDITS,
        ) from problem
    if edits_sha256(edits) != facts["sha256"]:
        raise OutputError(
            "E-EDIT-KEPT",
            "was changed since the run that used it.",
            path=path,
            cure=f"Use it with `--edits {shlex.quote(str(path))}`, or leave it out with --discard-changes.",
        )
    return edits


def check_kept_input(record: CommitRecord, content: str) -> None:
    """Refuse to use the edits of an earlier run for another input.

    Raises
    ------
    InputError
        ``E-EDIT-INPUT``.
    """
    if record.input_sha256 != content:
        raise InputError(
            "E-EDIT-INPUT",
            "the input has changed since its results were corrected by hand; those corrections may not fit.",
            cure="Leave them out with --discard-changes, or give edits for the new input with --edits.",
        )


def is_edited_in_place(record: CommitRecord, changes: Changes) -> bool:
    """Whether every changed file of an item is one that edits can express: a label image, or the edits themselves."""
    from tomocyte.corrections.files import COPY_NAME

    return set(changes.changed) <= {COPY_NAME, *_label_files(record)}


def is_in_edits(ledger: Ledger, item: str, changes: Changes, staged: Path, edits: EditList) -> bool:
    """Whether new results hold everything that a user changed in the old ones.

    Parameters
    ----------
    ledger : Ledger
    item : str
    changes : Changes
        Of the item's present results.
    staged : Path
        The new results.
    edits : EditList
        What they were made with.
    """
    from tomocyte.corrections.files import COPY_NAME, edits_sha256, load_edits
    from tomocyte.corrections.from_labels import is_same_labels

    for name in changes.changed:
        old, new = ledger.items / item / name, staged / name
        if name == COPY_NAME:
            try:
                saved = load_edits(old, [item]).get(item)
            except TomocyteError:
                return False
            if saved is None or edits_sha256(saved) != edits_sha256(edits):
                return False
        elif not new.is_file() or not is_same_labels(old, new):
            return False
    return True


def changed_error(
    output: Path, record: CommitRecord, changes: Changes, edits_file: Path | None, *, has_edits: bool = False
) -> OutputError:
    """Why an item stops whose results were changed, and the two ways on, as they are typed.

    Parameters
    ----------
    output : Path
        As the user gave it.
    record : CommitRecord
    changes : Changes
    edits_file : Path, optional
        That the user gave; new edits are added to it.
    has_edits : bool
        Whether the item was made with edits that did not give what was saved.
    """
    from tomocyte.corrections.files import COPY_NAME

    item, folder = record.item, output / "items" / record.item
    labels = [name for name in changes.changed if name in _label_files(record)]
    others = [name for name in changes.changed if name not in labels]
    ways: list[str] = []
    if labels:
        target = edits_file if edits_file is not None and not edits_file.is_dir() else Path(f"{item}.edits.yaml")
        lines: list[str] = []
        for name in labels:
            words = ["tomocyte", "edits", "from-labels", str(output), item, "--structure", _label_files(record)[name]]
            words += ["--corrected", str(folder / name), "-o", str(target)]
            words += ["--append"] if lines or target.exists() else []
            lines.append(f"`{shlex.join(words)}`")
        more = "" if target == edits_file else f" with `--edits {shlex.quote(str(target))}`"
        ways.append(f"To keep your correction: {', '.join(lines)}, then the same command{more}.")
    if COPY_NAME in others:
        edits = shlex.quote(str(folder / COPY_NAME))
        ways.append(f"To use the changed edits: the same command with `--edits {edits}`.")
    moved = [name for name in others if name != COPY_NAME]
    if moved:
        ways.append(f"To keep {', '.join(moved)}: move it to another place, then the same command.")
    ways.append("To drop the change: the same command with --discard-changes.")
    problem = f"{', '.join(changes.changed)} changed since the run that wrote it; everything stays as it is."
    if has_edits:
        problem = f"the edits do not give what was saved in {', '.join(changes.changed)}; everything stays as it is."
    return OutputError(CHANGED, problem, path=folder, cure=" ".join(ways))


def _label_files(record: CommitRecord) -> dict[str, str]:
    counts: Any = record.facts.get("n_objects", {})
    return {f"{structure}.ome.tif": structure for structure in counts}
