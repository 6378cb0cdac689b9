"""Edits of links over time: their objects found in each frame, what tracking makes of them, and their log.

Links are changed in :mod:`tomocyte.tracking.changes`; here an edit's targets become labels of frames, so that a point
names the same object however it is numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import EditRecord
from tomocyte.corrections.edits import LINK_EDITS, Death, Division, Edit, EditList, Link, LinkEdit, Target, Unlink
from tomocyte.corrections.frame import EditingFrame, GoBy
from tomocyte.corrections.from_labels import FinishedItem, continued_edits
from tomocyte.errors import InputError, SettingsError
from tomocyte.settings import build_settings
from tomocyte.structures import find_name
from tomocyte.tracking import LinkChange
from tomocyte.tracking.changes import Kind
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

Find = Callable[[int, Target], tuple[int, int]]
"""Frame and target -> label and voxels (0 where there is no image) of the object."""


@dataclass(frozen=True)
class LinkEdits:
    """Edits of links with the objects that they name.

    Parameters
    ----------
    changes : tuple of LinkChange
        For :func:`tomocyte.tracking.track_objects`.
    records : tuple of EditRecord
        Without warnings, which tracking adds.
    """

    changes: tuple[LinkChange, ...] = ()
    records: tuple[EditRecord, ...] = ()

    def log(self, warnings: Sequence[Sequence[str]]) -> tuple[EditRecord, ...]:
        """The records with what tracking had to say of each change."""
        return tuple(
            replace(record, warnings=tuple(f"{text} (edit {record.number})" for text in texts))
            for record, texts in zip(self.records, warnings, strict=True)
        )


def find_link_edits(edits: Sequence[Edit], find: Find, *, main: str = "cell") -> LinkEdits:
    """The edits of links, with the objects that their targets name.

    Parameters
    ----------
    edits : sequence of Edit
        All edits of the input; those of labels are skipped.
    find : callable
        From :func:`in_labels` or :func:`in_table`.
    main : str
        The structure that is tracked.

    Raises
    ------
    InputError
        ``E-EDIT-STRUCTURE``: another structure is not tracked; ``E-EDIT-TARGET``: no such object, or label and point
        disagree, or one object is named twice.
    """
    changes, records = [], []
    for number, edit in enumerate(edits, start=1):
        if not isinstance(edit, LINK_EDITS):
            continue
        name = f"edit {number} ({edit.do} {edit.structure}, frame {edit.frame})"
        try:
            source, later = _found(edit, find, main)
        except InputError as problem:
            raise InputError(problem.code, f"{name}: {problem.problem}", cure=problem.cure) from problem
        targets = tuple((later_frame(edit), label) for label, _ in later)
        changes.append(LinkChange(edit.do, (edit.frame, source[0]), targets, name))
        records.append(EditRecord(number, edit.do, main, edit.frame, edit.note, 0, 0.0, (source,), later))
    return LinkEdits(tuple(changes), tuple(records))


def later_frame(edit: LinkEdit) -> int:
    """The frame of the later objects; of a death its own."""
    return edit.frame if edit.do == "death" else edit.later_frame


def _found(edit: LinkEdit, find: Find, main: str) -> tuple[tuple[int, int], tuple[tuple[int, int], ...]]:
    """Label and voxels of the object and of the later ones."""
    if find_name(edit.structure, (main,)) is None:
        raise InputError("E-EDIT-STRUCTURE", f"{edit.structure} is not tracked.", cure=f"Name {main}.")
    later = () if edit.do == "death" else tuple(find(edit.later_frame, target) for target in edit.later)
    labels = [label for label, _ in later]
    if len(set(labels)) < len(labels):
        raise InputError(
            "E-EDIT-TARGET", f"it names object {labels[0]} twice.", cure="Name as many objects as there are daughters."
        )
    return find(edit.frame, edit.target), later


def in_labels(
    read: Callable[[int], NDArray[Any]], voxel_size_um: VoxelSize, go_by: GoBy = "both", *, main: str = "cell"
) -> Find:
    """Finds objects in the label images of frames.

    Parameters
    ----------
    read : callable
        Index of a frame -> its labels (Z, Y, X), unsigned.
    voxel_size_um : tuple of 3 float
    go_by : {"both", "label", "point"}
        Which of them counts where a target's label and point disagree.
    main : str
        What messages call the objects.
    """
    latest: dict[int, EditingFrame] = {}

    def find(frame: int, target: Target) -> tuple[int, int]:
        if frame not in latest:
            latest.clear()
            latest[frame] = EditingFrame({main: read(frame)}, voxel_size_um, main, go_by)
        label = latest[frame].find(main, target)
        return label, latest[frame].count(main, label)

    return find


def in_table(table: pd.DataFrame, go_by: GoBy = "both") -> Find:
    """Finds objects in a table of positions: by label, or as the nearest to a point.

    Parameters
    ----------
    table : DataFrame
        ``frame``, ``label``, ``y_um``, ``x_um`` and, in volumes, ``z_um``.
    go_by : {"both", "label", "point"}
    """
    axes = [name for name in ("z_um", "y_um", "x_um") if name in table and not table[name].isna().all()]

    def find(frame: int, target: Target) -> tuple[int, int]:
        rows = table[table["frame"] == frame]
        labels = rows["label"].to_numpy(dtype=np.int64)
        if target.label is not None and (target.um is None or go_by == "label"):
            if target.label not in labels:
                raise InputError(
                    "E-EDIT-TARGET",
                    f"frame {frame} has no object {target.label}.",
                    cure="Name an object that the table has.",
                )
            return target.label, 0
        label = _nearest(rows[axes].to_numpy(dtype=np.float64), labels, target, frame)
        if target.label not in (None, label) and go_by == "both":
            raise InputError(
                "E-EDIT-TARGET",
                f"its point is nearest to object {label}, but its label is {target.label}.",
                cure="The table has changed since: check the edit, or set 'go_by: point' (or 'label').",
            )
        return label, 0

    return find


def _nearest(centres: NDArray[np.float64], labels: NDArray[np.int64], target: Target, frame: int) -> int:
    """The only object that a point can mean: no other may be less than twice as far."""
    if target.um is None:
        raise InputError("E-EDIT-TARGET", "a table has no voxels.", cure="Give the point in 'um', or a label.")
    away = np.linalg.norm(centres - np.asarray(target.um)[3 - centres.shape[1] :], axis=1)
    order = np.argsort(away)
    if not len(order) or (len(order) > 1 and away[order[1]] < 2 * away[order[0]]):
        raise InputError(
            "E-EDIT-TARGET",
            f"its point is not clearly nearest to one object of frame {frame}.",
            cure="Give a point nearer to the centre, or a label.",
        )
    return int(labels[order[0]])


def link_edit(
    item: FinishedItem,
    do: Kind,
    *,
    frame: int,
    label: int,
    later: Sequence[int] = (),
    to_frame: int | None = None,
    note: str = "",
) -> LinkEdit:
    """An edit of links of a finished item, its objects named by label and by a point deep inside.

    Parameters
    ----------
    item : FinishedItem
    do : {"link", "unlink", "division", "death"}
    frame, label : int
        Of the earlier object.
    later : sequence of int
        Labels of the later objects.
    to_frame : int, optional
        Their frame; by default the next one.
    note : str

    Raises
    ------
    InputError
        ``E-EDIT-TARGET``: there is no such object.
    SettingsError
        ``E-EDIT-FRAME``: no such frame; ``E-SETTINGS``: too few or too many later objects, or not a later frame.
    """
    main = str(item.record.facts.get("primary", "cell"))
    labels = item.labels_as_written(main)
    size = labels.require_voxel_size()

    def named(number: int, of_frame: int) -> Target:
        if of_frame >= labels.n_frames:
            raise SettingsError(
                "E-EDIT-FRAME", f"there are {labels.n_frames} frames, counted from 0; frame {of_frame} does not exist."
            )
        editing = EditingFrame({main: labels.planes(of_frame, 0)}, size, main, "label")
        return editing.target(main, editing.find(main, Target(label=number)))

    return build_link_edit(
        do, named, structure=main, frame=frame, label=label, later=later, to_frame=to_frame, note=note
    )


def build_link_edit(
    do: Kind,
    named: Callable[[int, int], Target],
    *,
    structure: str,
    frame: int,
    label: int,
    later: Sequence[int] = (),
    to_frame: int | None = None,
    note: str = "",
) -> LinkEdit:
    """An edit of links from the labels of its objects.

    Parameters
    ----------
    do : {"link", "unlink", "division", "death"}
    named : callable
        Label and frame -> the object as an edit names it.
    structure : str
        What is tracked.
    frame, label, later, to_frame, note
        As :func:`link_edit`.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: too few or too many later objects, or not a later frame.
    """
    next_frame = frame + 1 if to_frame is None else to_frame
    content: dict[str, Any] = {"structure": structure, "frame": frame, "note": note, "target": named(label, frame)}
    targets = [named(number, next_frame) for number in later]
    if do == "division":
        content["daughters"] = targets
    elif len(targets) > 1 or (targets and do == "death"):
        raise SettingsError("E-SETTINGS", f"{do} takes {1 if do != 'death' else 0} later objects, not {len(targets)}.")
    elif targets:
        content["to"] = targets[0]
    if to_frame is not None and do != "death":
        content["to_frame"] = to_frame
    kinds: dict[Kind, type[LinkEdit]] = {"link": Link, "unlink": Unlink, "division": Division, "death": Death}
    return build_settings(kinds[do], content)


def with_edit(item: FinishedItem, edit: Edit, pending: EditList | None) -> EditList:
    """The edits of a finished item, or those that are to be continued, with one more.

    Raises
    ------
    InputError
        ``E-EDIT-BASE``: as :func:`tomocyte.corrections.from_labels.continued_edits`.
    """
    before, _ = continued_edits(item, pending)
    update = {"edits": (*before.edits, edit), "input_sha256": item.record.input_sha256}
    return before.model_copy(update=update)
