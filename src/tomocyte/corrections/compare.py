"""Two label images, before and after a correction, compared: the edits that turn one into the other exactly.

Deletions, merges, splits, additions and new numbers are recognised, even where a border was moved too; all other
differences become one repaint, voxel by voxel. To recognise another operation, add a step to :data:`_STEPS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import apply_edit
from tomocyte.corrections.edits import Add, Delete, Edit, Merge, Renumber, Repaint, Shape, Split, Target
from tomocyte.corrections.frame import Box, EditingFrame, Labels, Mask
from tomocyte.errors import InputError
from tomocyte.labels.runs import LARGEST_LABEL, Voxels, pack_voxels
from tomocyte.volume import VoxelSize

SHARE = 0.5
"""An object becomes another one when more than this share of its voxels does."""


def find_edits(
    before: NDArray[Any],
    after: NDArray[Any],
    voxel_size_um: VoxelSize,
    *,
    structure: str,
    frame: int = 0,
) -> tuple[Edit, ...]:
    """The edits that turn one label image into another, exactly.

    Parameters
    ----------
    before, after : ndarray (Z, Y, X), unsigned integer
    voxel_size_um : tuple of 3 float
        z may be NaN for a single plane.
    structure : str
    frame : int

    Returns
    -------
    tuple of Edit
        Empty if nothing differs. Targets have the label and a voxel deep inside the object.

    Raises
    ------
    InputError
        ``E-SHAPE``: the shapes differ. ``E-EDIT-LABEL``: a label is too large.

    Examples
    --------
    >>> before = np.array([[[1, 1, 2, 2, 0, 3]]], dtype=np.uint8)
    >>> after = np.array([[[1, 1, 1, 1, 0, 0]]], dtype=np.uint8)
    >>> [edit.do for edit in find_edits(before, after, (1.0, 0.5, 0.5), structure="cell")]
    ['delete', 'merge']
    """
    if before.shape != after.shape or before.ndim != 3:
        raise InputError("E-SHAPE", f"the label images have different shapes, {before.shape} and {after.shape}.")
    largest = int(after.max(initial=0))
    if largest > LARGEST_LABEL:
        raise InputError("E-EDIT-LABEL", f"label {largest} is above {LARGEST_LABEL}.", cure="Use smaller labels.")
    work = _Comparison(EditingFrame({structure: before}, voxel_size_um, structure, "both"), after, structure, frame)
    for step in _STEPS:
        step(work)
    if not np.array_equal(work.before, after):
        raise InputError("E-BUG", f"the edits derived for {structure} do not reproduce the corrected labels.")
    return tuple(work.edits)


@dataclass(frozen=True)
class _Overlap:
    """How the objects of two label images lie over each other.

    Parameters
    ----------
    home : dict
        Object before -> the label (0: background) that most of it became; without objects that were divided.
    source : dict
        Object after -> the label (0: background) that most of it was.
    size_after : dict
        Object after -> voxels.
    """

    home: dict[int, int]
    source: dict[int, int]
    size_after: dict[int, int]


class _Comparison:
    """The labels after the edits so far, beside the corrected labels."""

    def __init__(self, editing: EditingFrame, after: Labels, structure: str, frame: int) -> None:
        self.editing = editing
        self.after = after
        self.structure = structure
        self.frame = frame
        self.edits: list[Edit] = []
        self._taken = set(_sizes(after))

    @property
    def before(self) -> Labels:
        """The labels after the edits so far."""
        return self.editing.labels[self.structure]

    @property
    def boxes(self) -> dict[int, Box]:
        """A box around each object of :attr:`before`."""
        return self.editing.boxes(self.structure)

    def do(self, edit: Edit) -> None:
        """Record an edit and apply it."""
        self.edits.append(edit)
        apply_edit(self.editing, edit, len(self.edits))

    def overlap(self) -> _Overlap:
        pairs: dict[tuple[int, int], int] = defaultdict(int)
        was, became = _sizes(self.before), _sizes(self.after)
        for old, new, n_voxels in _differing(self.before, self.after):
            pairs[old, new] += n_voxels
        unchanged = dict(was)
        for (old, _), n_voxels in pairs.items():
            unchanged[old] = unchanged.get(old, 0) - n_voxels
        pairs.update({(label, label): n_voxels for label, n_voxels in unchanged.items() if label and n_voxels})
        home = {old: new for (old, new), n_voxels in sorted(pairs.items()) if old and n_voxels > SHARE * was[old]}
        source = {new: old for (old, new), n_voxels in sorted(pairs.items()) if new and n_voxels > SHARE * became[new]}
        return _Overlap(home, source, became)

    def target(self, label: int) -> Target:
        """An object by its label and its deepest voxel."""
        return self.editing.target(self.structure, label)

    def free_label(self, label: int) -> int:
        """The label itself if it is free, or an unused one; a later renumbering then gives the object its label."""
        if label not in self.boxes:
            return label
        spare = next(number for number in count(1) if number not in self.boxes and number not in self._taken)
        self._taken.add(spare)
        return spare

    def pack(self, mask: Mask, labels: Labels) -> Voxels:
        """Voxels as runs, of those planes only that hold any."""
        planes = np.flatnonzero(mask.any(axis=(1, 2)))
        first, last = int(planes[0]), int(planes[-1]) + 1
        return pack_voxels(labels[first:last], mask[first:last], corner=first, n_planes=mask.shape[0])


def _sizes(labels: Labels) -> dict[int, int]:
    import fastremap

    names, counts = fastremap.unique(labels, return_counts=True)
    return {int(name): int(n_voxels) for name, n_voxels in zip(names, counts, strict=True) if name}


def _differing(before: Labels, after: Labels) -> list[tuple[int, int, int]]:
    """Pairs of labels that lie over each other and differ, with the number of voxels, plane by plane."""
    overlaps = []
    for old, new in zip(before, after, strict=True):
        differs = old != new
        if differs.any():
            key = (old[differs].astype(np.uint64) << np.uint64(32)) | new[differs]
            pairs, counts = np.unique(key, return_counts=True)
            overlaps += [
                (pair >> 32, pair & 0xFFFFFFFF, n_voxels)
                for pair, n_voxels in zip(pairs.tolist(), counts.tolist(), strict=True)
            ]
    return overlaps


def _find_deleted(work: _Comparison) -> None:
    overlap = work.overlap()
    survivors = set(overlap.source.values())
    gone = [label for label, home in overlap.home.items() if home == 0 and label not in survivors]
    if gone:
        targets = tuple(work.target(label) for label in gone)
        work.do(Delete(structure=work.structure, frame=work.frame, targets=targets))


def _find_merged(work: _Comparison) -> None:
    groups = defaultdict(list)
    for label, home in work.overlap().home.items():
        if home:
            groups[home].append(label)
    for home, labels in sorted(groups.items()):
        if len(labels) > 1:
            labels.sort(key=lambda label: (label != home, label))
            targets = tuple(work.target(label) for label in labels)
            work.do(Merge(structure=work.structure, frame=work.frame, targets=targets))


def _find_split(work: _Comparison) -> None:
    overlap = work.overlap()
    groups = defaultdict(list)
    for label, source in overlap.source.items():
        if source:
            groups[source].append(label)
    for source, labels in sorted(groups.items()):
        if len(labels) < 2:
            continue
        keeper = source if source in labels else max(labels, key=lambda label: (overlap.size_after[label], -label))
        box, inside = work.editing.inside(work.structure, source)
        painted = np.zeros_like(work.before, dtype=np.uint32)
        for label in labels:
            if label != keeper:
                painted[box][inside & (work.after[box] == label)] = work.free_label(label)
        pieces = work.pack(painted > 0, painted)
        work.do(Split(structure=work.structure, frame=work.frame, target=work.target(source), pieces=pieces))


def _find_added(work: _Comparison) -> None:
    overlap = work.overlap()
    homes = set(overlap.home.values())
    for label, source in sorted(overlap.source.items()):
        if source == 0 and label not in homes:
            mask = (work.before == 0) & (work.after == label)
            number = work.free_label(label)
            shape = Shape(voxels=work.pack(mask, work.after))
            work.do(Add(structure=work.structure, frame=work.frame, shape=shape, label=number))


def _find_renumbered(work: _Comparison) -> None:
    overlap = work.overlap()
    numbers = {old: new for old, new in overlap.home.items() if new and old != new and overlap.source.get(new) == old}
    while blocked := [old for old, new in numbers.items() if new in work.boxes and new not in numbers]:
        for old in blocked:
            del numbers[old]
    if numbers:
        work.do(Renumber(structure=work.structure, frame=work.frame, numbers=numbers))


def _find_repainted(work: _Comparison) -> None:
    mask = work.before != work.after
    if mask.any():
        shape = Shape(voxels=work.pack(mask, work.after))
        work.do(Repaint(structure=work.structure, frame=work.frame, shape=shape))


_STEPS: tuple[Callable[[_Comparison], None], ...] = (
    _find_deleted,
    _find_merged,
    _find_split,
    _find_added,
    _find_renumbered,
    _find_repainted,
)
