"""Noise of an image: its standard deviation at each place and how far it is correlated, from its quiet parts.

Second differences of neighbouring voxels show noise and the edges of objects; of the blocks of an image, the quieter
ones show noise alone. Where the background is brighter, photon noise is larger: blocks are compared with those of a
similar background. To describe noise by more, add it to :class:`Noise`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.blocks import Factors, block_means

Image = NDArray[np.float32]
_BLOCK_VOXELS = 512
_QUIET = 0.25
"""The noise is that of the block that is louder than this share of the blocks."""
_MOST_BACKGROUNDS = 10
_BLOCKS_PER_BACKGROUND = 20
_WIDEST = 4.0
"""Noise that is correlated further than this many voxels is not told from objects."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise as white noise blurred by a Gaussian.

    Parameters
    ----------
    sigma : ndarray (Z, Y, X), float32
        Standard deviation at each place, in the image's unit.
    correlation : tuple of 3 float
        Sigma z, y, x in voxels of the Gaussian that would correlate white noise as much; 0 = white.
    """

    sigma: Image
    correlation: tuple[float, float, float]


def estimate_noise(image: NDArray[Any], background: NDArray[Any]) -> Noise:
    """Noise of an image, from its quieter blocks.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, finite
    background : ndarray (Z, Y, X), real, finite
        Varies slowly; noise may grow with it.

    Returns
    -------
    Noise
        All 0 for an image that is flat in its quieter parts.

    References
    ----------
    Second differences along one axis instead of two: Immerkær, Comput. Vis. Image Underst. 64, 300 (1996),
    doi:10.1006/cviu.1996.0060.

    Examples
    --------
    >>> noise = estimate_noise(np.random.default_rng(0).normal(50, 4, (8, 64, 72)), np.zeros((8, 64, 72)))
    >>> 3.6 < noise.sigma.mean() < 4.2 and max(noise.correlation) < 0.4
    True
    """
    if image.shape[2] < 5:
        return Noise(np.zeros(image.shape, dtype=np.float32), (0.0, 0.0, 0.0))
    factors = _factors(image.shape)
    power = _block_power(image, factors, axis=2)
    level = block_means(background, factors, np.broadcast_to(np.True_, background.shape))
    n = min(_MOST_BACKGROUNDS, max(1, power.size // _BLOCKS_PER_BACKGROUND))
    edges = np.quantile(level, np.linspace(0, 1, n + 1))
    part = np.clip(np.searchsorted(edges, level, side="right") - 1, 0, n - 1)
    present = np.unique(part)
    quiet = np.array([np.quantile(power[part == one], _QUIET) for one in present])
    is_quiet = power <= np.interp(part, present, quiet)
    correlation = [_correlation(image, factors, is_quiet, axis) for axis in range(3)]
    one, two, _ = _autocorrelation(correlation[2])
    sigma = np.sqrt(quiet / (6 - 8 * one + 2 * two))
    centres = np.array([float(np.median(level[part == one])) for one in present])
    along = np.interp(background, centres, sigma).astype(np.float32)
    return Noise(along, (correlation[0], correlation[1], correlation[2]))


def _factors(shape: tuple[int, ...]) -> Factors:
    """Blocks of about 512 voxels, as even as the image allows."""
    in_z = min(shape[0], 8)
    side = max(4, round(math.sqrt(_BLOCK_VOXELS / in_z)))
    return (in_z, min(side, shape[1]), min(side, shape[2]))


def _second_difference(image: NDArray[Any], axis: int) -> Image:
    """Second differences along an axis; 0 at its ends, where there are none."""
    along = np.moveaxis(image, axis, -1)
    difference = np.zeros(along.shape, dtype=np.float32)
    difference[..., 1:-1] = along[..., 2:] - 2 * along[..., 1:-1] + along[..., :-2]
    return np.moveaxis(difference, -1, axis)


def _block_power(image: NDArray[Any], factors: Factors, axis: int) -> Image:
    """Mean square of the second differences in each block."""
    inner = np.zeros(image.shape[axis], dtype=bool)
    inner[1:-1] = True
    is_inner = np.broadcast_to(np.expand_dims(inner, tuple({0, 1, 2} - {axis})), image.shape)
    return block_means(np.square(_second_difference(image, axis)), factors, is_inner)


def _correlation(image: NDArray[Any], factors: Factors, is_quiet: NDArray[np.bool_], axis: int) -> float:
    """How far noise is correlated along an axis, in the quiet blocks."""
    if image.shape[axis] < 5:
        return 0.0
    difference = np.moveaxis(_second_difference(image, axis), axis, -1)
    product = np.zeros(difference.shape, dtype=np.float32)
    product[..., 1:-2] = difference[..., 1:-2] * difference[..., 2:-1]
    shared = block_means(np.moveaxis(product, -1, axis), factors, np.broadcast_to(np.True_, image.shape))
    total = block_means(np.square(np.moveaxis(difference, -1, axis)), factors, np.broadcast_to(np.True_, image.shape))
    power = float(total[is_quiet].sum(dtype=np.float64))
    # There is one product less than squares in each row.
    pairs = (image.shape[axis] - 2) / (image.shape[axis] - 3)
    return _correlation_of(pairs * float(shared[is_quiet].sum(dtype=np.float64)) / power) if power > 0 else 0.0


def _autocorrelation(correlation: float) -> tuple[float, float, float]:
    """Of noise blurred by a Gaussian of that sigma, at lags of 1, 2 and 3 voxels."""
    if correlation <= 0:
        return 0.0, 0.0, 0.0
    one, two, three = (math.exp(-((lag / correlation) ** 2) / 4) for lag in (1, 2, 3))
    return one, two, three


def _ratio_of(correlation: float) -> float:
    """Correlation of neighbouring second differences of such noise: -2/3 if it is white."""
    one, two, three = _autocorrelation(correlation)
    return (three - 4 * two + 7 * one - 4) / (6 - 8 * one + 2 * two)


_LADDER = np.linspace(0.0, _WIDEST, 401)
_RATIOS = np.array([_ratio_of(float(correlation)) for correlation in _LADDER])


def _correlation_of(ratio: float) -> float:
    """The Gaussian's sigma that gives such a ratio; the ratio grows with it."""
    return float(np.interp(ratio, _RATIOS, _LADDER))
