"""Touching cells split by a seeded watershed of each component, on voxels no finer than needed.

All functions take and return labels (Z, Y, X) with 0 = background. To split cells by another landscape, add it to
``SplitSettings.method`` and to :func:`_landscape`; by another rule for seeds, as :mod:`tomocyte.segmentation.bodies`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.blocks import (
    block_factors,
    block_means,
    block_sizes,
    block_sums,
    coarse_voxel_size,
    fine_plane,
)
from tomocyte.labels.distances import distance_um
from tomocyte.labels.dtypes import refit
from tomocyte.labels.extents import label_extents
from tomocyte.labels.settings import SplitSettings, required
from tomocyte.labels.watershed import find_seeds, seeded_watershed
from tomocyte.segmentation.bodies import STEPS_PER_THICKNESS, split_bodies
from tomocyte.segmentation.smoothing import sigma_in_voxels, smooth
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
COARSEST_UM = 0.35
"""Cells are split on voxels of about this size, or an eighth of their smallest separation if that is less."""
LOCAL_SHARE = 0.8
"""A voxel is bright for its place if it exceeds this share of the mean around it; background counts as 0 there."""


def split_touching(
    labels: Labels,
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SplitSettings,
    *,
    background: float = 0.0,
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
    background : float
        In the image's unit, from which intensity is counted.
    is_bright : bool
    min_voxels : float
        Smallest cell; a part that is smaller is given to its neighbours.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        A new array; numbers in no particular order.
    """
    return split_own(
        labels.copy(), image, voxel_size_um, settings, background=background, is_bright=is_bright, min_voxels=min_voxels
    )


def split_own(
    split: Labels,
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SplitSettings,
    *,
    background: float = 0.0,
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
        if extents.n_voxels[label] < 2 * min_voxels or size_um.max() <= required(settings.min_separation_um):
            continue
        box = extents.box(label, split.shape, margin=max(_factors(voxel_size_um, settings)))
        inside = split[box] == label
        component = _Component(inside, image[box], voxel_size_um, settings, background, is_bright, min_voxels)
        coarse, factors = _split_one(component)
        n = int(coarse.max())
        if n > 1:
            split = refit(split, largest + n - 1)
            _write(split[box], inside, np.where(coarse > 1, coarse - 1 + largest, label), factors)
            largest += n - 1
    return split


@dataclass(frozen=True)
class _Component:
    """One component and what is needed to split it."""

    inside: Mask
    image: NDArray[Any]
    voxel_size_um: VoxelSize
    settings: SplitSettings
    background: float
    is_bright: bool
    min_voxels: float


def _factors(voxel_size_um: VoxelSize, settings: SplitSettings) -> tuple[int, int, int]:
    coarsest = min(COARSEST_UM, required(settings.min_separation_um) / 8)
    if settings.method == "bodies":
        coarsest = min(coarsest, settings.thin_um / STEPS_PER_THICKNESS)
    return block_factors(voxel_size_um, coarsest)


def _split_one(component: _Component) -> tuple[NDArray[np.uint32], tuple[int, int, int]]:
    """Labels 1..n of one component on its coarse grid, and the grid's factors."""
    factors = _factors(component.voxel_size_um, component.settings)
    size_um = coarse_voxel_size(component.voxel_size_um, factors)
    filling = block_sums(component.inside, factors)
    covered = filling > 0
    if component.settings.method == "bodies":
        smallest = component.min_voxels
        return split_bodies(covered, size_um, component.settings, filling=filling, min_voxels=smallest), factors
    height = _landscape(component, filling * 2 >= block_sizes(component.inside.shape, factors), covered, factors)
    smallest = component.min_voxels / math.prod(factors)
    seeds = find_seeds(
        height,
        covered,
        prominence=component.settings.prominence,
        min_separation_um=required(component.settings.min_separation_um),
        voxel_size_um=size_um,
        min_voxels=max(1, round(component.settings.seed_fraction * smallest)),
    )
    while True:
        n = int(seeds.max())
        if n < 2:
            return covered.astype(np.uint32), factors
        regions = seeded_watershed(-height, seeds, covered, connectivity=1)
        sizes = np.bincount(regions.ravel(), weights=filling.ravel(), minlength=n + 1)[1:]
        is_small = sizes < component.min_voxels
        if not is_small.any():
            return regions, factors
        # One at a time, smallest first: its voxels may make a neighbour large enough.
        seeds[seeds == 1 + int(np.argmin(sizes))] = 0
        seeds = np.asarray(np.searchsorted(np.unique(seeds), seeds), dtype=np.uint32)


def _landscape(component: _Component, core: Mask, covered: Mask, factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """High in the middle of cells, 0 outside, on the coarse grid."""
    size_um = coarse_voxel_size(component.voxel_size_um, factors)
    if component.settings.method == "distance":
        return distance_um(core if core.any() else covered, size_um)
    means = block_means(component.image, factors, component.inside)
    contrast = np.where(
        covered, means - component.background if component.is_bright else component.background - means, 0
    ).astype(np.float32)
    sigma = sigma_in_voxels(required(component.settings.smoothing_um), size_um, contrast.shape[0])
    smoothed = np.nan_to_num(smooth(np.where(covered, contrast, np.float32(np.nan)), sigma))
    if component.settings.method == "intensity":
        return np.maximum(smoothed, 0)
    window = sigma_in_voxels(required(component.settings.window_um), size_um, contrast.shape[0])
    excess = np.maximum(smoothed - LOCAL_SHARE * _mean_around(contrast, window), 0)
    return np.sqrt(excess * distance_um(covered & (excess > 0), size_um))


def _mean_around(values: NDArray[np.float32], sigma: tuple[float, ...]) -> NDArray[np.float32]:
    """Gaussian mean of an array that is 0 beyond its borders."""
    widths = [math.ceil(2 * along) for along in sigma]
    mean = smooth(np.pad(values, [(width, width) for width in widths]), sigma)
    inner = [slice(width, width + size) for width, size in zip(widths, values.shape, strict=True)]
    return mean[inner[0], inner[1], inner[2]]


def _write(view: Labels, inside: Mask, coarse: NDArray[Any], factors: tuple[int, int, int]) -> None:
    for z in range(view.shape[0]):
        fine = fine_plane(coarse, z, view.shape, factors)
        np.copyto(view[z], fine.astype(view.dtype), where=inside[z])
