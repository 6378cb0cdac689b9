"""Objects as labels: touching cells split, numbers in raster order, children given to their parents.

All functions take and return labels (Z, Y, X) with 0 = background. To split cells by another landscape, add it to
``SplitSettings.method`` and to :func:`_landscape`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.blocks import (
    block_factors,
    block_means,
    block_sizes,
    block_sums,
    coarse_voxel_size,
    fine_plane,
)
from tomocyte.labels.dtypes import label_dtype, refit
from tomocyte.labels.settings import SplitSettings
from tomocyte.labels.smoothing import sigma_in_voxels, smooth
from tomocyte.labels.watershed import find_seeds, seeded_watershed
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
COARSEST_UM = 0.35
"""Cells are split on voxels of about this size, or an eighth of their smallest separation if that is less."""
LOCAL_SHARE = 0.8
"""A voxel is bright for its place if it exceeds this share of the mean around it; background counts as 0 there."""


@dataclass(frozen=True)
class Extents:
    """Voxels and bounding box of each label, by label; entry 0 is unused.

    Parameters
    ----------
    n_voxels : ndarray (n + 1,), int64
    lower, upper : ndarray (n + 1, 3), int64
        Half-open.
    """

    n_voxels: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]

    def box(self, label: int, shape: tuple[int, ...], margin: int = 0) -> Box:
        """Bounding box of a label, widened by a margin where the volume allows."""
        sides = [
            slice(max(int(low) - margin, 0), min(int(high) + margin, size))
            for low, high, size in zip(self.lower[label], self.upper[label], shape, strict=True)
        ]
        return (sides[0], sides[1], sides[2])


def label_extents(labels: Labels) -> Extents:
    """Voxels and bounding box of each label, in one pass.

    Examples
    --------
    >>> found = label_extents(np.array([[[0, 1, 1, 0, 2]]], dtype=np.uint8))
    >>> found.n_voxels.tolist(), found.box(1, (1, 1, 5))[2]
    ([0, 2, 1], slice(1, 3, None))
    """
    n = int(labels.max(initial=0))
    return Extents(*_extents(labels, n))


def renumber(labels: Labels, keep: Mask | None = None) -> Labels:
    """Number the objects 1..n in raster order of their first voxel, in the smallest type that holds them.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
    keep : ndarray (largest label + 1,), bool, optional
        Objects to keep; entry 0 is ignored.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        A new array.

    Examples
    --------
    >>> renumber(np.array([[[7, 0, 3, 7]]], dtype=np.uint16)).tolist()
    [[[1, 0, 2, 1]]]
    """
    largest = int(labels.max(initial=0))
    chosen = np.ones(largest + 1, dtype=bool) if keep is None else keep.astype(bool)
    number, n = _raster_numbers(labels, chosen)
    table = number.astype(label_dtype(n))
    numbered = np.empty(labels.shape, dtype=table.dtype)
    for z in range(labels.shape[0]):
        np.take(table, labels[z], out=numbered[z])
    return numbered


def assign_parents(child_labels: NDArray[Any], cell_labels: NDArray[Any]) -> dict[int, int]:
    """For each child object, the cell it lies in.

    Parameters
    ----------
    child_labels, cell_labels : ndarray (Z, Y, X), integer >= 0

    Returns
    -------
    dict of int to int
        Child label to the label of the cell with most voxels in common (the smaller label where two have equally
        many); 0 when the child lies in no cell.

    Raises
    ------
    SettingsError
        ``E-SHAPE`` when the arrays differ in shape.

    Examples
    --------
    >>> assign_parents(np.array([[[1, 1, 1, 0, 2]]]), np.array([[[0, 5, 5, 5, 0]]]))
    {1: 5, 2: 0}
    """
    if child_labels.shape != cell_labels.shape:
        raise SettingsError("E-SHAPE", f"children {child_labels.shape} and cells {cell_labels.shape} differ in shape.")
    children: list[NDArray[Any]] = [np.zeros((0, 3), dtype=np.int64)]
    for z in range(child_labels.shape[0]):
        here = child_labels[z] != 0
        pairs = np.stack([child_labels[z][here].astype(np.int64), cell_labels[z][here].astype(np.int64)], axis=1)
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        children.append(np.column_stack([unique, counts]))
    table = np.concatenate(children)
    overlap: dict[tuple[int, int], int] = {}
    for child, cell, count in table.tolist():
        overlap[child, cell] = overlap.get((child, cell), 0) + count
    best: dict[int, tuple[int, int]] = {}
    for (child, cell), count in sorted(overlap.items()):
        if child not in best:
            best[child] = (0, 0)
        if cell and count > best[child][0]:
            best[child] = (count, cell)
    return {child: cell for child, (_, cell) in best.items()}


def split_touching(
    labels: Labels,
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SplitSettings,
    *,
    level: float = 0.0,
    is_bright: bool = True,
    min_voxels: float = 0.0,
) -> Labels:
    """Split objects that are several cells touching each other.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        Connected components.
    image : ndarray (Z, Y, X), real
        Used by the methods ``intensity`` and ``local-contrast``.
    voxel_size_um : tuple of 3 float
    settings : SplitSettings
    level : float
        Background in the image's unit, from which intensity is counted.
    is_bright : bool
    min_voxels : float
        Smallest cell; a part that is smaller is given to its neighbours.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        A new array; numbers in no particular order.
    """
    return split_own(
        labels.copy(), image, voxel_size_um, settings, level=level, is_bright=is_bright, min_voxels=min_voxels
    )


def split_own(
    split: Labels,
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SplitSettings,
    *,
    level: float = 0.0,
    is_bright: bool = True,
    min_voxels: float = 0.0,
) -> Labels:
    """As :func:`split_touching`, but in the caller's own labels: they are changed, and widened if need be."""
    if settings.method == "none":
        return split
    extents = label_extents(split)
    largest = len(extents.n_voxels) - 1
    for label in range(1, largest + 1):
        size_um = (extents.upper[label] - extents.lower[label]) * np.nan_to_num(np.asarray(voxel_size_um), nan=0.0)
        if extents.n_voxels[label] < 2 * min_voxels or size_um.max() <= settings.min_separation_um:
            continue
        box = extents.box(label, split.shape, margin=max(_factors(voxel_size_um, settings)))
        inside = split[box] == label
        part = _Part(inside, image[box], voxel_size_um, settings, level, is_bright, min_voxels)
        coarse, factors = _split_one(part)
        n = int(coarse.max())
        if n > 1:
            split = refit(split, largest + n - 1)
            _write(split[box], inside, np.where(coarse > 1, coarse - 1 + largest, label), factors)
            largest += n - 1
    return split


@dataclass(frozen=True)
class _Part:
    """One component and what is needed to split it."""

    inside: Mask
    image: NDArray[Any]
    voxel_size_um: VoxelSize
    settings: SplitSettings
    level: float
    is_bright: bool
    min_voxels: float


def _factors(voxel_size_um: VoxelSize, settings: SplitSettings) -> tuple[int, int, int]:
    return block_factors(voxel_size_um, min(COARSEST_UM, settings.min_separation_um / 8))


def _split_one(part: _Part) -> tuple[NDArray[np.uint32], tuple[int, int, int]]:
    """Labels 1..n of one component on its coarse grid, and the grid's factors."""
    factors = _factors(part.voxel_size_um, part.settings)
    size_um = coarse_voxel_size(part.voxel_size_um, factors)
    filling = block_sums(part.inside, factors)
    covered = filling > 0
    height = _landscape(part, filling * 2 >= block_sizes(part.inside.shape, factors), covered, factors)
    smallest = part.min_voxels / math.prod(factors)
    seeds = find_seeds(
        height,
        covered,
        prominence=part.settings.prominence,
        min_separation_um=part.settings.min_separation_um,
        voxel_size_um=size_um,
        min_voxels=max(1, round(part.settings.seed_fraction * smallest)),
    )
    while True:
        n = int(seeds.max())
        if n < 2:
            return covered.astype(np.uint32), factors
        regions = seeded_watershed(-height, seeds, covered, connectivity=1)
        sizes = np.bincount(regions.ravel(), weights=filling.ravel(), minlength=n + 1)[1:]
        is_small = sizes < part.min_voxels
        if not is_small.any():
            return regions, factors
        # One at a time, smallest first: its voxels may make a neighbour large enough.
        seeds[seeds == 1 + int(np.argmin(sizes))] = 0
        seeds = np.asarray(np.searchsorted(np.unique(seeds), seeds), dtype=np.uint32)


def _landscape(part: _Part, core: Mask, covered: Mask, factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """High in the middle of cells, 0 outside, on the coarse grid."""
    size_um = coarse_voxel_size(part.voxel_size_um, factors)
    if part.settings.method == "distance":
        return distance_um(core if core.any() else covered, size_um)
    means = block_means(part.image, factors, part.inside)
    contrast = np.where(covered, means - part.level if part.is_bright else part.level - means, 0).astype(np.float32)
    sigma = sigma_in_voxels(part.settings.smoothing_um, size_um, contrast.shape[0])
    smoothed = np.nan_to_num(smooth(np.where(covered, contrast, np.float32(np.nan)), sigma))
    if part.settings.method == "intensity":
        return np.maximum(smoothed, 0)
    window = sigma_in_voxels(part.settings.window_um, size_um, contrast.shape[0])
    excess = np.maximum(smoothed - LOCAL_SHARE * _mean_around(contrast, window), 0)
    return np.sqrt(excess * distance_um(covered & (excess > 0), size_um))


def _mean_around(values: NDArray[np.float32], sigma: tuple[float, ...]) -> NDArray[np.float32]:
    """Gaussian mean of an array that is 0 beyond its borders."""
    widths = [math.ceil(2 * along) for along in sigma]
    mean = smooth(np.pad(values, [(width, width) for width in widths]), sigma)
    inner = [slice(width, width + size) for width, size in zip(widths, values.shape, strict=True)]
    return mean[inner[0], inner[1], inner[2]]


def distance_um(mask: Mask, voxel_size_um: VoxelSize) -> NDArray[np.float32]:
    """Distance of each voxel of the mask to the nearest voxel outside it, in µm; the image's border counts as inside.

    A mask without any voxel outside has no such distance: it is 0 everywhere.

    Examples
    --------
    >>> distance_um(np.array([[[False, True, True]]]), (float("nan"), 0.5, 0.25)).tolist()
    [[[0.0, 0.25, 0.5]]]
    """
    import edt

    if mask.all():
        return np.zeros(mask.shape, dtype=np.float32)
    if mask.shape[0] == 1:
        plane = edt.edt(np.ascontiguousarray(mask[0]), anisotropy=voxel_size_um[1:], parallel=1)
        return np.asarray(plane[None], dtype=np.float32)
    return np.asarray(edt.edt(np.ascontiguousarray(mask), anisotropy=voxel_size_um, parallel=1), dtype=np.float32)


def _write(view: Labels, inside: Mask, coarse: NDArray[Any], factors: tuple[int, int, int]) -> None:
    for z in range(view.shape[0]):
        fine = fine_plane(coarse, z, view.shape, factors)
        np.copyto(view[z], fine.astype(view.dtype), where=inside[z])


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _extents(labels: Labels, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    n_voxels = np.zeros(n + 1, np.int64)
    lower = np.full((n + 1, 3), np.int64(2**62))
    upper = np.zeros((n + 1, 3), np.int64)
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                label = labels[z, y, x]
                if label == 0:
                    continue
                n_voxels[label] += 1
                lower[label, 0] = min(lower[label, 0], z)
                lower[label, 1] = min(lower[label, 1], y)
                lower[label, 2] = min(lower[label, 2], x)
                upper[label, 0] = max(upper[label, 0], z + 1)
                upper[label, 1] = max(upper[label, 1], y + 1)
                upper[label, 2] = max(upper[label, 2], x + 1)
    return n_voxels, lower, upper


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _raster_numbers(labels: Labels, keep: Mask) -> tuple[NDArray[np.int64], int]:
    number = np.zeros(keep.size, np.int64)
    n = 0
    for label in labels.flat:
        if label != 0 and keep[label] and number[label] == 0:
            n += 1
            number[label] = n
    return number, n
