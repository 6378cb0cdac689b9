"""Propagation by shape alone: signed distances, interpolated linearly between neighbouring labelled slices.

Every label has in each labelled slice a signed distance to its border, positive inside. Between two labelled slices
the distances are interpolated linearly, and a voxel belongs to the label whose interpolated distance is largest, if it
is not negative. A voxel that is labelled in both slices is never left unlabelled (where three cells meet, all
interpolated distances may be negative). Nothing is extrapolated beyond the first and the last labelled slice.

A label that is present in only one of the two slices tapers to its end halfway between them: in the other slice its
distance is set to minus its largest inner distance.

References
----------
Raya & Udupa 1990, IEEE Trans. Med. Imaging 9:32-42, doi:10.1109/42.52980.
Herman, Zheng & Bucholtz 1992, IEEE Comput. Graph. Appl. 12:69-79.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.propagation.method import DenseLabels, PropagationMethod, SparseLabels
from tomocyte.settings import Settings

TIE = 1e-4
"""Distances that differ by less than this part of a pixel are equal, and the smaller label wins, so that rounding does
not decide."""
Plane = NDArray[np.float32]
Box = tuple[slice, slice]


class SignedDistanceSettings(Settings):
    """How labels end between slices."""

    is_tapered: bool = True
    """Whether a label that is present in only one of two neighbouring labelled slices tapers to its end halfway between
    them; otherwise it ends at the slice where it was labelled."""


def interpolate_labels(
    sparse: SparseLabels, settings: SignedDistanceSettings, callback: Callable[[int, int], None]
) -> DenseLabels:
    """Labels between labelled slices by linear interpolation of their signed distances.

    The uncertainty of a voxel is ``s / (|d| + s)``: ``d`` is the largest interpolated signed distance of any label and
    ``s = 2 min(t, 1 - t) |d1 - d0|`` how much the two slices, at the relative positions 0 and 1, disagree about that
    distance, less near them. It is 0 where they agree, 1 on a border that they disagree about, and 1 beyond the first
    and the last labelled slice. It ranks voxels; it is not the probability of an error.

    Raises
    ------
    SettingsError
        ``E-PROPAGATION-SLICES``: fewer than two labelled slices.
    """
    if len(sparse.slices) < 2:
        raise SettingsError(
            "E-PROPAGATION-SLICES",
            "signed-distance needs two labelled slices or more, not one.",
            cure="Label another slice; name slices without any object with --labelled-slices.",
        )
    n_slices = sparse.labels.shape[0]
    labels = sparse.zeros(sparse.labels.shape, sparse.labels.dtype)
    uncertainty = sparse.zeros(sparse.labels.shape, np.float32)
    for index in sparse.slices:
        labels[index] = sparse.labels[index]
    uncertainty[: sparse.slices[0]] = 1
    uncertainty[sparse.slices[-1] + 1 :] = 1
    callback(sparse.slices[0] + 1, n_slices)
    for first, last in pairwise(sparse.slices):
        if last - first > 1:
            _fill_gap(sparse, settings, slice(first, last + 1), labels, uncertainty)
        callback(last + 1, n_slices)
    callback(n_slices, n_slices)
    return DenseLabels(labels, uncertainty)


def _fill_gap(
    sparse: SparseLabels,
    settings: SignedDistanceSettings,
    gap: slice,
    labels: NDArray[Any],
    uncertainty: NDArray[np.float32],
) -> None:
    """Write labels and uncertainty of the slices between the two labelled ones at the ends of ``gap``."""
    ends = sparse.labels[gap.start], sparse.labels[gap.stop - 1]
    inner = slice(gap.start + 1, gap.stop - 1)
    n_inner = inner.stop - inner.start
    labels[inner], uncertainty[inner] = 0, 0
    tie = np.float32(TIE * min(sparse.voxel_size_um[1:]))
    largest = np.full((n_inner, *ends[0].shape), -np.inf, dtype=np.float32)
    for section in _label_sections(ends, sparse.voxel_size_um[1:], is_tapered=settings.is_tapered):
        disagreement = np.abs(section.last - section.first)
        for step in range(n_inner):
            position = np.float32((step + 1) / (n_inner + 1))
            distance = (1 - position) * section.first + position * section.last
            spread = 2 * min(position, 1 - position) * disagreement
            place = (inner.start + step, *section.box)
            is_largest = distance > largest[step][section.box] + tie
            np.copyto(largest[step][section.box], distance, where=is_largest)
            np.copyto(labels[place], section.label, where=is_largest)
            relative_spread = np.divide(spread, np.abs(distance) + spread, out=np.zeros_like(spread), where=spread > 0)
            np.copyto(uncertainty[place], relative_spread, where=is_largest)
    is_labelled_twice = (ends[0] > 0) & (ends[1] > 0)
    for step in range(n_inner):
        labels[inner.start + step][(largest[step] < -tie) & ~is_labelled_twice] = 0


@dataclass(frozen=True)
class _LabelSection:
    """One label in the box that holds it in both slices, with its signed distances there in µm."""

    label: int
    box: Box
    first: Plane
    last: Plane


def _label_sections(
    ends: tuple[NDArray[Any], NDArray[Any]], pixel_size_um: tuple[float, ...], *, is_tapered: bool
) -> Iterator[_LabelSection]:
    boxes = [_boxes(plane) for plane in ends]
    shape = ends[0].shape
    farthest = np.float32(np.hypot(shape[0] * pixel_size_um[0], shape[1] * pixel_size_um[1]))
    for label in sorted(boxes[0].keys() | boxes[1].keys()):
        is_in_both = label in boxes[0] and label in boxes[1]
        if not is_in_both and not is_tapered:
            continue
        box = _union([side[label] for side in boxes if label in side], shape)
        distances = [
            _signed_distance(plane[box] == label, pixel_size_um, farthest) if label in side else None
            for plane, side in zip(ends, boxes, strict=True)
        ]
        first, last = distances
        if first is None and last is not None:
            first = np.full_like(last, -last.max())
        if last is None and first is not None:
            last = np.full_like(first, -first.max())
        if first is not None and last is not None:
            yield _LabelSection(label, box, first, last)


def _boxes(plane: NDArray[Any]) -> dict[int, Box]:
    """The bounding box of each label of a slice (H, W); cost and memory do not grow with the largest label."""
    from scipy import ndimage

    numbers, compact = np.unique(plane, return_inverse=True)
    compact = compact.reshape(plane.shape) + (1 if numbers[0] else 0)
    boxes = ndimage.find_objects(compact)
    return {int(number): box for number, box in zip(numbers[numbers > 0], boxes, strict=True)}


def _union(boxes: list[Box], shape: tuple[int, ...]) -> Box:
    """The box around boxes, one pixel wider on each side where the slice allows, so that borders lie inside it."""
    sides = [
        slice(max(min(box[axis].start for box in boxes) - 1, 0), min(max(box[axis].stop for box in boxes) + 1, size))
        for axis, size in enumerate(shape)
    ]
    return sides[0], sides[1]


def _signed_distance(mask: NDArray[np.bool_], pixel_size_um: tuple[float, ...], farthest: np.float32) -> Plane:
    """Distance in µm to the nearest pixel on the other side of the border, negative outside; the image's edge is none.

    A label that fills the slice has no border; its distance is then the slice's diagonal.
    """
    import edt

    inside = edt.edt(np.ascontiguousarray(mask), anisotropy=pixel_size_um, parallel=1)
    outside = edt.edt(np.ascontiguousarray(~mask), anisotropy=pixel_size_um, parallel=1)
    return np.asarray(np.minimum(inside, farthest) - np.minimum(outside, farthest), dtype=np.float32)


METHOD = PropagationMethod(
    name="signed-distance",
    description="Shape-based interpolation between labelled slices; needs no image.",
    settings=SignedDistanceSettings,
    propagate=interpolate_labels,
)
