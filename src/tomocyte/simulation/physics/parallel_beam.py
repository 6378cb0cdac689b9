"""Parallel-beam tomography about one axis: line integrals of a volume, and the volume back from them.

Planes across the axis do not mix, so that all of them share one geometry and the inner loops run along the axis.
:func:`project` integrates each square voxel over each detector pixel exactly (trapezoid footprints);
:func:`filtered_backprojection` is the classical inverse. To add a window of the filter, add it to :data:`WINDOWS`.

References
----------
Kak & Slaney 1988, Principles of Computerized Tomographic Imaging, chapter 3, 10.1137/1.9780898719277.
"""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray

Float = NDArray[np.float32]
Window = Literal["ramp", "shepp-logan", "hann"]
WINDOWS: tuple[Window, ...] = ("ramp", "shepp-logan", "hann")
SMALLEST_FOOTPRINT = 1e-4
"""Of a voxel's side: what a side seen end-on still measures, so that every footprint is a trapezoid."""


def project(
    volume: Float,
    angle_rad: float,
    *,
    step_um: tuple[float, float],
    pixel_um: float,
    n_pixels: int,
    depth_step_um: float = 0.0,
    n_depths: int = 1,
    is_extended: bool = False,
) -> Float:
    """Line integrals of a volume at one angle, split by the distance from the axis along the beam.

    At angle 0 the beam runs along the first axis and the detector along the second; the rotation axis stands in the
    middle of both, and of the detector.

    Parameters
    ----------
    volume : ndarray (Y, X, Z), float32, C order
        Value per µm; Z is the rotation axis.
    angle_rad : float
        The detector lies along ``x cos + y sin``.
    step_um : tuple of float
        Voxel size y, x in µm.
    pixel_um : float
        Of the detector, across the axis.
    n_pixels : int
        Of the detector, S; what passes beside it is not recorded.
    depth_step_um : float
        Distance of the knots in µm; a voxel between two of them is shared out linearly.
    n_depths : int
        Knots, D; voxels beyond the last belong to it. 1 integrates everything into one.
    is_extended : bool
        Whether the volume continues beyond both ends of x as its last voxels, as a flat sample does; the angle must
        stay below a quarter turn.

    Returns
    -------
    ndarray (D, S, Z), float32
        The sum over D is the line integral, averaged over the pixel.
    """
    knots = np.zeros((n_depths, n_pixels, volume.shape[2]), np.float32)
    is_empty = ~volume.any(axis=2)
    _project(
        volume,
        is_empty,
        np.array([np.cos(angle_rad), np.sin(angle_rad), *step_um, pixel_um, depth_step_um or 1.0]),
        is_extended,
        knots,
    )
    return knots


def filtered_backprojection(
    projections: Float,
    angles_rad: NDArray[np.float64],
    *,
    shape: tuple[int, int],
    step_um: tuple[float, float],
    pixel_um: float,
    weight_rad: float,
    window: Window = "hann",
    cutoff: float = 1.0,
) -> Float:
    """The volume whose line integrals are known at evenly spaced angles.

    Parameters
    ----------
    projections : ndarray (A, S, Z), float32
        As :func:`project` defines them. Where they end before they have fallen to zero they are continued by half a
        cosine over half the detector's width, without which the rim of the view would shine.
    angles_rad : ndarray (A,), float64
    shape : tuple of int
        Y, X of the result.
    step_um, pixel_um : float
        As in :func:`project`.
    weight_rad : float
        Angle that one projection stands for.
    window : str
        One of :data:`WINDOWS`.
    cutoff : float
        Where the window ends, over Nyquist of the detector, 0 to 1.

    Returns
    -------
    ndarray (Y, X, Z), float32
        Value per µm.
    """
    n_angles, n_pixels, n_planes = projections.shape
    diagonal = np.hypot(shape[0] * step_um[0], shape[1] * step_um[1])
    margin = max(0, int(np.ceil((diagonal / pixel_um - n_pixels) / 2))) + 2
    length = scipy.fft.next_fast_len(2 * (n_pixels + 2 * margin), real=True)
    response = (filter_response(length, window, cutoff) / pixel_um * weight_rad).astype(np.float32)[:, None]
    filtered = np.empty((n_angles, n_pixels + 2 * margin, n_planes), np.float32)
    fade = max(1, n_pixels // 2)
    beyond = np.arange(1, margin + fade + 1)
    weights = np.where(beyond <= fade, 0.5 * (1 + np.cos(np.pi * beyond / fade)), 0).astype(np.float32)[:margin, None]
    for index, rows in enumerate(projections):
        wide = np.concatenate([weights[::-1] * rows[0], rows, weights * rows[-1]])
        spectrum = scipy.fft.rfft(wide, length, axis=0)
        filtered[index] = scipy.fft.irfft(spectrum * response, length, axis=0)[: wide.shape[0]]
    volume = np.zeros((*shape, n_planes), np.float32)
    directions = np.stack([np.cos(angles_rad), np.sin(angles_rad)], axis=1)
    _backproject(filtered, directions, np.array([*step_um, pixel_um]), volume)
    return volume


def filter_response(length: int, window: Window, cutoff: float) -> NDArray[np.float64]:
    """The ramp over the frequencies of ``rfft``, for samples one apart, times a window; cycles per sample.

    It is the transform of the band-limited ramp's samples (Kak & Slaney, equation 61), which keeps the mean right
    where the ramp sampled in frequency would not.
    """
    position = np.minimum(np.arange(length), length - np.arange(length))
    kernel = np.zeros(length)
    kernel[0] = 0.25
    is_odd = position % 2 == 1
    kernel[is_odd] = -1 / (np.pi * position[is_odd]) ** 2
    relative = scipy.fft.rfftfreq(length) / (0.5 * cutoff)
    shapes = {
        "ramp": np.ones_like(relative),
        "shepp-logan": np.sinc(relative / 2),
        "hann": 0.5 * (1 + np.cos(np.pi * np.minimum(relative, 1))),
    }
    return np.asarray(scipy.fft.rfft(kernel).real * np.where(relative <= 1, shapes[window], 0))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _area_below(offset: float, long_side: float, short_side: float) -> float:
    """Part of a voxel's footprint, a trapezoid of area 1, at positions below ``offset`` from its middle."""
    total = 0.0
    for sign, corner in (
        (1.0, offset + (long_side + short_side) / 2),
        (-1.0, offset + (long_side - short_side) / 2),
        (-1.0, offset - (long_side - short_side) / 2),
        (1.0, offset - (long_side + short_side) / 2),
    ):
        if corner > 0:
            total += sign * corner * corner
    return total / (2 * long_side * short_side)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(total: Float, values: Float, weight: float) -> None:
    factor = np.float32(weight)
    for z in range(total.size):
        total[z] += factor * values[z]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _project(
    volume: Float, is_empty: NDArray[np.bool_], geometry: NDArray[np.float64], is_extended: bool, knots: Float
) -> None:
    cos, sin, step_y, step_x, pixel, depth_step = geometry
    n_y, n_x = is_empty.shape
    n_depths, n_pixels, _ = knots.shape
    sides = max(abs(cos) * step_x, SMALLEST_FOOTPRINT * step_x), max(abs(sin) * step_y, SMALLEST_FOOTPRINT * step_y)
    long_side, short_side = max(sides), min(sides)
    reach = (long_side + short_side) / 2
    half_view = n_pixels * pixel / 2
    for row in range(n_y):
        y = (row - (n_y - 1) / 2) * step_y
        start, stop = 0, n_x
        if is_extended:
            ends = (-half_view - reach - y * sin) / cos, (half_view + reach - y * sin) / cos
            start = int(np.floor(ends[0] / step_x + (n_x - 1) / 2))
            stop = int(np.ceil(ends[1] / step_x + (n_x - 1) / 2)) + 1
        for column in range(start, stop):
            source = min(max(column, 0), n_x - 1)
            if is_empty[row, source]:
                continue
            x = (column - (n_x - 1) / 2) * step_x
            middle = x * cos + y * sin
            depth = abs(y * cos - x * sin) / depth_step
            knot = min(int(depth), n_depths - 1)
            part = depth - knot if knot < n_depths - 1 else 0.0
            first = max(0, int(np.floor((middle - reach + half_view) / pixel)))
            last = min(n_pixels - 1, int(np.floor((middle + reach + half_view) / pixel)))
            for index in range(first, last + 1):
                edge = index * pixel - half_view - middle
                share = _area_below(edge + pixel, long_side, short_side) - _area_below(edge, long_side, short_side)
                weight = share * step_x * step_y / pixel
                _add(knots[knot, index], volume[row, source], weight * (1 - part))
                if part > 0:
                    _add(knots[knot + 1, index], volume[row, source], weight * part)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _backproject(filtered: Float, directions: NDArray[np.float64], steps: NDArray[np.float64], volume: Float) -> None:
    step_y, step_x, pixel = steps
    n_y, n_x, _ = volume.shape
    n_angles, n_pixels, _ = filtered.shape
    for row in range(n_y):
        y = (row - (n_y - 1) / 2) * step_y
        for column in range(n_x):
            x = (column - (n_x - 1) / 2) * step_x
            for angle in range(n_angles):
                position = (x * directions[angle, 0] + y * directions[angle, 1]) / pixel + (n_pixels - 1) / 2
                left = int(np.floor(position))
                if left < 0 or left >= n_pixels - 1:
                    continue
                part = position - left
                _add(volume[row, column], filtered[angle, left], 1 - part)
                _add(volume[row, column], filtered[angle, left + 1], part)
