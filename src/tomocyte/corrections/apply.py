"""Corrections made by hand, applied to the label images of one frame: in order, logged, the same on every replay.

The edit language is in ``edits``, drawn shapes in ``shapes``, files and logs in ``files``; ``compare`` derives edits
from two label images. To add an operation, write a function that takes the :class:`EditingFrame` and the edit, and name
it in :data:`_OPERATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import (
    LINK_EDITS,
    Add,
    Delete,
    Edit,
    Merge,
    Renumber,
    Repaint,
    SetCell,
    Shape,
    Split,
    Target,
)
from tomocyte.corrections.frame import EditingFrame, GoBy, Labels, few, union
from tomocyte.corrections.shapes import Covered, cover
from tomocyte.corrections.split import parts_by_plane, parts_by_seeds
from tomocyte.errors import InputError
from tomocyte.labels.components import connected_components
from tomocyte.labels.parents import assign_parents
from tomocyte.structures import find_name
from tomocyte.volume import VoxelSize


@dataclass(frozen=True)
class EditRecord:
    """What one edit did.

    Parameters
    ----------
    number : int
        Place in the list, from 1.
    do, structure, note : str
    frame : int
    n_voxels : int
        Voxels whose label changed.
    size : float
        Their volume in µm³, or area in µm² of a plane.
    old, new : tuple of (int, int)
        Label and voxels of each object concerned, before and after; objects missing afterwards are gone.
    box : tuple of 3 (int, int)
        Half-open range z, y, x in the frame that holds the objects concerned; empty where there are none.
    warnings : tuple of str
        ``W-EDIT-…: …``.
    """

    number: int
    do: str
    structure: str
    frame: int
    note: str
    n_voxels: int
    size: float
    old: tuple[tuple[int, int], ...]
    new: tuple[tuple[int, int], ...]
    box: tuple[tuple[int, int], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class EditedFrame:
    """Labels after the edits.

    Parameters
    ----------
    labels : dict of str to ndarray (Z, Y, X)
        Unsigned; structures without edits are the arrays passed in.
    cells : dict
        Structure -> label -> cell that was set by hand (0: none).
    edited : dict
        Structure -> label -> kinds of edits of this object, in order, each once; a new number alone does not count.
    origin : dict
        Structure -> label -> label before, of objects with a new number.
    log : tuple of EditRecord
    """

    labels: dict[str, Labels]
    cells: dict[str, dict[int, int]]
    edited: dict[str, dict[int, tuple[str, ...]]]
    origin: dict[str, dict[int, int]]
    log: tuple[EditRecord, ...]


def apply_edits(
    labels: Mapping[str, NDArray[Any]],
    edits: Sequence[Edit],
    voxel_size_um: VoxelSize,
    *,
    frame: int = 0,
    main: str = "cell",
    go_by: GoBy = "both",
) -> EditedFrame:
    """Apply the edits of one frame, one after the other.

    Parameters
    ----------
    labels : mapping of str to ndarray (Z, Y, X), unsigned integer
        Structure -> labels, all of one shape; not changed.
    edits : sequence of Edit
        All edits of the input; those of other frames and those of links are skipped.
    voxel_size_um : tuple of 3 float
        z may be NaN for a single plane.
    frame : int
    main : str
        The structure that organelles belong to.
    go_by : {"both", "label", "point"}
        Which of them counts where a target's label and point disagree; ``both``: a disagreement is an error.

    Returns
    -------
    EditedFrame
        Labels are not renumbered.

    Raises
    ------
    InputError
        ``E-EDIT-…``, naming the edit: ``STRUCTURE`` (unknown), ``TARGET`` (no such object, or label and point
        disagree), ``SPLIT`` (a seed outside the object, or everything on one side), ``OUTSIDE``, ``SHAPE``, ``LABEL``
        (in use, or too large), ``EMPTY`` (nothing to add).

    Examples
    --------
    >>> from tomocyte.corrections.edits import Merge, Target
    >>> cells = np.array([[[1, 1, 2, 0, 3]]], dtype=np.uint8)
    >>> merge = Merge(structure="cell", targets=(Target(label=1), Target(label=2)))
    >>> edited = apply_edits({"cell": cells}, [merge], (1.0, 0.5, 0.5))
    >>> edited.labels["cell"].tolist(), edited.log[0].n_voxels, edited.log[0].size
    ([[[1, 1, 1, 0, 3]]], 1, 0.25)
    """
    work = EditingFrame(dict(labels), voxel_size_um, main, go_by)
    log = []
    for number, edit in enumerate(edits, start=1):
        if edit.frame != frame or isinstance(edit, LINK_EDITS):
            continue
        try:
            log.append(apply_edit(work, edit, number))
        except InputError as problem:
            where = f"edit {number} ({edit.do} {edit.structure}, frame {edit.frame}): {problem.problem}"
            raise InputError(problem.code, where, cure=problem.cure) from problem
    edited = {name: {label: tuple(kinds) for label, kinds in marks.items()} for name, marks in work.marks.items()}
    return EditedFrame(work.labels, work.cells, edited, work.origin, tuple(log))


def labels_as_segmented(edited: EditedFrame | None, structure: str, labels: Sequence[int]) -> list[int]:
    """The labels of objects in the segmentation; 0 for objects that edits have made or changed.

    Parameters
    ----------
    edited : EditedFrame or None
        None: nothing was edited.
    structure : str
    labels : sequence of int
        After the edits.

    Examples
    --------
    >>> labels_as_segmented(None, "cell", [1, 2])
    [1, 2]
    """
    if edited is None:
        return list(labels)
    changed, origin = edited.edited.get(structure, {}), edited.origin.get(structure, {})
    return [0 if label in changed else origin.get(label, label) for label in labels]


@dataclass
class _Change:
    """Result of an operation: the objects concerned with their sizes before, the objects after, and warnings."""

    structure: str
    old: dict[int, int]
    new: list[int]
    n_voxels: int
    warnings: list[str] = field(default_factory=list)


def apply_edit(work: EditingFrame, edit: Edit, number: int) -> EditRecord:
    """Apply one edit to labels that are being edited, as :func:`apply_edits`; errors do not name the edit."""
    structure = find_name(edit.structure, work.labels)
    if structure is None:
        structures = ", ".join(work.labels)
        raise InputError(
            "E-EDIT-STRUCTURE", f"there is no structure {edit.structure}.", cure=f"Structures: {structures}."
        )
    edit = edit.model_copy(update={"structure": structure})
    change = _OPERATIONS[edit.do](work, edit)
    after = {label: work.count(edit.structure, label) for label in dict.fromkeys([*change.old, *change.new])}
    concerned = [work.boxes(edit.structure)[label] for label in after if label in work.boxes(edit.structure)]
    box = reduce(union, concerned) if concerned else ()
    for label, count in after.items():
        if count == 0:
            if label in change.new or edit.do in ("repaint", "add", "split"):
                change.warnings.append(f"W-EDIT-GONE: no voxel of {edit.structure} {label} is left.")
            work.forget(edit.structure, label)
        elif edit.do != "renumber" and (label in change.new or count != change.old.get(label)):
            work.mark(edit.structure, label, edit.do)
    if change.n_voxels == 0 and not isinstance(edit, SetCell):
        change.warnings.append("W-EDIT-NOTHING: no voxel was changed.")
    return EditRecord(
        number=number,
        do=edit.do,
        structure=edit.structure,
        frame=edit.frame,
        note=edit.note,
        n_voxels=change.n_voxels,
        size=change.n_voxels * work.voxel_um,
        old=tuple(sorted(change.old.items())),
        new=tuple(sorted((label, count) for label, count in after.items() if count)),
        box=tuple((side.start, side.stop) for side in box),
        warnings=tuple(f"{text} (edit {number})" for text in change.warnings),
    )


def _merge(work: EditingFrame, edit: Merge) -> _Change:
    structure = edit.structure
    labels = [work.find(structure, target) for target in edit.targets]
    if len(set(labels)) < len(labels):
        raise InputError("E-EDIT-TARGET", f"it names an object twice: {few(sorted(labels))}.")
    first, others = labels[0], labels[1:]
    old = {label: work.count(structure, label) for label in labels}
    array = work.own(structure)
    for label in others:
        box, inside = work.inside(structure, label)
        array[box][inside] = first
        work.widen(structure, first, box)
        for cells in work.cells.values() if structure == work.main else ():
            cells.update({child: first for child, cell in cells.items() if cell == label})
        for kind in work.marks.get(structure, {}).get(label, ()):
            work.mark(structure, first, kind)
    box, inside = work.inside(structure, first)
    warnings = []
    if connected_components(inside, connectivity=3).n > 1:
        warnings.append(f"W-EDIT-APART: {structure} {first} now consists of parts that do not touch.")
    return _Change(structure, old, [first], sum(old[label] for label in others), warnings)


def _split(work: EditingFrame, edit: Split) -> _Change:
    structure = edit.structure
    label = work.find(structure, edit.target)
    if edit.pieces is not None:
        return _paint(work, structure, cover(Shape(voxels=edit.pieces), work.shape, work.voxel_size_um), only=label)
    box, inside = work.inside(structure, label)
    corner = (box[0].start, box[1].start, box[2].start)
    warnings = []
    if edit.plane is not None:
        parts = parts_by_plane(inside, corner, edit.plane, work.voxel_size_um)
    else:
        parts, has_waist = parts_by_seeds(inside, corner, edit.seeds or (), work.voxel_size_um)
        if not has_waist:
            warnings = [f"W-EDIT-WAIST: {structure} {label} has no waist; each voxel was given to its nearest seed."]
    first_new = work.next_label(structure)
    new = [label, *range(first_new, first_new + int(parts.max()) - 1)]
    array = work.own(structure, new[-1])
    for index, number in enumerate(new[1:], start=2):
        array[box][parts == index] = number
        work.widen(structure, number, box)
        for kind in work.marks.get(structure, {}).get(label, ()):
            work.mark(structure, number, kind)
    old = {label: int(np.count_nonzero(inside))}
    return _Change(structure, old, new, int(np.count_nonzero(parts > 1)), warnings)


def _delete(work: EditingFrame, edit: Delete) -> _Change:
    structure = edit.structure
    labels = list(dict.fromkeys(work.find(structure, target) for target in edit.targets))
    old = {label: work.count(structure, label) for label in labels}
    warnings = _delete_contents(work, structure, labels) if edit.with_contents else []
    array = work.own(structure)
    for label in labels:
        box, inside = work.inside(structure, label)
        array[box][inside] = 0
    return _Change(structure, old, [], sum(old.values()), warnings)


def _delete_contents(work: EditingFrame, structure: str, labels: list[int]) -> list[str]:
    """Delete the objects that lie in some objects; returns the warnings."""
    warnings = []
    for contained in [name for name in work.labels if name != structure]:
        parents = assign_parents(work.labels[contained], work.labels[structure])
        if structure == work.main:
            parents |= work.cells.get(contained, {})
        children = sorted(child for child, parent in parents.items() if parent in labels)
        if children:
            array = work.own(contained)
            for child in children:
                box, inside = work.inside(contained, child)
                array[box][inside] = 0
                work.forget(contained, child)
            warnings.append(f"W-EDIT-CONTENTS: {contained} {few(children)} deleted with it.")
    return warnings


def _repaint(work: EditingFrame, edit: Repaint) -> _Change:
    structure = edit.structure
    covered = cover(edit.shape, work.shape, work.voxel_size_um)
    if edit.to is not None:
        number = 0 if edit.to == "background" else work.find(structure, edit.to)
        covered = Covered(covered.box, covered.mask, np.full(covered.mask.shape, number, dtype=np.uint32))
    if isinstance(edit.over, Target):
        return _paint(work, structure, covered, only=work.find(structure, edit.over))
    return _paint(work, structure, covered, over=edit.over)


def _add(work: EditingFrame, edit: Add) -> _Change:
    structure = edit.structure
    number = work.next_label(structure) if edit.label is None else edit.label
    if number in work.boxes(structure):
        raise InputError("E-EDIT-LABEL", f"{structure} {number} exists already.", cure="Leave out the label.")
    covered = cover(edit.shape, work.shape, work.voxel_size_um)
    change = _paint(
        work,
        structure,
        Covered(covered.box, covered.mask, np.full(covered.mask.shape, number, dtype=np.uint32)),
        over=edit.over,
    )
    if change.n_voxels == 0:
        raise InputError(
            "E-EDIT-EMPTY", "there is no free voxel for the new object.", cure="Check its place, or set 'over'."
        )
    return change


def _paint(
    work: EditingFrame, structure: str, covered: Covered, *, over: str = "anything", only: int | None = None
) -> _Change:
    """Write labels into a part of the frame; ``only``: paint over this object alone."""
    if covered.labels is None:
        raise InputError("E-EDIT-SHAPE", "its shape has no labels.")
    labels = work.labels[structure][covered.box]
    painted = covered.mask & (labels != covered.labels)
    if only is not None:
        painted &= labels == only
    elif over != "anything":
        painted &= (labels == 0) == (over == "background")
    names = np.unique(covered.labels[covered.mask]) if only is None else np.unique(covered.labels[painted])
    new = [int(label) for label in names if label]
    concerned = (
        {int(label) for label in np.unique(labels[painted])} | set(new) | ({only} if only is not None else set())
    )
    old = {label: work.count(structure, label) for label in sorted(concerned - {0})}
    array = work.own(structure, max([0, *new]))
    array[covered.box][painted] = covered.labels[painted].astype(array.dtype)
    for label in new:
        work.widen(structure, label, covered.box)
    existing = {label: count for label, count in old.items() if count}
    return _Change(structure, existing, [label for label in new if label in concerned], int(np.count_nonzero(painted)))


def _set_cell(work: EditingFrame, edit: SetCell) -> _Change:
    structure = edit.structure
    if structure == work.main:
        raise InputError("E-EDIT-STRUCTURE", f"a {structure} belongs to itself.", cure="Name an organelle.")
    label = work.find(structure, edit.target)
    cell = 0 if edit.cell == "none" else work.find(work.main, edit.cell)
    work.cells.setdefault(structure, {})[label] = cell
    return _Change(structure, {label: work.count(structure, label)}, [label], 0)


def _renumber(work: EditingFrame, edit: Renumber) -> _Change:
    structure = edit.structure
    boxes = work.boxes(structure)
    missing = [old for old in edit.numbers if old not in boxes]
    taken = [new for new in edit.numbers.values() if new in boxes and new not in edit.numbers]
    if missing or taken:
        problem = f"there is no {few(missing)}." if missing else f"{few(taken)} exists already."
        raise InputError("E-EDIT-LABEL", problem, cure="Name existing objects, and labels that are free.")
    array = work.own(structure, max(edit.numbers.values()))
    objects = [(old, new, *work.inside(structure, old)) for old, new in edit.numbers.items()]
    sizes = {old: int(np.count_nonzero(inside)) for old, _, _, inside in objects}
    for _, new, box, inside in objects:
        array[box][inside] = new
    for table in (boxes, work.marks.get(structure, {}), work.cells.get(structure, {})):
        _move_keys(table, edit.numbers)
    origin = work.origin.setdefault(structure, {})
    origin |= {new: origin.pop(old, old) for old, new in edit.numbers.items()}
    if structure == work.main:
        for cells in work.cells.values():
            cells.update({child: edit.numbers[cell] for child, cell in cells.items() if cell in edit.numbers})
    return _Change(structure, sizes, list(edit.numbers.values()), sum(sizes.values()))


def _move_keys(table: dict[int, Any], numbers: Mapping[int, int]) -> None:
    """Entries of old labels under their new ones, all at once."""
    table.update({new: table.pop(old) for old, new in numbers.items() if old in table})


_OPERATIONS: dict[str, Callable[[EditingFrame, Any], _Change]] = {
    "merge": _merge,
    "split": _split,
    "delete": _delete,
    "repaint": _repaint,
    "add": _add,
    "set-cell": _set_cell,
    "renumber": _renumber,
}
