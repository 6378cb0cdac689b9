"""Nuclei as seeds of cells: touching ones split, small fragments left out, and those of one cell joined again.

The rule for which nuclei share a cell is :func:`shared_cells`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.components import connected_components
from tomocyte.labels.dtypes import refit
from tomocyte.labels.renumber import renumber
from tomocyte.labels.watershed import seeded_watershed
from tomocyte.segmentation.cells.windows import CellByCellSettings, Grid
from tomocyte.segmentation.splitting import split_touching
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
Pairs = set[tuple[int, int]]


def seeds_of(nuclei: NDArray[Any], voxel_size_um: VoxelSize, settings: CellByCellSettings) -> tuple[Labels, int, int]:
    """Nuclei that may be the seed of a cell.

    Parameters
    ----------
    nuclei : ndarray (Z, Y, X), bool or unsigned integer
        A mask, whose connected parts are nuclei, or labels.
    voxel_size_um : tuple of 3 float
    settings : CellByCellSettings

    Returns
    -------
    labels : ndarray (Z, Y, X), unsigned integer
        1..n in raster order.
    n_split, n_too_small : int
        How many nuclei were gained by splitting touching ones, and how many were too small.

    Examples
    --------
    >>> row = np.zeros((3, 3, 9), bool); row[:, :, :2] = True; row[1, 1, 5] = True
    >>> seeds, n_split, n_too_small = seeds_of(row, (1.0, 1.0, 1.0), CellByCellSettings(min_nucleus_um3=2.0))
    >>> int(seeds.max()), n_split, n_too_small
    (1, 0, 1)
    """
    labels = connected_components(nuclei).paint() if nuclei.dtype == bool else refit(nuclei)
    n_before = len(np.flatnonzero(_counts(labels)))
    size = float(np.prod([1.0 if math.isnan(length) else length for length in voxel_size_um]))
    smallest = settings.min_nucleus_um3 / size
    split = split_touching(labels, labels, voxel_size_um, settings.split, min_voxels=smallest)
    counts = _counts(split)
    n_after = len(np.flatnonzero(counts))
    keep = np.concatenate([[False], counts >= smallest])
    keep[1:] &= counts > 0
    return renumber(split, keep), n_after - n_before, n_after - int(keep.sum())


def _counts(labels: Labels) -> NDArray[np.int64]:
    """Voxels of each label from 1 on."""
    total = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.int64)
    for plane in labels:
        in_plane = np.bincount(plane.ravel())
        total[: len(in_plane)] += in_plane
    return total[1:]


def on_grid(nuclei: Labels, grid: Grid) -> Labels:
    """The nuclei on the network's grid; one that falls between its voxels keeps the voxel of its middle."""
    sampled = grid.sampled(nuclei)
    missing = np.flatnonzero(_counts(nuclei) > 0) + 1
    missing = missing[~np.isin(missing, sampled)]
    for label in missing:
        middle = np.argwhere(nuclei == label).mean(axis=0) + 0.5
        place = tuple(
            min(int(at * n / size), n - 1) for at, n, size in zip(middle, grid.shape, nuclei.shape, strict=True)
        )
        if sampled[place] == 0:
            sampled[place] = label
    return sampled


def flooded_regions(membrane: Mask, nuclei: Labels, depth_um: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The mask divided by flooding from the nuclei, the deepest parts of the cells first (seeded watershed).

    Parameters
    ----------
    membrane : ndarray (z, y, x), bool
    nuclei : ndarray (z, y, x), unsigned integer
    depth_um : ndarray (z, y, x), float32
        Distance below the surface of the mask.

    Returns
    -------
    ndarray (z, y, x), uint32
        0 where no nucleus reaches. Where the depth is the same everywhere, by steps from the nuclei.
    """
    if not nuclei.any():
        return np.zeros(membrane.shape, dtype=np.uint32)
    return seeded_watershed(-depth_um, nuclei, membrane)


def shared_cells(nuclei: Labels, regions: Labels, voxel_size_um: VoxelSize, settings: CellByCellSettings) -> Pairs:
    """Pairs of nuclei that lie near each other in one cell: no waist of the mask between them.

    Parameters
    ----------
    nuclei, regions : ndarray (z, y, x), unsigned integer
        On the same grid, with the same numbers; see :func:`flooded_regions`.
    voxel_size_um : tuple of 3 float
        A NaN z counts as 1 µm.
    settings : CellByCellSettings
        ``joined_gap_um``, ``joined_contact``, ``joined_contact_per_um``.
    """
    size = np.nan_to_num(np.asarray(voxel_size_um, dtype=np.float64), nan=1.0)
    volumes = np.bincount(regions.ravel()) * float(size.prod())
    near: Pairs = set()
    for pair, area in contact_areas_um2(regions, voxel_size_um).items():
        contact = area / min(volumes[pair[0]], volumes[pair[1]]) ** (2 / 3)
        if contact < settings.joined_contact:
            continue
        gap = _gap_um(nuclei, pair, size)
        if gap <= settings.joined_gap_um and contact >= settings.joined_contact + settings.joined_contact_per_um * gap:
            near.add(pair)
    return near


def contact_areas_um2(regions: Labels, voxel_size_um: VoxelSize) -> dict[tuple[int, int], float]:
    """Area over which two labels share faces of voxels, for every pair that does, in µm².

    Examples
    --------
    >>> contact_areas_um2(np.array([[[1, 1, 2], [1, 2, 2]]]), (1.0, 0.5, 0.25))
    {(1, 2): 1.25}
    """
    size = np.nan_to_num(np.asarray(voxel_size_um, dtype=np.float64), nan=1.0)
    areas: dict[tuple[int, int], float] = {}
    for axis in range(3):
        face = float(size.prod() / size[axis])
        along = np.moveaxis(regions, axis, 0)
        before, after = along[:-1], along[1:]
        meets = (before != after) & (before != 0) & (after != 0)
        pairs = np.sort(np.stack([before[meets], after[meets]], axis=1).astype(np.int64), axis=1)
        for (first, second), count in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
            key = (int(first), int(second))
            areas[key] = areas.get(key, 0.0) + face * int(count)
    return areas


def _gap_um(nuclei: Labels, pair: tuple[int, int], size: NDArray[np.float64]) -> float:
    """Distance between the nearest voxel middles of two nuclei."""
    from scipy import spatial

    first, second = (np.argwhere(nuclei == label) * size for label in pair)
    if not len(first) or not len(second):
        return math.inf
    return float(spatial.cKDTree(first).query(second)[0].min())


def together(labels: Iterable[int], pairs: Pairs) -> dict[int, int]:
    """Each label with the smallest label of those it is joined to, directly or not.

    Examples
    --------
    >>> together([1, 2, 3, 4], {(2, 3), (3, 4)})
    {1: 1, 2: 2, 3: 2, 4: 2}
    """
    head = {int(label): int(label) for label in labels}
    for _ in range(len(head)):
        before = dict(head)
        for first, second in itertools.chain(pairs, head.items()):
            least = min(head[first], head[second])
            head[first] = head[second] = least
        if head == before:
            break
    return head
