"""The label images of one frame while they are corrected: copied when first written, with a box around each object.

Operations are in :mod:`tomocyte.corrections.apply`; what several of them need from the labels is here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import Place, Target
from tomocyte.errors import InputError
from tomocyte.labels.distances import distance_um
from tomocyte.labels.dtypes import refit
from tomocyte.labels.extents import label_extents
from tomocyte.labels.runs import LARGEST_LABEL
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
GoBy = Literal["both", "label", "point"]
MOST_UNUSED = 1_000_000
"""Labels may skip this many numbers before objects are counted by rank and not by label."""


class EditingFrame:
    """The label images while they are edited; an array is copied at its first edit."""

    def __init__(self, labels: dict[str, Labels], voxel_size_um: VoxelSize, main: str, go_by: GoBy) -> None:
        self.labels = labels
        self.voxel_size_um = voxel_size_um
        self.voxel_um = math.prod(size for size in voxel_size_um if not math.isnan(size))
        self.main = main
        self.go_by = go_by
        self.cells: dict[str, dict[int, int]] = {}
        self.marks: dict[str, dict[int, list[str]]] = {}
        self.origin: dict[str, dict[int, int]] = {}
        self._boxes: dict[str, dict[int, Box]] = {}
        self._owned: set[str] = set()
        shapes = {array.shape for array in labels.values()}
        if len(shapes) > 1 or any(array.ndim != 3 for array in labels.values()):
            raise InputError("E-SHAPE", f"label images of one shape (Z, Y, X) are needed, not {sorted(shapes)}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        shape = next(iter(self.labels.values())).shape
        return (shape[0], shape[1], shape[2])

    def boxes(self, structure: str) -> dict[int, Box]:
        """A box around each object; after edits it may be larger than the object."""
        if structure not in self._boxes:
            self._boxes[structure] = object_boxes(self.labels[structure])
        return self._boxes[structure]

    def own(self, structure: str, largest: int = 0) -> Labels:
        """The array of a structure, for writing labels up to ``largest`` into it."""
        if largest > LARGEST_LABEL:
            raise InputError("E-EDIT-LABEL", f"label {largest} is above {LARGEST_LABEL}.", cure="Use smaller labels.")
        boxes = self.boxes(structure)
        current = self.labels[structure]
        wide = refit(current, max([largest, *boxes]))
        if structure not in self._owned:
            self._owned.add(structure)
            wide = wide.copy() if wide is current else wide
        self.labels[structure] = wide
        return wide

    def is_own(self, structure: str) -> bool:
        """Whether the array was copied, so that edits write into it."""
        return structure in self._owned

    def next_label(self, structure: str) -> int:
        return max(self.boxes(structure), default=0) + 1

    def inside(self, structure: str, label: int) -> tuple[Box, Mask]:
        """A box that holds the object, and its voxels in it."""
        box = self.boxes(structure)[label]
        return box, self.labels[structure][box] == label

    def count(self, structure: str, label: int) -> int:
        if label not in self.boxes(structure):
            return 0
        return int(np.count_nonzero(self.inside(structure, label)[1]))

    def find(self, structure: str, target: Target) -> int:
        """The label of the object that a target names."""
        boxes = self.boxes(structure)
        label, has_point = target.label, target.um is not None or target.voxel is not None
        if label is not None and (not has_point or self.go_by == "label"):
            if label not in boxes:
                raise InputError(
                    "E-EDIT-TARGET", f"there is no {structure} {label}.", cure=f"There are {few(sorted(boxes))}."
                )
            return label
        by_point = self._at(structure, target)
        if label is not None and self.go_by == "both" and by_point != label:
            place = f"{structure} {by_point}" if by_point else "background"
            raise InputError(
                "E-EDIT-TARGET",
                f"its point lies in {place}, but its label is {label}.",
                cure="The segmentation has changed since: check the edit, or set 'go_by: point' (or 'label').",
            )
        if not by_point:
            raise InputError(
                "E-EDIT-TARGET", f"there is no {structure} at its point.", cure="Check its place and unit."
            )
        return by_point

    def target(self, structure: str, label: int) -> Target:
        """An object by its label and its deepest voxel."""
        box, inside = self.inside(structure, label)
        widths = [(0, 0) if axis == 0 and self.shape[0] == 1 else (1, 1) for axis in range(3)]
        depth = distance_um(np.pad(inside, widths), self.voxel_size_um)
        index = np.unravel_index(int(np.argmax(depth)), depth.shape)
        z, y, x = (int(at) - low + side.start for at, (low, _), side in zip(index, widths, box, strict=True))
        return Target(label=label, voxel=(z, y, x))

    def _at(self, structure: str, place: Place) -> int:
        index = place.index(self.voxel_size_um)
        if not all(0 <= at < size for at, size in zip(index, self.shape, strict=True)):
            raise InputError("E-EDIT-TARGET", f"voxel {index} lies outside the frame {self.shape}.")
        return int(self.labels[structure][index])

    def widen(self, structure: str, label: int, box: Box) -> None:
        boxes = self.boxes(structure)
        boxes[label] = union(boxes[label], box) if label in boxes else box

    def mark(self, structure: str, label: int, kind: str) -> None:
        marks = self.marks.setdefault(structure, {}).setdefault(label, [])
        if kind not in marks:
            marks.append(kind)

    def forget(self, structure: str, label: int) -> None:
        """Remove an object that is gone, and everything recorded about it."""
        self.boxes(structure).pop(label, None)
        self.marks.get(structure, {}).pop(label, None)
        self.cells.get(structure, {}).pop(label, None)
        if structure == self.main:
            for cells in self.cells.values():
                for child in [child for child, cell in cells.items() if cell == label]:
                    del cells[child]


def object_boxes(labels: Labels) -> dict[int, Box]:
    """The bounding box of each object, by label, ascending."""
    import fastremap

    names = fastremap.unique(labels)
    names = names[names > 0].astype(np.int64)
    counted = labels
    if names.size and names[-1] > 4 * names.size + MOST_UNUSED:
        counted = np.stack([np.searchsorted(names, plane).astype(np.uint32) + (plane > 0) for plane in labels])
        extents, numbers = label_extents(counted), range(1, names.size + 1)
    else:
        extents, numbers = label_extents(counted), names.tolist()
    return {label: extents.box(number, labels.shape) for label, number in zip(names.tolist(), numbers, strict=True)}


def few(labels: Iterable[int]) -> str:
    """The first ten labels, for a message."""
    labels = list(labels)
    shown = ", ".join(map(str, labels[:10]))
    return f"{shown or 'none'}{', …' if len(labels) > 10 else ''}"


def union(first: Box, second: Box) -> Box:
    """The smallest box that holds both."""
    sides = [slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    return (sides[0], sides[1], sides[2])
