"""Which components count as objects: size, holes, borders.

To add a criterion, add a setting to ``CleanSettings`` and a function here that returns which labels to keep.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.components import Components, connected_components
from tomocyte.labels.extents import Box, Extents, label_extents
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]


def voxels_of(volume_um3: float, area_um2: float, voxel_size_um: VoxelSize, n_planes: int) -> float:
    """A smallest size in voxels: from µm³, or from µm² for a single plane.

    Examples
    --------
    >>> voxels_of(2.0, 3.0, (0.5, 0.2, 0.1), 7)
    200.0
    """
    in_plane = voxel_size_um[1] * voxel_size_um[2]
    if n_planes == 1:
        return round(area_um2 / in_plane, 6)
    return round(volume_um3 / (voxel_size_um[0] * in_plane), 6)


def touches_border(lower: NDArray[np.int64], upper: NDArray[np.int64], shape: tuple[int, ...]) -> Mask:
    """Which bounding boxes (n, 3) touch a lateral (y or x) border; the faces in z do not count."""
    sides = (lower[:, 1:] == 0) | (upper[:, 1:] == np.asarray(shape[1:]))
    return np.asarray(sides.any(axis=1))


def reaches(labels: Labels, core: Mask, n: int) -> Mask:
    """Which labels 0..n have a voxel in common with a mask of the same shape; entry 0 is False."""
    counts = np.zeros(n + 1, dtype=np.int64)
    for z in range(labels.shape[0]):
        counts += np.bincount(labels[z][core[z]], minlength=n + 1)
    counts[0] = 0
    return counts > 0


def beside(labels: Labels, mask: Mask) -> NDArray[np.int64]:
    """The labels that have a voxel in a mask or beside one of its voxels, ascending.

    Examples
    --------
    >>> labels = np.array([[[1, 1, 0, 2]]], np.uint8)
    >>> beside(labels, np.array([[[False, False, True, False]]])).tolist()
    [1, 2]
    """
    from scipy import ndimage

    numbers = np.unique(labels[ndimage.binary_dilation(mask)])
    return np.asarray(numbers[numbers != 0], dtype=np.int64)


def large_enough(objects: Components | Extents, min_voxels: float) -> Mask:
    """Which objects have at least ``min_voxels`` voxels, by label; entry 0 is False."""
    keep: Mask = objects.n_voxels >= min_voxels
    keep[0] = False
    return keep & (objects.n_voxels > 0)


def fill_holes(labels: Labels, *, max_voxels: float = math.inf, max_share: float = math.inf) -> None:
    """Give background that an object encloses to that object, in place.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        Changed in place; only background voxels change. A single plane is filled in 2-D.
    max_voxels : float
        Larger holes stay.
    max_share : float
        Holes larger than this part of the object's own voxels stay.
    """
    extents = label_extents(labels)
    axes = slice(1, None) if labels.shape[0] == 1 else slice(None)
    widths = (extents.upper - extents.lower)[:, axes]
    for label in np.flatnonzero((extents.n_voxels > 0) & (widths.min(axis=1) > 2)):
        if label:
            largest = min(max_voxels, max_share * int(extents.n_voxels[label]))
            _fill_object(labels, int(label), extents.box(int(label), labels.shape), largest)


def _fill_object(labels: Labels, label: int, box: Box, max_voxels: float) -> None:
    import fill_voids

    inside = labels[box] == label
    is_plane = labels.shape[0] == 1
    solid = np.array(inside[0] if is_plane else inside, order="C")
    filled, n_filled = fill_voids.fill(solid, in_place=False, return_fill_count=True)
    if n_filled == 0:
        return
    holes = filled.reshape(inside.shape) & ~inside
    holes &= labels[box] == 0
    if math.isfinite(max_voxels):
        components = connected_components(holes)
        keep = components.n_voxels <= max_voxels
        holes = components.paint(keep) > 0
    labels[box][holes] = label
