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

WIDEST_RIM_UM = 1.5
"""The blur of a wall reaches no further."""
GLOW = 0.25
DARKER = 20
N_PLANES = 24
LEAST_VOXELS = 50

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
    rim_um : float
        How far the wall blurs inwards.
    """

    labels: Mapping[str, Labels]
    wall: Capillary | None = None
    rim_um: float = 0.0


def find_surroundings(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SegmentationSettings,
    existing: Mapping[str, Labels],
) -> Surroundings:
    """The glass and the beads that the settings ask for and that are not there already; none in a single plane."""
    labels: dict[str, Labels] = {}
    wall, rim_um = None, settings.capillary.rim_um
    inside, clear, dense = image, None, None
    if image.shape[0] == 1:
        return Surroundings(labels)
    if settings.capillary.method != "none" and "capillary" not in existing:
        wall = find_capillary(image, voxel_size_um)
        labels["capillary"] = np.zeros(image.shape, dtype=np.uint8)
        if wall is not None:
            glass, room = wall.painted(image.shape, voxel_size_um)
            labels["capillary"] = glass.astype(np.uint8)
            dense = float(np.nanmedian(image[glass])) if glass.any() else None
            inside = np.where(room, image, np.float32(np.nan))
            rim_um = blur_um(image, wall, voxel_size_um, at_least_um=rim_um)
            clear = np.stack([_is_clear(wall, z, image.shape, voxel_size_um, rim_um) for z in range(image.shape[0])])
    if settings.bead.method != "none" and "bead" not in existing:
        labels["bead"] = find_beads(inside, voxel_size_um, settings.bead, clear=clear, glass=dense)
    return Surroundings(labels, wall, rim_um)


def blur_um(image: NDArray[Any], wall: Capillary, voxel_size_um: VoxelSize, *, at_least_um: float) -> float:
    """How far inwards the wall brightens what lies beside it, in µm.

    From the darker parts at each distance from the wall (:data:`DARKER` percent, so that cells at the glass do not
    count), until they stand out of those far from it by less than :data:`GLOW` of the spread in the middle.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
    wall : Capillary
    voxel_size_um : tuple of 3 float
    at_least_um : float
        The result lies between this and :data:`WIDEST_RIM_UM`.

    Returns
    -------
    float
    """
    step = float(max(voxel_size_um[1:]))
    n_bins = int(np.ceil(WIDEST_RIM_UM / step))
    bins: list[list[NDArray[Any]]] = [[] for _ in range(n_bins + 1)]
    for z in range(0, image.shape[0], max(1, image.shape[0] // N_PLANES)):
        z_um = (z + 0.5) * voxel_size_um[0]
        depth = wall.inner_um[0] + z_um * wall.inner_um[1] - wall.away_um(z_um, voxel_size_um, image.shape[1:])
        place = np.minimum(np.floor(depth / step), n_bins).astype(int)
        place[~np.isfinite(image[z])] = -1
        for number, values in enumerate(bins):
            values.append(image[z][place == number])
    profile = [np.concatenate(values) for values in bins]
    if profile[-1].size < LEAST_VOXELS:
        return at_least_um
    dark, bright = np.percentile(profile[-1], [DARKER, 90])
    for number in range(n_bins - 1, -1, -1):
        ring = profile[number]
        if ring.size >= LEAST_VOXELS and np.percentile(ring, DARKER) - dark > GLOW * (bright - dark):
            return max(at_least_um, (number + 1) * step)
    return at_least_um


def without_surroundings(
    image: NDArray[Any], voxel_size_um: VoxelSize, surroundings: Surroundings, settings: SegmentationSettings
) -> NDArray[np.float32]:
    """The image with NaN for glass, for what lies outside it, and for beads, each with the rim that it blurs over."""
    rest = np.array(image, dtype=np.float32)
    wall = surroundings.wall
    if wall is not None:
        for z in range(image.shape[0]):
            rest[z][~_is_clear(wall, z, image.shape, voxel_size_um, surroundings.rim_um)] = np.nan
    beads = surroundings.labels.get("bead")
    if beads is not None and beads.any():
        rest[distance_um(beads == 0, voxel_size_um) <= settings.bead.rim_um] = np.nan
    return rest


def carried_to_glass(cells: Labels, voxel_size_um: VoxelSize, surroundings: Surroundings) -> Labels:
    """Cells that end where the glass begins to blur, carried on outwards to the glass itself.

    Parameters
    ----------
    cells : ndarray (Z, Y, X), unsigned integer
    voxel_size_um : tuple of 3 float
    surroundings : Surroundings

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        A voxel of the rim has the label that the same direction has just inside it.
    """
    wall, rim_um = surroundings.wall, surroundings.rim_um
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
