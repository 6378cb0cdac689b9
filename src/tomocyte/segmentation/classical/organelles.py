"""Nucleus and inclusions, cell by cell: crops in, labels of the whole volume out.

To add a method, write the function in its own file and name it in the tables below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.components import connected_components
from tomocyte.labels.dtypes import label_dtype, refit
from tomocyte.labels.extents import label_extents
from tomocyte.labels.renumber import renumber
from tomocyte.segmentation.classical.inclusions import bright_inclusions
from tomocyte.segmentation.classical.nucleus import dark_core, edge_based_nucleus
from tomocyte.segmentation.settings import InclusionSettings, NucleusSettings
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]

FIND_NUCLEUS = {"dark-core": dark_core, "edge": edge_based_nucleus}
FIND_INCLUSIONS = {"bright": bright_inclusions}


def find_nuclei(image: NDArray[Any], cells: Labels, voxel_size_um: VoxelSize, settings: NucleusSettings) -> Labels:
    """At most one nucleus per cell, numbered in raster order.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, physical values
    cells : ndarray (Z, Y, X), unsigned integer
    voxel_size_um : tuple of 3 float
    settings : NucleusSettings
        Its method must not be ``none``.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
    """
    find = FIND_NUCLEUS[settings.method]
    return _in_each_cell(image, cells, lambda view, cell: find(view, cell, voxel_size_um, settings), is_single=True)


def find_inclusions(
    image: NDArray[Any], cells: Labels, voxel_size_um: VoxelSize, settings: InclusionSettings
) -> Labels:
    """All inclusions of all cells, numbered in raster order; one inclusion lies in one cell.

    Parameters and returns as :func:`find_nuclei`.
    """
    find = FIND_INCLUSIONS[settings.method]
    return _in_each_cell(image, cells, lambda view, cell: find(view, cell, voxel_size_um, settings), is_single=False)


def _in_each_cell(
    image: NDArray[Any], cells: Labels, find: Callable[[NDArray[Any], Mask], Mask], *, is_single: bool
) -> Labels:
    extents = label_extents(cells)
    result: Labels = np.zeros(cells.shape, dtype=label_dtype(len(extents.n_voxels) - 1))
    n = 0
    for label in np.flatnonzero(extents.n_voxels):
        box = extents.box(int(label), cells.shape)
        mask = find(image[box], cells[box] == label)
        if not mask.any():
            continue
        if is_single:
            n += 1
            result[box][mask] = n
            continue
        components = connected_components(mask, connectivity=3).paint()
        count = int(components.max())
        result = refit(result, n + count)
        np.add(components, n, out=result[box], where=mask, casting="unsafe", dtype=np.int64)
        n += count
    return renumber(result)
