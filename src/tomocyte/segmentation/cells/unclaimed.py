"""What no nucleus claims of the mask: cells without a nucleus, rims of the cells beside, loose pieces.

To treat unclaimed parts in another way, change :func:`place_rest`.
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
"""Weight of a voxel outside the mask: it only tells fine voxels without another neighbour where they belong."""


def place_rest(
    cells: Labels, share: Share, membrane: Mask, grid: Grid, settings: CellByCellSettings
) -> tuple[Labels, Share, int]:
    """Give every voxel of the mask a cell.

    Connected parts that no nucleus claims are cells of their own where they have ``min_cell_um3`` and, where they touch
    a cell, a middle ``min_cell_depth_um`` below their surface, ``min_touching_share`` of the median cell and a waist
    towards it (``joined_contact``). The rest goes to the cell it is connected to, by seeded watershed, else to one
    within ``attach_um``.

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
        Fine voxels that were given to a cell beside them, about.
    """
    rest = membrane & (cells == 0)
    grown = np.where(rest, _new_cells(rest, cells, grid, settings), cells).astype(np.uint32)
    weights = np.where(grown != cells, FULL, np.where(cells != 0, share, 0)).astype(np.uint16)
    left = membrane & (grown == 0)
    n_attached = 0
    if left.any() and grown.any():
        flooded = seeded_watershed(-distance_um(membrane, grid.voxel_size_um), grown, membrane)
        weights[left & (flooded != 0)] = BESIDE
        n_attached = int(np.count_nonzero(left & (flooded != 0)))
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
    kept = np.where(nuclei == cells, cells, 0).astype(np.uint32)
    _spread(kept, cells)
    return kept


def _new_cells(rest: Mask, cells: Labels, grid: Grid, settings: CellByCellSettings) -> Labels:
    """Parts of the rest that are cells of their own, numbered on; 0 elsewhere."""
    parts = connected_components(rest)
    large = parts.n_voxels >= max(1.0, grid.voxels_of(settings.min_cell_um3))
    large[0] = False
    result = np.zeros(cells.shape, dtype=np.uint32)
    if not large.any():
        return result
    painted: NDArray[Any] = parts.paint(large)
    depth = distance_um(rest, grid.voxel_size_um)
    touching = _grown_by_one(cells != 0)
    sizes = np.bincount(cells.ravel())[1:]
    least = settings.min_touching_share * float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
    number = int(cells.max(initial=0))
    for label in range(1, int(large.sum()) + 1):
        mine = painted == label
        is_deep = float(depth[mine].max()) >= settings.min_cell_depth_um or not (rest == 0).any()
        is_large = np.count_nonzero(mine) >= least
        if not touching[mine].any() or (is_deep and is_large and _has_waist(mine, cells, grid, settings)):
            number += 1
            result[mine] = number
    return result


def _has_waist(part: Mask, cells: Labels, grid: Grid, settings: CellByCellSettings) -> bool:
    """Whether a part meets every cell over a small area only, by the measure that holds for nuclei of one cell."""
    number = int(cells.max(initial=0)) + 1
    areas = contact_areas_um2(np.where(part, np.uint32(number), cells), grid.voxel_size_um)
    smallest = settings.joined_contact * (np.count_nonzero(part) / grid.voxels_of(1.0)) ** (2 / 3)
    return all(area < smallest for pair, area in areas.items() if number in pair)


def _grown_by_one(mask: Mask) -> Mask:
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
def _spread(kept: Labels, cells: Labels) -> None:
    """Grow labels over the faces of voxels, only into voxels that have the same label in ``cells``."""
    shape = cells.shape
    waiting = [(0, 0, 0)]
    waiting.pop()
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if kept[z, y, x] != 0:
                    waiting.append((z, y, x))
    while len(waiting) > 0:
        z, y, x = waiting.pop()
        for step in range(6):
            to_z = z + (step == 0) - (step == 1)
            to_y = y + (step == 2) - (step == 3)
            to_x = x + (step == 4) - (step == 5)
            if min(to_z, to_y, to_x) < 0 or to_z >= shape[0] or to_y >= shape[1] or to_x >= shape[2]:
                continue
            if kept[to_z, to_y, to_x] == 0 and cells[to_z, to_y, to_x] == kept[z, y, x]:
                kept[to_z, to_y, to_x] = kept[z, y, x]
                waiting.append((to_z, to_y, to_x))
