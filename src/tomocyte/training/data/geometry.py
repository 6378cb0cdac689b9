"""Where a pixel comes from: flips, rotations, scales, enlarged crops and elastic deformation, as one map per sample.

All that is drawn is composed into a single map from output to input coordinates, so image and targets are resampled
once: the image by interpolation, the targets by their nearest neighbour, which keeps class numbers and the ignore value
255. What lies outside is reflected, in both. To add a transform, add its settings, draw it in ``draw_map`` and compose
it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tomocyte.settings import Settings

Floats = NDArray[np.float32]

_STEEPEST = 0.4
"""Largest control-point displacement, in spacings, at which a cubic B-spline deformation cannot fold (1 / 2.479)."""


class GeometrySettings(Settings):
    """Which geometric transforms a sample may go through; the defaults do nothing."""

    probability: float = Field(default=1.0, ge=0, le=1)
    """Chance of each transform below, drawn for each separately."""
    flip_axes: tuple[Literal["z", "y", "x"], ...] = ()
    """Axes that may be reversed."""
    flip: Literal["independent", "never-identity"] = "independent"
    """Each axis with chance one half; or one of the possible flips, never none, as OS-Net's authors did."""
    is_turned_by_90: bool = False
    """Whether (y, x) may be rotated by 90, 180 or 270 degrees (only 180 where y and x differ in size)."""
    rotation_deg: float = Field(default=0.0, ge=0, le=180)
    """Largest rotation in the (y, x) plane, in either direction, in degrees."""
    enlargements: tuple[float, ...] = ()
    """(y, x) is enlarged by one of these and cut back to its size at a random place."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the factor by which each of y and x is scaled, each on its own."""
    scale_z: tuple[float, float] = (1.0, 1.0)
    """Range of the factor for z."""
    is_scaled_evenly: bool = False
    """Whether one factor, drawn from ``scale``, holds for all axes."""
    elastic_pairs: tuple[tuple[float, float], ...] = ()
    """Pairs (alpha, sigma) of Simard's elastic deformation: uniform noise in [-1, 1] per pixel, smoothed with sigma
    pixels, times alpha. Pairs such as (1, 1) move a pixel by about 0.16 pixels; see ``elastic_px``."""
    elastic_px: tuple[float, float] = (0.0, 0.0)
    """Range of the largest displacement along an axis, in pixels of x, of a smooth deformation that never folds."""
    elastic_spacing_px: float = Field(default=48.0, ge=2)
    """Distance between its control points in pixels of x; at least eight times the displacement."""
    anisotropy: float = Field(default=1.0, gt=0, le=100)
    """Voxel size along z over that along x; deformations are as large and as smooth in µm along z as along x."""
    image_order: Literal[1, 3] = 1
    """Interpolation of the image, linear or cubic. Targets always take their nearest neighbour."""

    @model_validator(mode="after")
    def _is_possible(self) -> GeometrySettings:
        if len(set(self.flip_axes)) != len(self.flip_axes):
            raise ValueError("'flip_axes' names an axis twice")
        for name in ("scale", "scale_z"):
            low, high = getattr(self, name)
            if not 0.1 <= low <= high <= 10:
                raise ValueError(f"{name!r} must be a range within 0.1 to 10")
        if self.is_scaled_evenly and self.scale_z != (1.0, 1.0):
            raise ValueError("'scale_z' means nothing where all axes are scaled evenly")
        if not all(1 <= factor <= 10 for factor in self.enlargements):
            raise ValueError("'enlargements' must lie in 1 to 10")
        if not all(0 < alpha <= 1000 and 0 < sigma <= 100 for alpha, sigma in self.elastic_pairs):
            raise ValueError("'elastic_pairs' are pairs (alpha, sigma) above 0, up to (1000, 100)")
        if not 0 <= self.elastic_px[0] <= self.elastic_px[1] <= self.elastic_spacing_px / 8:
            raise ValueError("'elastic_px' must be a range from 0 to an eighth of 'elastic_spacing_px'")
        return self


@dataclass(frozen=True)
class CoordinateMap:
    """Input coordinate = matrix · (output coordinate + displacement) + offset, in pixels, axes as the image's."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    displacement: Floats | None

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        n = len(self.offset)
        return self.displacement is None and not self.offset.any() and bool((self.matrix == np.eye(n)).all())

    @property
    def is_axis_aligned(self) -> bool:
        """Whether every input coordinate depends on a single output coordinate."""
        return self.displacement is None and bool((np.count_nonzero(self.matrix, axis=1) == 1).all())


def draw_map(shape: tuple[int, ...], settings: GeometrySettings, rng: np.random.Generator) -> CoordinateMap:
    """Draw the transforms of one sample.

    In the order in which the sample goes through them: enlarged crop, scale, flip, turn by 90 degrees, rotation,
    deformation.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) or (Z, Y, X).
    settings : GeometrySettings
    rng : numpy.random.Generator

    Returns
    -------
    CoordinateMap
    """
    n, size = len(shape), np.array(shape, dtype=np.float64)
    centre = (size - 1) / 2
    matrix, offset = np.eye(n), np.zeros(n)

    def then(step: NDArray[np.float64]) -> None:
        """Compose with a linear map about the centre."""
        nonlocal matrix, offset
        offset = offset + matrix @ (centre - step @ centre)
        matrix = matrix @ step

    if settings.enlargements and rng.random() < settings.probability:
        factor = settings.enlargements[rng.integers(len(settings.enlargements))]
        factors = np.array([1.0] * (n - 2) + [factor, factor])
        start = rng.integers(0, np.rint(size * factors).astype(np.int64) - np.array(shape) + 1)
        matrix, offset = np.diag(1 / factors), (start + 0.5) / factors - 0.5
    ranges = [settings.scale_z] * (n - 2) + [settings.scale, settings.scale]
    if any(low != 1 or high != 1 for low, high in ranges) and rng.random() < settings.probability:
        drawn = ranges[-1:] if settings.is_scaled_evenly else ranges
        scales = [1 / np.exp(rng.uniform(np.log(low), np.log(high))) for low, high in drawn]
        then(np.diag(scales * (n // len(scales))))
    flips = _draw_flips(n, settings, rng)
    if flips.any():
        then(np.diag(np.where(flips, -1.0, 1.0)))
    if settings.is_turned_by_90 and rng.random() < settings.probability:
        is_square = shape[-1] == shape[-2]
        then(_turn(n, 90 * int(rng.integers(1, 4)) if is_square else 180))
    if settings.rotation_deg > 0 and rng.random() < settings.probability:
        then(_turn(n, float(rng.uniform(-settings.rotation_deg, settings.rotation_deg))))
    return CoordinateMap(matrix, offset, _draw_displacement(shape, settings, rng))


def _draw_flips(n: int, settings: GeometrySettings, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the axes are reversed."""
    names = ("z", "y", "x")[-n:]
    axes = [i for i, name in enumerate(names) if name in settings.flip_axes]
    flips = np.zeros(n, dtype=bool)
    if not axes or rng.random() >= settings.probability:
        return flips
    bits = int(rng.integers(1 if settings.flip == "never-identity" else 0, 2 ** len(axes)))
    flips[axes] = [bool(bits >> i & 1) for i in range(len(axes))]
    return flips


def _turn(n: int, angle_deg: float) -> NDArray[np.float64]:
    """Matrix of a turn in the plane of the last two axes; exact for multiples of 90 degrees."""
    angle = np.deg2rad(angle_deg)
    cosine, sine = (np.rint(f(angle)) if angle_deg % 90 == 0 else f(angle) for f in (np.cos, np.sin))
    matrix = np.eye(n)
    matrix[-2:, -2:] = [[cosine, -sine], [sine, cosine]]
    return matrix


def _draw_displacement(shape: tuple[int, ...], settings: GeometrySettings, rng: np.random.Generator) -> Floats | None:
    """Displacement field (n, *shape) in pixels, or none."""
    total = None
    if settings.elastic_pairs and rng.random() < settings.probability:
        alpha, sigma = settings.elastic_pairs[rng.integers(len(settings.elastic_pairs))]
        total = simard_displacement(shape, alpha, sigma, rng)
    if settings.elastic_px[1] > 0 and rng.random() < settings.probability:
        amplitude = float(rng.uniform(*settings.elastic_px))
        per_axis = np.array([settings.anisotropy] * (len(shape) - 2) + [1.0, 1.0])
        smooth = smooth_displacement(shape, amplitude / per_axis, settings.elastic_spacing_px / per_axis, rng)
        total = smooth if total is None else total + smooth
    return total


def simard_displacement(shape: tuple[int, ...], alpha: float, sigma: float, rng: np.random.Generator) -> Floats:
    """Smoothed uniform noise, as OS-Net's elastic deformation.

    Far from the border its standard deviation is alpha / √3 times the root of the sum of the squared filter weights,
    in two dimensions about alpha / (2 √(3π) sigma).

    Parameters
    ----------
    shape : tuple of int
        (Y, X) or (Z, Y, X).
    alpha : float
        Factor α in pixels.
    sigma : float
        Smoothing σ in pixels; outside the image the noise is 0.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray
        (n, *shape) float32, displacement along each axis in pixels.

    References
    ----------
    .. [1] P. Simard, D. Steinkraus, J. Platt, Best practices for convolutional neural networks applied to visual
       document analysis, ICDAR 2003, doi:10.1109/ICDAR.2003.1227801
    """
    from scipy import ndimage

    noise = rng.random((len(shape), *shape), dtype=np.float32) * 2 - 1
    sigmas = (0.0, *[sigma] * len(shape))
    return np.asarray(ndimage.gaussian_filter(noise, sigmas, mode="constant") * np.float32(alpha), dtype=np.float32)


def smooth_displacement(
    shape: tuple[int, ...],
    amplitude_px: NDArray[np.float64],
    spacing_px: NDArray[np.float64],
    rng: np.random.Generator,
) -> Floats:
    """A random cubic B-spline deformation that does not fold.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) or (Z, Y, X).
    amplitude_px : ndarray
        (n,) largest displacement along each axis in pixels; smaller where it would fold.
    spacing_px : ndarray
        (n,) distance between control points along each axis in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray
        (n, *shape) float32 in pixels.

    References
    ----------
    .. [1] Y. Choi, S. Lee, Injectivity conditions of 2D and 3D uniform cubic B-spline functions, Graph. Models 62
       (2000) 411, doi:10.1006/gmod.2000.0531
    """
    bases = [_spline_basis(size, float(space)) for size, space in zip(shape, spacing_px, strict=True)]
    grid = (len(shape), *[basis.shape[1] for basis in bases])
    control = rng.uniform(-1, 1, grid).astype(np.float32)
    field = control
    for axis, basis in enumerate(bases, start=1):
        field = np.moveaxis(np.tensordot(field, basis, axes=(axis, 1)), -1, axis)
    axes = tuple(range(1, len(shape) + 1))
    largest, steepest = np.abs(field).max(axes), np.abs(control).max(axes)
    factor = np.minimum(amplitude_px / np.maximum(largest, 1e-6), _STEEPEST * spacing_px / np.maximum(steepest, 1e-6))
    return np.ascontiguousarray(field * factor.astype(np.float32).reshape(-1, *[1] * len(shape)), dtype=np.float32)


def _spline_basis(size: int, spacing: float) -> Floats:
    """(size, control points) weights of the uniform cubic B-spline at each pixel."""
    at = np.arange(size) / spacing
    n_control = int(np.floor(at[-1])) + 4
    distance = np.abs(at[:, None] + 1 - np.arange(n_control)[None, :])
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, inner, outer).astype(np.float32)


def resample(
    image: NDArray[np.float32], targets: NDArray[np.generic], coordinates: CoordinateMap, *, image_order: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """Image and targets seen through the map.

    Parameters
    ----------
    image : ndarray
        (C, *S) float32; interpolated (linear or cubic).
    targets : ndarray
        (K, *S) of any type; nearest neighbour, so that no new value appears.
    coordinates : CoordinateMap
    image_order : int
        1 or 3.

    Returns
    -------
    tuple of ndarray
        As given, same shapes and types; new arrays.
    """
    if coordinates.is_identity:
        return image.copy(), targets.copy()
    shape = image.shape[1:]
    if coordinates.is_axis_aligned:
        return _resample_aligned(image, targets, coordinates, image_order)
    places = _places(shape, coordinates)
    from scipy import ndimage

    moved = np.empty_like(image)
    for channel, result in zip(image, moved, strict=True):
        ndimage.map_coordinates(channel, places, output=result, order=image_order, mode="reflect")
    flat = np.zeros(shape, dtype=np.intp)
    for size, place in zip(shape, places, strict=True):
        flat *= size
        flat += _nearest(place, size)
    return moved, targets.reshape(len(targets), -1)[:, flat.ravel()].reshape(targets.shape)


def _places(shape: tuple[int, ...], coordinates: CoordinateMap) -> Floats:
    """(n, *shape) input coordinate of every output pixel."""
    n = len(shape)
    axes = np.ogrid[tuple(slice(size) for size in shape)]
    places = np.empty((n, *shape), dtype=np.float32)
    for row in range(n):
        base = sum(coordinates.matrix[row, i] * axes[i] for i in range(n)) + coordinates.offset[row]
        places[row] = base
        if coordinates.displacement is not None:
            for i in np.flatnonzero(coordinates.matrix[row]):
                places[row] += np.float32(coordinates.matrix[row, i]) * coordinates.displacement[i]
    return places


def _nearest(place: NDArray[np.floating], size: int) -> NDArray[np.intp]:
    """Nearest pixel, reflected at the borders (d c b a | a b c d | d c b a)."""
    index: NDArray[np.intp] = np.floor(place + 0.5).astype(np.intp)
    if index.min() < 0 or index.max() >= size:
        index %= 2 * size
        np.minimum(index, 2 * size - 1 - index, out=index)
    return index


def _resample_aligned(
    image: NDArray[np.float32], targets: NDArray[np.generic], coordinates: CoordinateMap, order: int
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """Flips, rotations by 90 degrees and scales: axis by axis, exact where pixels meet pixels."""
    shape = image.shape[1:]
    source = np.argmax(coordinates.matrix != 0, axis=1)  # input axis i runs along output axis source[i]
    places = [
        coordinates.matrix[i, axis] * np.arange(shape[axis]) + coordinates.offset[i] for i, axis in enumerate(source)
    ]
    nearest = [_nearest(place, size) for place, size in zip(places, shape, strict=True)]
    back = (0, *[int(axis) + 1 for axis in np.argsort(source)])
    moved_targets = np.ascontiguousarray(_take(targets, nearest).transpose(back))
    if all(np.abs(place - np.rint(place)).max() < 1e-9 for place in places):
        return np.ascontiguousarray(_take(image, nearest).transpose(back)), moved_targets
    from scipy import ndimage

    scales = [coordinates.matrix[i, axis] for i, axis in enumerate(source)]
    result = np.empty((len(image), *[shape[axis] for axis in source]), dtype=np.float32)
    for channel, out in zip(image, result, strict=True):
        ndimage.affine_transform(channel, np.array(scales), coordinates.offset, output=out, order=order, mode="reflect")
    return np.ascontiguousarray(result.transpose(back)), moved_targets


def _take(array: NDArray[np.generic], indices: list[NDArray[np.intp]]) -> NDArray[np.generic]:
    for axis, index in enumerate(indices, start=1):
        array = np.take(array, index, axis=axis)
    return array
