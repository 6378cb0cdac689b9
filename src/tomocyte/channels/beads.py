"""Resolution from stacks of beads: the full width at half maximum along each axis, bead by bead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.volume import VoxelSize

SMOOTHING_PX = 1.0
N_DEVIATIONS = 8.0
WINDOW_UM = (2.0, 0.8, 0.8)
"""Half the box around a bead in which it must be alone."""
FEWEST = 3
TO_FWHM = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True, eq=False)
class BeadWidths:
    """Beads of a channel.

    Parameters
    ----------
    centres_um : ndarray (n, 3)
        z, y, x; voxel 0 lies at 0.
    fwhm_um : ndarray (n, 3)
        z, y, x; z is NaN in a single plane.
    """

    centres_um: NDArray[np.float64]
    fwhm_um: NDArray[np.float64]

    @property
    def median_um(self) -> tuple[float, float, float]:
        """The median width along z, y, x."""
        z, y, x = (float(np.median(self.fwhm_um[:, axis])) for axis in range(3))
        return z, y, x


def bead_widths(image: NDArray[Any], voxel_size_um: VoxelSize) -> BeadWidths:
    """Full widths at half maximum of the single beads in a stack.

    A Gaussian is fitted to the line through each bead along each axis. Beads with another one near, at a border, or not
    clearly above the noise are left out. The width of the bead itself is in it: use beads far below the resolution.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, finite
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.

    Raises
    ------
    InputError
        ``E-BEADS-FEW``: fewer than 3 single beads.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    size = np.array([1.0 if math.isnan(part) else part for part in voxel_size_um])
    stack = np.asarray(image, dtype=np.float64)
    smooth = gaussian_filter(stack, (0, SMOOTHING_PX, SMOOTHING_PX))
    level = float(np.median(smooth))
    noise = 1.4826 * float(np.median(np.abs(smooth - level)))
    half = np.maximum(np.ceil(np.array(WINDOW_UM) / size).astype(int), 2)
    half = np.minimum(half, [max(0, len(stack) - 1), *half[1:]])
    is_peak = (maximum_filter(smooth, size=tuple(2 * half + 1)) == smooth) & (smooth > level + N_DEVIATIONS * noise)
    shape = np.array(stack.shape)
    axes = range(3) if len(stack) > 1 else range(1, 3)
    centres, widths = [], []
    for peak in np.argwhere(is_peak):
        inner = all(half[axis] <= peak[axis] < shape[axis] - half[axis] for axis in (1, 2))
        if not inner or (len(stack) > 1 and not 1 < peak[0] < shape[0] - 2):
            continue
        fits = {axis: _line(stack, peak, axis, int(half[axis]), level) for axis in axes}
        if all(fit is not None for fit in fits.values()):
            found = {axis: fit for axis, fit in fits.items() if fit is not None}
            centres.append([found[a][0] * size[a] if a in found else 0.0 for a in range(3)])
            widths.append([found[a][1] * size[a] if a in found else math.nan for a in range(3)])
    if len(widths) < FEWEST:
        raise InputError(
            "E-BEADS-FEW",
            f"{len(widths)} single beads were found; {FEWEST} are needed.",
            cure="Give a stack of bright, single beads away from the border.",
        )
    return BeadWidths(np.array(centres), np.array(widths))


def _line(
    stack: NDArray[np.float64], peak: NDArray[np.intp], axis: int, half: int, level: float
) -> tuple[float, float] | None:
    """Centre and full width at half maximum, in voxels, of the Gaussian along a line through a bead."""
    from scipy.optimize import curve_fit

    low, high = max(0, int(peak[axis]) - half), min(stack.shape[axis], int(peak[axis]) + half + 1)
    at = tuple(slice(low, high) if other == axis else int(peak[other]) for other in range(3))
    line, places = stack[at], np.arange(low, high, dtype=np.float64)
    if len(line) < 5:
        return None

    def gaussian(
        place: NDArray[np.float64], height: float, centre: float, sigma: float, base: float
    ) -> NDArray[np.float64]:
        curve: NDArray[np.float64] = base + height * np.exp(-0.5 * ((place - centre) / sigma) ** 2)
        return curve

    start = (float(line.max()) - level, float(peak[axis]), max(1.0, half / 4), level)
    try:
        (_, centre, sigma, _), _ = curve_fit(gaussian, places, line, start, maxfev=400)
    except RuntimeError:  # no Gaussian: not a bead alone
        return None
    sigma = abs(float(sigma))
    return (float(centre), sigma * TO_FWHM) if 0.3 < sigma < half and low <= centre <= high else None
