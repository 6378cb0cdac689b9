"""Object scale and significance: how large the bright objects of an image are, and which stand out of its noise.

The image is coarsened to at most ``MOST_VOXELS`` and its values are compressed in units of noise, so that one bright
speck weighs no more than a nucleus. Differences of Gaussians, normalised so that a ball of contrast c and matching
diameter answers with c, are taken over a ladder of diameters. To judge objects by another filter, give
:func:`_response` another kernel, and :func:`_gain` and :func:`_response_noise` its figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial, special

from tomocyte.labels.blocks import block_factors, block_means, coarse_voxel_size
from tomocyte.segmentation.classical.noise import estimate_noise
from tomocyte.segmentation.classical.thresholds import GAUSSIAN_MAD, Histogram, half_maximum_levels
from tomocyte.volume import VoxelSize

Image = NDArray[np.float32]
MOST_VOXELS = 4_000_000
"""Scale is sought in at most about this many (coarser) voxels."""
FALSE_ALARMS = 1e-3
"""Objects expected by chance in one image of pure noise."""
NOISE_TOLERANCE = 1.25
"""The noise may be this much larger than estimated."""
_RATIO = 1.6
"""Of the two Gaussians; close to the Laplacian of Gaussian (Marr & Hildreth 1980)."""
_STEP = math.sqrt(2)
_FINEST = 4.0
"""Smallest diameter that is sought, in pixels."""
_LARGEST = 0.67
"""Largest, as a share of the field's shorter side."""
_SHARE = 0.5
"""Objects that say how large objects are answer with at least this share of the strongest (compressed) response."""
_LINEAR = 2.0
"""Values grow linearly up to this many noise deviations above the background, then logarithmically."""
_N_FITS = 20
_MOST_PEAKS = 20_000


@dataclass(frozen=True, eq=False)
class Significance:
    """How far each place of an image stands out of the noise, on a coarse grid.

    Parameters
    ----------
    excess : ndarray (z, y, x), float32
        Response at the objects' scale in units of the response that noise reaches once in a thousand images.
    factors : tuple of 3 int
        Voxels of the image per voxel of the grid.
    """

    excess: Image
    factors: tuple[int, int, int]

    def reach(self, labels: NDArray[np.unsignedinteger[Any]], n: int, least: float = 1.0) -> NDArray[np.bool_]:
        """Which of the labels 0..n hold a place beyond ``least`` times what noise reaches; bool (n + 1,)."""
        found = np.zeros(n + 1, dtype=bool)
        rows = np.arange(labels.shape[1]) // self.factors[1]
        columns = np.arange(labels.shape[2]) // self.factors[2]
        beyond = self.excess > least
        for z, plane in enumerate(labels):
            coarse = beyond[z // self.factors[0]]
            if coarse.any():
                found[plane[coarse[rows][:, columns]]] = True
        found[0] = False
        return found


@dataclass(frozen=True, eq=False)
class _Scene:
    """The compressed image on its grid."""

    values: Image
    voxel_size_um: VoxelSize
    factors: tuple[int, int, int]
    noise: float
    correlation: tuple[float, float, float]

    @property
    def n_dimensions(self) -> int:
        return 2 if self.values.shape[0] == 1 else 3


def estimate_diameter_um(image: NDArray[Any], voxel_size_um: VoxelSize) -> float | None:
    """Typical diameter of the bright objects of an image.

    Places that stand out of the noise at some scale are sought; where several overlap, the one with the strongest
    response stays. The median diameter of those with at least half the strongest response, weighted by their size,
    is returned.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        NaN or infinite = outside.
    voxel_size_um : tuple of 3 float

    Returns
    -------
    float or None
        In µm, to the steps of the ladder (a factor of 1.41) before interpolation by the weights; ``None`` where
        nothing stands out of the noise.

    References
    ----------
    Lindeberg, Int. J. Comput. Vis. 30, 79 (1998), doi:10.1023/A:1008045108935.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.normal(100, 5, (1, 120, 140))
    >>> estimate_diameter_um(image, (float("nan"), 0.5, 0.5)) is None
    True
    >>> y, x = np.mgrid[:120, :140]
    >>> image[0, (y - 60) ** 2 + (x - 70) ** 2 < 20**2] += 60
    >>> 15 < estimate_diameter_um(image, (float("nan"), 0.5, 0.5)) < 25
    True
    """
    scene = _scene(image, voxel_size_um)
    if scene is None:
        return None
    places, diameters, responses = [], [], []
    for diameter in _ladder(image.shape, voxel_size_um, scene):
        response, size_um, _ = _response(scene, diameter)
        limit = _limit(scene, diameter)
        footprint = [1 if size == 1 else 3 for size in response.shape]
        is_peak = (response > limit) & (ndimage.maximum_filter(response, footprint, mode="nearest") == response)
        at = np.argwhere(is_peak)
        places.append((at + 0.5) * np.nan_to_num(np.asarray(size_um), nan=0.0))
        diameters.append(np.full(len(at), diameter))
        responses.append(response[is_peak])
    strength = np.concatenate(responses) if responses else np.empty(0)
    if not strength.size:
        return None
    order = np.argsort(-strength, kind="stable")[:_MOST_PEAKS]
    kept = order[_without_overlap(np.concatenate(places)[order], np.concatenate(diameters)[order])]
    kept = kept[strength[kept] >= _SHARE * strength[kept].max()]
    sizes = np.concatenate(diameters)[kept]
    return _weighted_median(sizes, strength[kept] * sizes**scene.n_dimensions)


def significance(image: NDArray[Any], voxel_size_um: VoxelSize, diameter_um: float) -> Significance | None:
    """Where an image stands out of its noise at the scale of objects of a diameter, or at half that scale.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
    voxel_size_um : tuple of 3 float
    diameter_um : float

    Returns
    -------
    Significance or None
        ``None`` for an image of one value.
    """
    scene = _scene(image, voxel_size_um)
    if scene is None:
        return None
    smallest = _FINEST * min(scene.voxel_size_um[1:])
    excess, factors = _excess(scene, max(smallest, diameter_um / 2))
    return Significance(excess, tuple(a * b for a, b in zip(factors, scene.factors, strict=True)))  # type: ignore[arg-type]


def _excess(scene: _Scene, diameter: float) -> tuple[Image, tuple[int, int, int]]:
    response, _, factors = _response(scene, diameter)
    return response / np.float32(_limit(scene, diameter)), factors


def _scene(image: NDArray[Any], voxel_size_um: VoxelSize) -> _Scene | None:
    """The image coarsened, its values compressed in units of noise; ``None`` if it holds one value only."""
    is_plane = image.shape[0] == 1
    factors = (1, 1, 1)
    target = min(size for size in voxel_size_um if math.isfinite(size))
    while math.prod(-(-size // factor) for size, factor in zip(image.shape, factors, strict=True)) > MOST_VOXELS:
        target *= 1.26
        factors = block_factors((math.nan, *voxel_size_um[1:]) if is_plane else voxel_size_um, target)
    coarse = block_means(image, factors, np.broadcast_to(np.True_, image.shape), empty=np.nan)
    finite = np.isfinite(coarse)
    if not finite.any() or coarse[finite].min() == coarse[finite].max():
        return None
    background = half_maximum_levels(Histogram.of(coarse)).background
    coarse[~finite] = background
    surface = slow_background(coarse)
    noise = estimate_noise(coarse, surface)
    coarse -= surface
    # An image that is flat in its quieter parts has no noise to compare with: its own spread takes its place.
    is_noisy = bool(noise.sigma.max() > 0)
    scale = np.maximum(noise.sigma, noise.sigma.max() / 100) if is_noisy else np.float32(np.std(coarse))
    coarse /= np.float32(_LINEAR) * scale
    size_um = coarse_voxel_size(voxel_size_um, factors)
    return _Scene(np.arcsinh(coarse), size_um, factors, 1 / _LINEAR if is_noisy else 0.0, noise.correlation)


def slow_background(image: NDArray[Any]) -> Image:
    """Uneven illumination and background: a quadratic surface through what is not brighter than its surroundings.

    The surface is fitted to block means, again and again without the blocks that lie more than 2.5 robust deviations
    above it.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, finite

    Returns
    -------
    ndarray (Z, Y, X), float32

    Examples
    --------
    >>> ramp = np.broadcast_to(np.linspace(10, 40, 90), (1, 80, 90))
    >>> bool(np.allclose(slow_background(ramp), ramp, atol=0.1))
    True
    """
    factors = tuple(max(1, -(-size // 32)) for size in image.shape)
    blocks = block_means(image, (factors[0], factors[1], factors[2]), np.broadcast_to(np.True_, image.shape))
    axes = [
        (np.minimum((np.arange(n) + 0.5) * factor, size) / size * 2 - 1).astype(np.float64)
        for n, factor, size in zip(blocks.shape, factors, image.shape, strict=True)
    ]
    terms = _quadratic(axes)
    values = blocks.ravel().astype(np.float64)
    is_background = np.ones(values.size, dtype=bool)
    for _ in range(_N_FITS):
        weights, *_ = np.linalg.lstsq(terms[is_background], values[is_background], rcond=None)
        residual = values - terms @ weights
        spread = GAUSSIAN_MAD * float(np.median(np.abs(residual[is_background])))
        following = np.abs(residual) <= 3 * spread
        if 2 * np.count_nonzero(following) < values.size or np.array_equal(following, is_background):
            break
        is_background = following
    fine = [(2 * np.arange(size) + 1) / size - 1 for size in image.shape]
    surface = np.empty(image.shape, dtype=np.float32)
    for z, height in enumerate(fine[0]):
        surface[z] = (_quadratic([np.array([height]), fine[1], fine[2]]) @ weights).reshape(image.shape[1:])
    return surface


def _quadratic(axes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Terms up to the second degree at each place of a grid, (n, 10); axes are -1 to 1."""
    z, y, x = (along.ravel() for along in np.meshgrid(*axes, indexing="ij"))
    return np.stack([np.ones_like(z), z, y, x, z * z, y * y, x * x, z * y, z * x, y * x], axis=1)


def _ladder(shape: tuple[int, ...], voxel_size_um: VoxelSize, scene: _Scene) -> list[float]:
    smallest = _FINEST * min(scene.voxel_size_um[1:])
    largest = _LARGEST * min(shape[1] * voxel_size_um[1], shape[2] * voxel_size_um[2])
    n = max(1, math.floor(math.log(max(largest / smallest, 1.0), _STEP)) + 1)
    return [smallest * _STEP**step for step in range(n)]


def _response(scene: _Scene, diameter: float) -> tuple[Image, VoxelSize, tuple[int, int, int]]:
    """Normalised difference of Gaussians for balls of a diameter, its voxel size, and how it is coarsened."""
    sigma = diameter / 2 / math.sqrt(scene.n_dimensions)
    is_plane = scene.n_dimensions == 2
    factors = block_factors((math.nan, *scene.voxel_size_um[1:]) if is_plane else scene.voxel_size_um, sigma / 2)
    values = block_means(scene.values, factors, np.broadcast_to(np.True_, scene.values.shape))
    size_um = coarse_voxel_size(scene.voxel_size_um, factors)
    narrow, wide = (
        ndimage.gaussian_filter(values, _in_voxels(factor * sigma, size_um, is_plane), mode="reflect")
        for factor in (1.0, _RATIO)
    )
    response = (narrow - wide) / np.float32(_gain(scene.n_dimensions))
    for axis in range(3 - scene.n_dimensions, 3):
        response /= _border_noise(response.shape, axis, sigma / size_um[axis])
    return response, size_um, factors


def _border_noise(shape: tuple[int, ...], axis: int, sigma: float) -> Image:
    """How much more noise there is where a mirrored border makes a Gaussian's mean of fewer voxels; broadcastable."""
    at = np.arange(shape[axis]) + 0.5
    factor = np.sqrt(1 + np.exp(-((at / sigma) ** 2)) + np.exp(-(((shape[axis] - at) / sigma) ** 2)))
    return np.asarray(np.expand_dims(factor, tuple({0, 1, 2} - {axis})), dtype=np.float32)


def _in_voxels(sigma: float, size_um: VoxelSize, is_plane: bool) -> list[float]:
    """Sigma per axis in voxels, less the blur that a voxel's own width makes."""
    widths = [sigma / size for size in size_um[1:]]
    along = [math.sqrt(max(width**2 - 1 / 12, 0.0)) for width in ([] if is_plane else [sigma / size_um[0]]) + widths]
    return [0.0, *along] if is_plane else along


def _gain(n_dimensions: int) -> float:
    """Response at the centre of a matching ball of contrast 1: radius ``sqrt(n) sigma``."""
    half = n_dimensions / 2
    return float(special.gammainc(half, half) - special.gammainc(half, half / _RATIO**2))


def _limit(scene: _Scene, diameter: float) -> float:
    """The response that noise passes with a chance of :data:`FALSE_ALARMS` anywhere in the image."""
    sigma = diameter / 2 / math.sqrt(scene.n_dimensions)
    noise = _response_noise(scene, sigma)
    # All voxels count, also for coarse scales: there are several scales.
    n_voxels = scene.values.size
    return NOISE_TOLERANCE * max(noise, 1e-6) * float(-special.ndtri(FALSE_ALARMS / n_voxels))


def _response_noise(scene: _Scene, sigma: float) -> float:
    """Standard deviation of the response to the scene's noise alone."""
    pairs = {(1.0, 1.0): 1.0, (_RATIO, _RATIO): 1.0, (1.0, _RATIO): -2.0}
    variance = 0.0
    for (one, other), weight in pairs.items():
        width = sigma * math.hypot(one, other)
        product = 1.0
        for axis in range(3 - scene.n_dimensions, 3):
            product *= _correlated(width / scene.voxel_size_um[axis], scene.correlation[axis])
        variance += weight * product
    return scene.noise * math.sqrt(max(variance, 0.0)) / _gain(scene.n_dimensions)


def _correlated(width: float, correlation: float) -> float:
    """Sum over lags k of the noise's autocorrelation ``exp(-k²/4c²)`` times a Gaussian of that width, in voxels."""
    width = math.sqrt(width**2 + 1 / 6)
    lags = np.arange(1, math.ceil(8 * max(correlation, 0.1)) + 1)
    along = np.exp(-((lags / width) ** 2) / 2)
    shared = np.exp(-((lags / max(correlation, 0.1)) ** 2) / 4)
    return float((1 + 2 * np.sum(along * shared)) / (math.sqrt(2 * math.pi) * width))


def _without_overlap(places: NDArray[np.float64], diameters: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places, strongest first, that neither lie in a stronger one nor hold its centre."""
    tree = spatial.cKDTree(places)
    is_taken = np.zeros(len(places), dtype=bool)
    largest = float(diameters.max())
    kept = []
    for index in range(len(places)):
        if is_taken[index]:
            continue
        kept.append(index)
        near = np.asarray(tree.query_ball_point(places[index], largest / 2))
        distance = np.linalg.norm(places[near] - places[index], axis=1)
        is_taken[near[2 * distance < np.maximum(diameters[near], diameters[index])]] = True
    return np.asarray(kept, dtype=np.int64)


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, cumulated[-1] / 2)])
