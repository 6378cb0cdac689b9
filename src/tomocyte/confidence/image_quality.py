"""How good an image is without knowing what it shows: noise, and resolution by Fourier shells and by edges.

To add a figure, write a function of an image and its voxel size, and name it in ``image_sets``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize

Float = NDArray[np.float64]
MAD_TO_SD = 1.4826
ONE_SEVENTH = 1 / 7
"""Correlation of Fourier shells at which an image made of half of the data stops being resolved."""


def noise_level(image: NDArray[Any]) -> float:
    """Standard deviation of the noise, if it is white, in the unit of the image.

    Robust spread of the second difference along y and x, v(i-1) - 2 v(i) + v(i+1), over √6; along the axis where it is
    smaller, so that edges along one axis do not count.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0, 0.2, (8, 60, 60))
    >>> round(noise_level(noise + np.arange(60)), 2)
    0.2
    """
    values = image.astype(np.float32)
    levels = []
    for axis in (1, 2):
        if values.shape[axis] < 3:
            continue
        curved = np.diff(values, 2, axis=axis)
        levels.append(MAD_TO_SD * float(np.median(np.abs(curved - np.median(curved)))) / math.sqrt(6))
    return min(levels, default=0.0)


def fourier_shell_correlation(
    first: NDArray[Any], second: NDArray[Any], voxel_size_um: VoxelSize, *, shift_voxels: float = 0.0
) -> tuple[Float, Float]:
    """How well two images of the same object agree at each spatial frequency.

    Parameters
    ----------
    first, second : ndarray (Z, Y, X), real
    voxel_size_um : tuple of 3 float
    shift_voxels : float
        How far the second image was taken further along each axis; it is moved back.

    Returns
    -------
    frequency : ndarray (N,), float64
        Middle of each shell in 1/µm, up to the lowest Nyquist frequency of the three axes.
    correlation : ndarray (N,), float64
        -1 to 1; NaN of an empty shell.

    References
    ----------
    Harauz & van Heel 1986, Optik 73, 146.
    """
    window = _window(first.shape)
    spectra = [np.fft.rfftn((one - one.mean()) * window) for one in (first, second)]
    grids = [np.fft.fftfreq(n, size) for n, size in zip(first.shape[:2], voxel_size_um[:2], strict=True)]
    grids.append(np.fft.rfftfreq(first.shape[2], voxel_size_um[2]))
    z, y, x = np.meshgrid(*grids, indexing="ij", sparse=True)
    if shift_voxels:
        phase = z * voxel_size_um[0] + y * voxel_size_um[1] + x * voxel_size_um[2]
        spectra[1] = spectra[1] * np.exp(-2j * np.pi * shift_voxels * phase)
    step = 1 / max(n * size for n, size in zip(first.shape, voxel_size_um, strict=True))
    n_shells = max(1, int(0.5 / max(voxel_size_um) / step))
    shell = np.rint(np.sqrt(z**2 + y**2 + x**2) / step).astype(np.int64).ravel()

    def sums(values: NDArray[Any]) -> Float:
        return np.asarray(np.bincount(shell, values.ravel(), n_shells + 1)[1 : n_shells + 1], np.float64)

    cross = sums((spectra[0] * spectra[1].conj()).real)
    power = sums(np.abs(spectra[0]) ** 2) * sums(np.abs(spectra[1]) ** 2)
    correlation = np.divide(cross, np.sqrt(power), out=np.full(n_shells, np.nan), where=power > 0)
    return step * np.arange(1, n_shells + 1), correlation


def shell_resolution_um(image: NDArray[Any], voxel_size_um: VoxelSize, *, threshold: float = ONE_SEVENTH) -> float:
    """Resolution of a single image in µm: where two images made of every other voxel stop to agree.

    The image is taken apart into its even and its odd voxels, along all axes together, whose noise is independent where
    neighbouring voxels' is. Those have half the sampling, so that nothing below four voxels can be told apart: that is
    then the result.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
    voxel_size_um : tuple of 3 float
    threshold : float

    References
    ----------
    Koho et al. 2019, Nat. Commun. 10:3103, doi:10.1038/s41467-019-11024-z.
    """
    limit = 4 * max(voxel_size_um)
    length = [n // 2 * 2 for n in image.shape]
    if min(length) < 8:
        return math.nan
    even = image[: length[0] : 2, : length[1] : 2, : length[2] : 2].astype(np.float32)
    odd = image[1 : length[0] : 2, 1 : length[1] : 2, 1 : length[2] : 2].astype(np.float32)
    double = (2 * voxel_size_um[0], 2 * voxel_size_um[1], 2 * voxel_size_um[2])
    frequency, correlation = fourier_shell_correlation(even, odd, double, shift_voxels=0.5)
    below = np.flatnonzero(~(correlation >= threshold))
    return float(1 / frequency[below[0]]) if len(below) else limit


def edge_width_um(image: NDArray[Any], voxel_size_um: VoxelSize) -> float:
    """Width in µm of the steepest edges: the range of values over their slope; NaN of a flat image.

    Range: 1st to 99th percentile; slope: 99.9th percentile of the length of the gradient.
    """
    values = image.astype(np.float32)
    parts = [np.gradient(values, size, axis=axis) for axis, size in enumerate(voxel_size_um) if values.shape[axis] > 1]
    slope = float(np.percentile(np.sqrt(np.sum(np.square(parts), axis=0)), 99.9)) if parts else 0.0
    low, high = np.percentile(values, (1, 99))
    return float(high - low) / slope if slope > 0 else math.nan


def _window(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Falls to 0 at the border, so that opposite faces do not count as an edge."""
    windows = [np.hanning(n + 2)[1:-1].astype(np.float32) for n in shape]
    return np.asarray(windows[0][:, None, None] * windows[1][:, None] * windows[2])
