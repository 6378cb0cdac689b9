"""The spectrum of a cell rotated about the y axis, from its projections.

At every frequency of the half grid the two (angle, position on the cap) pairs that measured it follow in closed form,
so the recorded spectra are interpolated there. To change the interpolation, change :func:`rotation_spectrum`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.simulation.physics.fourier_support import MIN_COVERAGE, angular_frequencies, fourier_coverage
from tomocyte.simulation.physics.optics import OdtInstrument

LATERAL_PADDING = 2
"""Fields are padded this many times in x, so that their spectra are smooth enough to interpolate."""


def rotation_spectrum(
    first_order: NDArray[np.complex64], medium_ri: float, pixel_size_um: tuple[float, float], instrument: OdtInstrument
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Spectrum of the scaled potential on the half grid (X, Y, X // 2 + 1), and its coverage.

    Parameters
    ----------
    first_order : ndarray (N, Y, X), complex64
        First-order scattered fields over the incident one, at angles 2π j / N.
    medium_ri : float
    pixel_size_um : tuple of float
        y, x in µm; z of the volume equals x.
    instrument : OdtInstrument
    """
    n_angles, ny, nx = first_order.shape
    shape = (nx, ny, nx)
    k0 = instrument.wavenumber_per_um
    km = k0 * medium_ri
    coverage = fourier_coverage(
        shape, medium_ri, voxel_size_um=(pixel_size_um[1], *pixel_size_um), instrument=instrument
    )
    is_measured = coverage >= MIN_COVERAGE
    plane, row, column = np.nonzero(is_measured)
    frequency_x = angular_frequencies(nx, pixel_size_um[1])
    qz, qx = frequency_x[plane], np.abs(frequency_x[column])
    qy = angular_frequencies(ny, pixel_size_um[0])[row]
    kz = np.minimum((2 * km**2 - qy**2 - qz**2 - qx**2) / (2 * km), np.sqrt(km**2 - qy**2))
    kx = np.sqrt(np.maximum(km**2 - qy**2 - kz**2, 0))
    padded = LATERAL_PADDING * nx
    step = 2 * np.pi / (padded * pixel_size_um[1])
    spectra = _centred_spectra(first_order, padded)
    spline = spectra
    for axis in (0, 2):
        spline = ndimage.spline_filter1d(spline, 3, axis=axis, mode="grid-wrap", output=np.complex64)
    value = np.zeros(qz.shape, np.complex128)
    for sign in (1, -1):
        angle = np.arctan2(qz, qx) - np.arctan2(kz - km, sign * kx)
        position = (angle / (2 * np.pi) * n_angles) % n_angles
        value += _interpolate(spline, position, row, sign * kx / step + padded // 2) / 2
    value *= kz / (1j * medium_ri * k0**2 * pixel_size_um[1])
    value *= np.exp(-1j * (qz + qx) * (nx - 1) / 2 * pixel_size_um[1])
    spectrum = np.zeros(is_measured.shape, np.complex64)
    spectrum[plane, row, column] = value
    return spectrum, coverage


def _centred_spectra(first_order: NDArray[np.complex64], padded: int) -> NDArray[np.complex64]:
    """2-D spectra with frequency 0 of x in the middle and the origin of x at the middle of the field."""
    nx = first_order.shape[2]
    spectra = scipy.fft.fft(scipy.fft.fft(first_order, n=padded, axis=2), axis=1)
    phase = np.exp(2j * np.pi * np.fft.fftfreq(padded) * (nx - 1) / 2)
    return np.asarray(np.fft.fftshift(spectra * phase, axes=2), dtype=np.complex64)


def _interpolate(
    spline: NDArray[Any], angle: NDArray[np.float64], row: NDArray[np.int64], column: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Cubic B-spline in angle (periodic) and x frequency; rows are met exactly."""
    n_angles, _, n_columns = spline.shape
    angle_base, column_base = np.floor(angle).astype(np.int64), np.floor(column).astype(np.int64)
    angle_weights, column_weights = _cubic_weights(angle - angle_base), _cubic_weights(column - column_base)
    total = np.zeros(angle.shape, np.complex128)
    for i, angle_weight in enumerate(angle_weights):
        for j, column_weight in enumerate(column_weights):
            knots = spline[(angle_base + i - 1) % n_angles, row, (column_base + j - 1) % n_columns]
            total += angle_weight * column_weight * knots
    return total


def _cubic_weights(fraction: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Weights of the four knots around a point of a cubic B-spline."""
    t, u = fraction, 1 - fraction
    return u**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * u**2 + 3 * u**3) / 6, t**3 / 6
