"""Linear resampling as short weighted sums along each axis, so that it can be streamed plane by plane.

Smoothing where an axis shrinks and linear interpolation between voxels are both sums along one axis; together they are
a handful of weights per output voxel (:class:`Taps`). The result is that of
:func:`tomocyte.segmentation.prediction.frame.resampled`, without a copy of the volume. To interpolate by another
method, write another function that makes :class:`Taps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

TRUNCATE = 4.0
"""The Gaussian is cut off at this many sigma."""
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Taps:
    """Which voxels of an axis make each voxel of the resampled axis, and how much each counts.

    Parameters
    ----------
    n_in : int
        Voxels before.
    first : ndarray (n,), int64
        First voxel that counts; ascending.
    weights : ndarray (n, n_taps), float32
        Of ``first``, ``first + 1``, …; each row adds up to 1.
    """

    n_in: int
    first: NDArray[np.int64]
    weights: Float

    @property
    def n(self) -> int:
        """Voxels after."""
        return len(self.first)

    @property
    def width(self) -> int:
        """Voxels that count per voxel."""
        return int(self.weights.shape[1])

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.n == self.n_in and self.width == 1


def linear_taps(n_in: int, n_out: int) -> Taps:
    """An axis brought to another number of voxels over the same extent.

    Linear between voxels; where the axis shrinks, smoothed first with a Gaussian of sigma (n_in / n_out - 1) / 2
    voxels. Beyond its ends the axis repeats its last voxel.

    Parameters
    ----------
    n_in, n_out : int
        At least 1.

    Returns
    -------
    Taps

    Examples
    --------
    >>> taps = linear_taps(2, 4)
    >>> taps.first.tolist(), taps.weights.tolist()
    ([0, 0, 0, 0], [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]])
    """
    if n_in == n_out:
        return Taps(n_in, np.arange(n_in), np.ones((n_in, 1), dtype=np.float32))
    sigma = max(0.0, (n_in / n_out - 1) / 2)
    reach = int(TRUNCATE * sigma + 0.5)
    bell = np.ones(1)
    if reach:
        bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        bell /= bell.sum()
    position = np.clip((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)
    low = np.floor(position).astype(np.int64)
    fraction = position - low
    width = min(2 * reach + 2, n_in)
    first = np.clip(low - reach, 0, n_in - width)
    weights = np.zeros((n_out, width))
    rows = np.arange(n_out)
    for offset in range(2):
        share = fraction if offset else 1 - fraction
        # Interpolation between voxels n - 1 and n at the end: the second one is the first again.
        centre = np.minimum(low + offset, n_in - 1)
        for step, height in zip(range(-reach, reach + 1), bell, strict=True):
            np.add.at(weights, (rows, np.clip(centre + step, 0, n_in - 1) - first), share * height)
    return Taps(n_in, first, weights.astype(np.float32))


def add_plane(total: Float, plane: NDArray[Any], weight: float, offset: float = 0.0, scale: float = 1.0) -> None:
    """Add ``weight · (plane - offset) / scale`` to a total (Y, X); voxels that are not finite count as the offset."""
    _add_plane(total, plane, weight, float(offset), float(scale))


def resample_plane(plane: Float, along_y: Taps, along_x: Taps, result: Float) -> None:
    """A plane (Y, X) brought to another shape (y, x), into ``result``."""
    if along_y.is_identity and along_x.is_identity:
        result[...] = plane
        return
    _resample_plane(plane, along_y.first, along_y.weights, along_x.first, along_x.weights, result)


def set_bits(planes: Float, along_y: Taps, along_x: Taps, thresholds: Float, bits: NDArray[Any]) -> None:
    """Bring K planes to another shape and set bit k where plane k exceeds its threshold, in one go.

    Parameters
    ----------
    planes : ndarray (K, y, x), float32
    along_y, along_x : Taps
    thresholds : ndarray (K,), float32
    bits : ndarray (Y, X), unsigned integer of at least K bits
        Changed in place.
    """
    values = np.left_shift(1, np.arange(len(planes))).astype(bits.dtype)
    _set_bits(planes, along_y.first, along_y.weights, along_x.first, along_x.weights, thresholds, values, bits)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_plane(total: Float, plane: NDArray[Any], weight: float, offset: float, scale: float) -> None:
    for y in range(total.shape[0]):
        for x in range(total.shape[1]):
            value = weight * ((plane[y, x] - offset) / scale)
            if abs(value) <= LARGEST:  # False for NaN
                total[y, x] += np.float32(value)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_row(row: Float, plane: Float, first: int, weights: Float) -> None:
    """The weighted sum of some rows of a plane."""
    row[:] = weights[0] * plane[first]
    for tap in range(1, weights.size):
        if weights[tap] != 0:
            row += weights[tap] * plane[first + tap]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _resample_plane(
    plane: Float,
    y_first: NDArray[np.int64],
    y_weights: Float,
    x_first: NDArray[np.int64],
    x_weights: Float,
    result: Float,
) -> None:
    row = np.empty(plane.shape[1], np.float32)
    for y in range(result.shape[0]):
        _add_row(row, plane, y_first[y], y_weights[y])
        for x in range(result.shape[1]):
            value = np.float32(0)
            for tap in range(x_weights.shape[1]):
                value += x_weights[x, tap] * row[x_first[x] + tap]
            result[y, x] = value


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _set_bits(
    planes: Float,
    y_first: NDArray[np.int64],
    y_weights: Float,
    x_first: NDArray[np.int64],
    x_weights: Float,
    thresholds: Float,
    bit_values: NDArray[Any],
    bits: NDArray[Any],
) -> None:
    row = np.empty(planes.shape[2], np.float32)
    n_taps = x_weights.shape[1]
    for y in range(bits.shape[0]):
        for output in range(planes.shape[0]):
            _add_row(row, planes[output], y_first[y], y_weights[y])
            threshold = thresholds[output]
            # All weights are at least 0 and add up to 1: a row that stays below cannot give a voxel above.
            if row.max() <= threshold:
                continue
            bit = bit_values[output]
            for x in range(bits.shape[1]):
                value = np.float32(0)
                for tap in range(n_taps):
                    value += x_weights[x, tap] * row[x_first[x] + tap]
                if value > threshold:
                    bits[y, x] |= bit
