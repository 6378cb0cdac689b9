"""Touching cells split by shape alone: the bodies are told apart, what is thin stays with the body that it grows from.

Filopodia, microvilli and bridges disturb a distance transform and are cut up by a watershed. Here a mask is first
opened; seeds and borders come from what is left, the bodies; then everything thin is flooded from the bodies along the
mask, so that it belongs to the body that it is attached to. To add a rule for what is one cell, add it to
:func:`split_bodies`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.distances import distance_um
from tomocyte.labels.settings import SplitSettings, required
from tomocyte.labels.watershed import find_seeds, seeded_watershed
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint32]
STEPS_PER_THICKNESS = 8
"""Voxels that bodies are told apart on, per largest thickness of what is thin."""


def split_bodies(
    inside: Mask, voxel_size_um: VoxelSize, settings: SplitSettings, *, filling: NDArray[Any], min_voxels: float
) -> Labels:
    """Cells of one connected piece.

    Parameters
    ----------
    inside : ndarray (Z, Y, X), bool
        The piece; the border of the array counts as inside.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    settings : SplitSettings
        ``thin_um``, ``min_separation_um``, ``prominence`` and ``seed_fraction``.
    filling : ndarray (Z, Y, X), real
        How much a voxel counts.
    min_voxels : float
        Smallest cell, counted by ``filling``; a body that is smaller is no cell.

    Returns
    -------
    ndarray (Z, Y, X), uint32
        1..n, every voxel of the piece; one number where there are fewer than two bodies.

    Examples
    --------
    >>> y, x = np.ogrid[:30, :60]
    >>> discs = ((y - 15) ** 2 + (x - 15) ** 2 < 12**2) | ((y - 15) ** 2 + (x - 38) ** 2 < 12**2)
    >>> bridge = (abs(y - 15) < 2) & (x > 10) & (x < 58)
    >>> settings = SplitSettings(method="bodies", thin_um=5, min_separation_um=10)
    >>> mask = (discs | bridge)[None]
    >>> labels = split_bodies(mask, (float("nan"), 1, 1), settings, filling=mask, min_voxels=50)
    >>> int(labels.max()), int(labels[0, 15, 57] == labels[0, 15, 38])
    (2, 1)
    """
    body = opened(inside, voxel_size_um, settings.thin_um)
    height = distance_um(body, voxel_size_um)
    seeds = find_seeds(
        height,
        body,
        prominence=settings.prominence,
        min_separation_um=required(settings.min_separation_um),
        voxel_size_um=voxel_size_um,
        min_voxels=max(1, round(settings.seed_fraction * min_voxels)),
    )
    while int(seeds.max(initial=0)) > 1:
        regions = seeded_watershed(-height, seeds, body)
        surplus = _surplus(regions, height, filling, voxel_size_um, settings, min_voxels)
        if surplus == 0:
            # On a flat landscape the first to arrive wins: the nearest body, along the mask.
            return seeded_watershed(np.zeros(inside.shape, np.float32), regions, inside, connectivity=3)
        # One at a time: its voxels may make a neighbour large enough.
        seeds[seeds == surplus] = 0
        seeds = np.asarray(np.searchsorted(np.unique(seeds), seeds), dtype=np.uint32)
    return inside.astype(np.uint32)


def _surplus(
    regions: Labels,
    height: NDArray[np.float32],
    filling: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SplitSettings,
    min_voxels: float,
) -> int:
    """The region that is no cell of its own: the smallest if too small, else one without a waist; 0: none."""
    n = int(regions.max())
    sizes = np.bincount(regions.ravel(), weights=filling.ravel(), minlength=n + 1)[1:]
    smallest = int(np.argmin(sizes))
    if sizes[smallest] < min_voxels:
        return 1 + smallest
    depth = np.zeros(n + 1)
    np.maximum.at(depth, regions.ravel(), height.ravel())
    worst, surplus = settings.max_contact, 0
    for (first, second), area in _contact_areas(regions, voxel_size_um).items():
        lower = first if depth[first] < depth[second] else second
        # A plane has lines of contact: they are compared with the diameter, areas with the circle.
        section = 2 * depth[lower] if regions.shape[0] == 1 else math.pi * depth[lower] ** 2
        if area > worst * section:
            worst, surplus = area / section, lower
    return surplus


def _contact_areas(regions: Labels, voxel_size_um: VoxelSize) -> dict[tuple[int, int], float]:
    """Area (a plane: length) over which two regions meet, µm²: the length of the sum of their faces' normals.

    For a flat contact that is its area, whatever its direction.
    """
    size = np.nan_to_num(np.asarray(voxel_size_um, dtype=np.float64), nan=1.0)
    sums: dict[tuple[int, int], NDArray[np.float64]] = {}
    for axis in range(3):
        along = np.moveaxis(regions, axis, 0)
        before, after = along[:-1], along[1:]
        meets = (before != after) & (before != 0) & (after != 0)
        pairs = np.stack([before[meets], after[meets]], axis=1).astype(np.int64)
        for (first, second), count in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
            key = (int(min(first, second)), int(max(first, second)))
            sign = 1 if first < second else -1
            sums.setdefault(key, np.zeros(3))[axis] += sign * int(count) * size.prod() / size[axis]
    return {pair: float(np.linalg.norm(normal)) for pair, normal in sums.items()}


def opened(mask: Mask, voxel_size_um: VoxelSize, thickness_um: float) -> Mask:
    """What is left of a mask without parts thinner than a length: an opening with a ball of that diameter.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool
        The border of the array counts as inside.
    voxel_size_um : tuple of 3 float
    thickness_um : float

    Examples
    --------
    >>> row = np.zeros((1, 7, 12), bool); row[0, 1:6, 1:6] = True; row[0, 3, 6:11] = True
    >>> opened(row, (float("nan"), 1, 1), 3.0)[0, 3].astype(int).tolist()
    [0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    """
    radius_um = thickness_um / 2
    deep = distance_um(mask, voxel_size_um) > radius_um
    if not deep.any() or deep.all():
        return deep if not mask.all() else mask
    # Distances are to the middle of the nearest voxel outside, half a voxel further than the surface.
    half = max(length for length in voxel_size_um if not math.isnan(length)) / 2
    return mask & (distance_um(~deep, voxel_size_um) <= radius_um + half)
