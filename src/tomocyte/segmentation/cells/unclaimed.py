"""Unclaimed voxels of the mask: cells without a nucleus, rims of the cells beside them, loose pieces.

The rules for them are in :func:`place_unclaimed`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.labels.watershed import seeded_watershed
from tomocyte.segmentation.cells.nuclei import contact_areas_um2
from tomocyte.segmentation.cells.votes import FULL
from tomocyte.segmentation.cells.windows import CellByCellSettings, Grid

Labels = NDArray[np.uint32]
Share = NDArray[np.uint16]
Mask = NDArray[np.bool_]
BESIDE = FULL // 2
"""Weight of a voxel that was given to the cell beside it."""
NEAR = 1
"""Weight of a voxel outside the mask: it decides only for fine voxels without another neighbour."""


def place_unclaimed(
    cells: Labels, share: Share, membrane: Mask, grid: Grid, settings: CellByCellSettings
) -> tuple[Labels, Share, int]:
    """Assign every voxel of the mask to a cell.

    Connected parts that no nucleus claims are cells of their own where they have ``min_cell_um3`` and, where they touch
    a cell, a middle ``min_cell_depth_um`` below their surface, ``min_touching_share`` of the median cell and a waist
    towards it (``joined_contact``). All other unclaimed voxels go to the cell they are connected to, by seeded
    watershed, else to one within ``attach_um``.

    Parameters
    ----------
    cells : ndarray (z, y, x), uint32
        Claimed voxels; others 0.
    share : ndarray (z, y, x), uint16
        Weights of the claims.
    membrane : ndarray (z, y, x), bool
    grid : Grid
    settings : CellByCellSettings

    Returns
    -------
    cells : ndarray (z, y, x), uint32
        New cells have numbers above the largest given; voxels near a cell outside the mask have its number too.
    share : ndarray (z, y, x), uint16
    n_attached : int
        Approximate number of fine voxels that were given to a cell beside them.
    """
    unclaimed = membrane & (cells == 0)
    grown = np.where(unclaimed, _new_cells(unclaimed, cells, grid, settings), cells).astype(np.uint32)
    weights = np.where(grown != cells, FULL, np.where(cells != 0, share, 0)).astype(np.uint16)
    remaining = membrane & (grown == 0)
    n_attached = 0
    if remaining.any() and grown.any():
        flooded = seeded_watershed(-distance_um(membrane, grid.voxel_size_um), grown, membrane)
        weights[remaining & (flooded != 0)] = BESIDE
        n_attached = int(np.count_nonzero(remaining & (flooded != 0)))
        grown = flooded
    if grown.any() and settings.attach_um > 0:
        near = _nearest(grown, grid, settings.attach_um)
        n_attached += int(np.count_nonzero(membrane & (grown == 0) & (near != 0)))
        weights[(grown == 0) & (near != 0)] = np.where(membrane, BESIDE, NEAR)[(grown == 0) & (near != 0)]
        grown = near
    fine_per_voxel = float(np.prod(grid.fine_shape) / np.prod(grid.shape))
    return grown, weights, round(n_attached * fine_per_voxel)


def anchored(cells: Labels, nuclei: Labels) -> Labels:
    """Each cell without the pieces that are not connected to a nucleus of its own.

    Parameters
    ----------
    cells, nuclei : ndarray (z, y, x), uint32
        Nuclei with the numbers of their cells.

    Examples
    --------
    >>> cells = np.array([[[1, 1, 0, 1, 2, 2]]], np.uint32)
    >>> anchored(cells, np.array([[[1, 0, 0, 0, 0, 2]]], np.uint32)).tolist()
    [[[1, 1, 0, 0, 2, 2]]]
    """
    connected = np.where(nuclei == cells, cells, 0).astype(np.uint32)
    _spread(connected, cells)
    return connected


def _new_cells(unclaimed: Mask, cells: Labels, grid: Grid, settings: CellByCellSettings) -> Labels:
    """Unclaimed components that are cells of their own, with new numbers; 0 elsewhere."""
    components = connected_components(unclaimed)
    large = components.n_voxels >= max(1.0, grid.voxels_of(settings.min_cell_um3))
    large[0] = False
    result = np.zeros(cells.shape, dtype=np.uint32)
    if not large.any():
        return result
    painted: NDArray[Any] = components.paint(large)
    depth = distance_um(unclaimed, grid.voxel_size_um)
    touching = _dilated(cells != 0)
    sizes = np.bincount(cells.ravel())[1:]
    least = settings.min_touching_share * float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
    number = int(cells.max(initial=0))
    for label in range(1, int(large.sum()) + 1):
        component = painted == label
        is_deep = float(depth[component].max()) >= settings.min_cell_depth_um or not (unclaimed == 0).any()
        is_large = np.count_nonzero(component) >= least
        if not touching[component].any() or (is_deep and is_large and _has_waist(component, cells, grid, settings)):
            number += 1
            result[component] = number
    return result


def _has_waist(component: Mask, cells: Labels, grid: Grid, settings: CellByCellSettings) -> bool:
    """Whether a component touches every cell over a small area only, by the measure used for nuclei of one cell."""
    number = int(cells.max(initial=0)) + 1
    areas = contact_areas_um2(np.where(component, np.uint32(number), cells), grid.voxel_size_um)
    smallest = settings.joined_contact * (np.count_nonzero(component) / grid.voxels_of(1.0)) ** (2 / 3)
    return all(area < smallest for pair, area in areas.items() if number in pair)


def _dilated(mask: Mask) -> Mask:
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(mask))


def _nearest(cells: Labels, grid: Grid, reach_um: float) -> Labels:
    """Each voxel's own cell, or the nearest within ``reach_um``."""
    from scipy import ndimage

    size = np.nan_to_num(np.asarray(grid.voxel_size_um, dtype=np.float64), nan=1.0)
    distance, index = ndimage.distance_transform_edt(cells == 0, sampling=size, return_indices=True)
    nearest: Labels = cells[tuple(index)]
    # Half a voxel more: a fine voxel may lie between the grid's voxels.
    return np.where(distance <= reach_um + float(size.max()) / 2, nearest, 0).astype(np.uint32)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _spread(labels: Labels, cells: Labels) -> None:
    """Grow labels over the faces of voxels, only into voxels that have the same label in ``cells``."""
    shape = cells.shape
    waiting = [(0, 0, 0)]
    waiting.pop()
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if labels[z, y, x] != 0:
                    waiting.append((z, y, x))
    while len(waiting) > 0:
        z, y, x = waiting.pop()
        for step in range(6):
            to_z = z + (step == 0) - (step == 1)
            to_y = y + (step == 2) - (step == 3)
            to_x = x + (step == 4) - (step == 5)
            if min(to_z, to_y, to_x) < 0 or to_z >= shape[0] or to_y >= shape[1] or to_x >= shape[2]:
                continue
            if labels[to_z, to_y, to_x] == 0 and cells[to_z, to_y, to_x] == labels[z, y, x]:
                labels[to_z, to_y, to_x] = labels[z, y, x]
                waiting.append((to_z, to_y, to_x))
