"""From grey values to linear absorption coefficients by beads of a known material.

To take another reference, write a function that returns a :class:`BeadScale`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import ModalityError
from tomocyte.labels.distances import distance_um
from tomocyte.labels.extents import label_extents
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
DEEP_UM = 0.3
"""The inner part of a bead lies at least this far below its surface, where blur does not reach."""
MEDIUM_UM = (0.5, 1.5)
"""The medium is measured this far from the surface of beads,"""
CLEAR_UM = 0.5
"""and at least this far from everything else."""
LEAST_VOXELS = 20
CURE = "Leave --lac-from-beads out and keep grey values, or give the factor with --lac-per-um."


@dataclass(frozen=True)
class BeadScale:
    """``lac = (grey - offset) * per_um_of_grey``.

    Parameters
    ----------
    offset : float
        Grey value of no absorption.
    per_um_of_grey : float
        1/µm of one grey value; negative where absorbing is dark.
    grey_of_beads : tuple of float
        Median of the inner part of each bead used.
    n_beads_left_out : int
        Beads too small to have an inner part.
    grey_of_medium : float, optional
        Median of the medium around the beads; NaN where there is none.
    relative_sd : float
        Standard deviation over beads as a share of their contrast; NaN with fewer than two.
    """

    offset: float
    per_um_of_grey: float
    grey_of_beads: tuple[float, ...]
    n_beads_left_out: int
    grey_of_medium: float
    relative_sd: float

    def apply(self, grey: NDArray[Any]) -> NDArray[np.float32]:
        """Linear absorption coefficients in 1/µm, float32, same shape."""
        return np.asarray((grey.astype(np.float64) - self.offset) * self.per_um_of_grey, dtype=np.float32)


def scale_from_beads(
    image: NDArray[Any],
    beads: Labels,
    others: Iterable[Labels],
    voxel_size_um: VoxelSize,
    *,
    lac_of_beads: float,
    lac_of_medium: float | None = None,
) -> BeadScale:
    """The scale that beads of a known coefficient give.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        Grey values; NaN = outside.
    beads : ndarray (Z, Y, X), unsigned integer
    others : iterable of ndarray (Z, Y, X), unsigned integer
        Everything else that is not medium.
    voxel_size_um : tuple of 3 float
    lac_of_beads : float
        In 1/µm.
    lac_of_medium : float, optional
        In 1/µm; without it a grey value of 0 is taken for no absorption.

    Returns
    -------
    BeadScale

    Raises
    ------
    ModalityError
        ``E-BEADS-NONE``: no bead, or none with an inner part. ``E-BEADS-MEDIUM``: the medium's coefficient is given,
        and there is no medium around the beads. ``E-BEADS-SCALE``: the grey values give no scale.

    Examples
    --------
    >>> z, y, x = np.ogrid[:40, :40, :40]
    >>> bead = ((z - 20) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 10**2).astype(np.uint8)
    >>> image = np.where(bead, 220.0, 112.0)
    >>> scale = scale_from_beads(image, bead, [], (0.1, 0.1, 0.1), lac_of_beads=1.2, lac_of_medium=0.12)
    >>> round(scale.per_um_of_grey, 6), round(scale.offset, 6)
    (0.01, 100.0)
    """
    values, n_left_out = _inner_medians(image, beads, voxel_size_um)
    if not values:
        what = "no bead was found" if n_left_out == 0 else f"none of {n_left_out} beads is large enough"
        raise ModalityError("E-BEADS-NONE", f"{what} to give the scale.", cure=CURE)
    medium = _medium(image, beads, others, voxel_size_um)
    bead = float(np.median(values))
    if lac_of_medium is None:
        offset, span = 0.0, lac_of_beads
        if bead <= 0:
            raise ModalityError(
                "E-BEADS-SCALE",
                f"the beads have a grey value of {bead:.6g}, so that 0 cannot mean no absorption.",
                cure="Give --lac-of-medium as a second point of the scale.",
            )
        per_um = span / bead
    else:
        if math.isnan(medium):
            raise ModalityError(
                "E-BEADS-MEDIUM", "there is no medium around the beads to measure.", cure="Leave --lac-of-medium out."
            )
        if bead == medium or (bead > medium) != (lac_of_beads > lac_of_medium):
            raise ModalityError(
                "E-BEADS-SCALE",
                f"beads ({bead:.6g}) and medium ({medium:.6g}) have grey values that do not fit coefficients of "
                f"{lac_of_beads:g} and {lac_of_medium:g} 1/um.",
                cure="Check both, and --contrast.",
            )
        per_um = (lac_of_beads - lac_of_medium) / (bead - medium)
        offset = bead - lac_of_beads / per_um
    base = offset if lac_of_medium is None else medium
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return BeadScale(offset, per_um, tuple(values), n_left_out, medium, sd / abs(bead - base))


def _inner_medians(image: NDArray[Any], beads: Labels, voxel_size_um: VoxelSize) -> tuple[list[float], int]:
    """Median of each bead's inner part, and how many beads have none."""
    extents = label_extents(beads)
    medians, n_left_out = [], 0
    for label in np.flatnonzero(extents.n_voxels):
        if label == 0:
            continue
        box = extents.box(int(label), beads.shape, margin=1)
        inside = beads[box] == label
        inner = image[box][(distance_um(inside, voxel_size_um) > DEEP_UM) & np.isfinite(image[box])]
        if inner.size < LEAST_VOXELS:
            n_left_out += 1
        else:
            medians.append(float(np.median(inner)))
    return medians, n_left_out


def _medium(image: NDArray[Any], beads: Labels, others: Iterable[Labels], voxel_size_um: VoxelSize) -> float:
    """Median of the medium near the beads; NaN where everything there belongs to something else."""
    away = distance_um(beads == 0, voxel_size_um)
    is_medium = (away >= MEDIUM_UM[0]) & (away <= MEDIUM_UM[1]) & np.isfinite(image)
    for labels in others:
        if labels.any():
            is_medium &= distance_um(labels == 0, voxel_size_um) >= CLEAR_UM
    values = image[is_medium]
    return float(np.median(values)) if values.size >= LEAST_VOXELS else math.nan
