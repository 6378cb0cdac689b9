"""What lies around cells in a soft X-ray tomogram, the glass and beads, and the image without it.

To leave out another thing, find it in :func:`find_surroundings` and take it out in :func:`without_surroundings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.distances import distance_um
from tomocyte.labels.dtypes import label_dtype
from tomocyte.segmentation.classical.beads import find_beads
from tomocyte.segmentation.classical.capillary import Capillary, find_capillary
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Glass and beads.

    Parameters
    ----------
    labels : mapping of str to ndarray (Z, Y, X), unsigned integer
        ``capillary`` (at most one) and ``bead``, as far as they were sought.
    wall : Capillary, optional
        The wall, where one was found.
    """

    labels: Mapping[str, Labels]
    wall: Capillary | None = None


def find_surroundings(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SegmentationSettings,
    existing: Mapping[str, Labels],
) -> Surroundings:
    """The glass and the beads that the settings ask for and that are not there already; none in a single plane."""
    labels: dict[str, Labels] = {}
    wall = None
    inside = image
    if image.shape[0] == 1:
        return Surroundings(labels)
    if settings.capillary.method != "none" and "capillary" not in existing:
        wall = find_capillary(image, voxel_size_um)
        labels["capillary"] = np.zeros(image.shape, dtype=np.uint8)
        if wall is not None:
            glass, room = wall.painted(image.shape, voxel_size_um)
            labels["capillary"] = glass.astype(np.uint8)
            inside = np.where(room, image, np.float32(np.nan))
    if settings.bead.method != "none" and "bead" not in existing:
        labels["bead"] = find_beads(inside, voxel_size_um, settings.bead)
    return Surroundings(labels, wall)


def without_surroundings(
    image: NDArray[Any], voxel_size_um: VoxelSize, surroundings: Surroundings, settings: SegmentationSettings
) -> NDArray[np.float32]:
    """The image with NaN for glass, for what lies outside it, and for beads, each with the rim that it blurs over."""
    rest = np.array(image, dtype=np.float32)
    wall = surroundings.wall
    if wall is not None:
        for z in range(image.shape[0]):
            rest[z][~_is_clear(wall, z, image.shape, voxel_size_um, settings.capillary.rim_um)] = np.nan
    beads = surroundings.labels.get("bead")
    if beads is not None and beads.any():
        rest[distance_um(beads == 0, voxel_size_um) <= settings.bead.rim_um] = np.nan
    return rest


def carried_to_glass(
    cells: Labels, voxel_size_um: VoxelSize, surroundings: Surroundings, settings: SegmentationSettings
) -> Labels:
    """Cells that end where the glass begins to blur, carried on outwards to the glass itself.

    Parameters
    ----------
    cells : ndarray (Z, Y, X), unsigned integer
    voxel_size_um : tuple of 3 float
    surroundings : Surroundings
    settings : SegmentationSettings
        ``capillary.rim_um``.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        A voxel of the rim has the label that the same direction has just inside it.
    """
    wall, rim_um = surroundings.wall, settings.capillary.rim_um
    if wall is None or rim_um == 0:
        return cells
    carried = cells.copy()
    step = float(max(voxel_size_um[1:]))
    for z in range(cells.shape[0]):
        z_um = (z + 0.5) * voxel_size_um[0]
        away = wall.away_um(z_um, voxel_size_um, (cells.shape[1], cells.shape[2]))
        inner = wall.inner_um[0] + z_um * wall.inner_um[1]
        y, x = np.nonzero((away < inner) & ~_is_clear(wall, z, cells.shape, voxel_size_um, rim_um))
        share = (inner - rim_um - step) / away[y, x]
        at = wall.axis_um[0] + z_um * wall.axis_um[1]
        rows = np.floor((at[0] + ((y + 0.5) * voxel_size_um[1] - at[0]) * share) / voxel_size_um[1]).astype(int)
        columns = np.floor((at[1] + ((x + 0.5) * voxel_size_um[2] - at[1]) * share) / voxel_size_um[2]).astype(int)
        is_seen = (rows >= 0) & (columns >= 0) & (rows < cells.shape[1]) & (columns < cells.shape[2])
        carried[z, y[is_seen], x[is_seen]] = cells[z, rows[is_seen], columns[is_seen]]
    beads = surroundings.labels.get("bead")
    if beads is not None:
        carried[beads != 0] = 0
    return carried.astype(label_dtype(int(carried.max(initial=0))))


def _is_clear(wall: Capillary, z: int, shape: tuple[int, ...], voxel_size_um: VoxelSize, rim_um: float) -> Mask:
    """Which voxels of a plane lie inside the glass and beyond its blur."""
    z_um = (z + 0.5) * voxel_size_um[0]
    away = wall.away_um(z_um, voxel_size_um, (shape[1], shape[2]))
    return np.asarray(away < wall.inner_um[0] + z_um * wall.inner_um[1] - rim_um)
