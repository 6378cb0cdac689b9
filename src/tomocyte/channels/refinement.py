"""The transform between two channels to a small part of a pixel, by Gauss-Newton on their structure.

Channels differ in brightness from place to place, so each is first brought to mean 0 and standard deviation 1 of what
is around. Of all voxels only those with the steepest gradients are compared: they alone tell where things lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.transform import ChannelTransform

Image = NDArray[np.float32]
FINE_PX = 1.0
"""Smoothing of the local contrasts on which a registration ends."""
SURROUNDINGS_PX = 12.0
FEWEST_POINTS = 100
BORDER_PX = 16
"""What lies so near the border is not compared: its surroundings are not all there."""
STEEPEST = 0.3
"""Share of the voxels that may be compared, the steepest."""
LEAST_STEEP = 0.02
"""What is less steep (squared) than this share of the steepest is not compared."""
MOST_ROUNDS = 25
SETTLED_VOXELS = 5e-4
N_PARTS = 2
"""Parts of the points that are fitted alone: how far they differ tells how sure the result is."""
PART_PX = 32


def local_contrast(image: NDArray[np.floating], sigma_px: float) -> Image:
    """The image, smoothed, with mean 0 and standard deviation 1 in its surroundings; 0 where nothing stands out.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, finite
    sigma_px : float
        Smoothing along y and x.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(1, 200, 200))
    >>> first, second = local_contrast(image, 1.0), local_contrast(7 * image + 300, 1.0)
    >>> bool(np.allclose(first, second, atol=1e-2))
    True
    """
    from scipy.ndimage import gaussian_filter

    # Brightness spans decades; its root has the noise of photons the same everywhere.
    lifted = np.sqrt(image - np.float32(image.min()), dtype=np.float32)
    smooth = gaussian_filter(lifted, (0, sigma_px, sigma_px), truncate=3)
    reach = min(SURROUNDINGS_PX, min(image.shape[1:]) / 12)
    wide = (0, reach, reach)
    smooth -= gaussian_filter(smooth, wide, truncate=2.5)
    spread = np.sqrt(gaussian_filter(np.square(smooth), wide, truncate=2.5))
    # Where nothing is, noise must not become as loud as structure elsewhere.
    spread += np.float32(np.percentile(spread[:, ::4, ::4], 75.0) + 1e-6)
    result: Image = smooth / spread
    return result


@dataclass(frozen=True, eq=False)
class Fit:
    """A transform that was fitted.

    Parameters
    ----------
    transform : ChannelTransform
    correlation : float
        Of the compared points, -1 to 1.
    uncertainty_voxels : tuple of 3 float
        How far two halves of the points differ along z, y, x in a corner, divided by two; NaN for no estimate.
    n_points : int
    """

    transform: ChannelTransform
    correlation: float
    uncertainty_voxels: tuple[float, float, float]
    n_points: int


@dataclass(frozen=True, eq=False)
class _Points:
    """What is compared: places of the reference in µm from the centre, its values and gradients there per µm."""

    places: NDArray[np.float64]  # (3, n)
    values: NDArray[np.float64]  # (n,)
    gradients: NDArray[np.float64]  # (3, n)
    part: NDArray[np.intp]

    def of_part(self, part: int) -> _Points:
        is_own = self.part == part
        return _Points(self.places[:, is_own], self.values[is_own], self.gradients[:, is_own], self.part[is_own])


class Comparison:
    """Two channels at the points that are compared.

    Parameters
    ----------
    reference, moving : ndarray (Z, Y, X), float32
        Local contrasts.
    size_um : ndarray (3,)
        Voxel size; z = 1 for a single plane.
    most_points : int
    has_z_magnification : bool
        Whether that of z is fitted.
    is_shift_only : bool
        Whether nothing but a shift is.
    """

    def __init__(
        self,
        reference: Image,
        moving: Image,
        size_um: NDArray[np.float64],
        *,
        most_points: int,
        has_z_magnification: bool = False,
        is_shift_only: bool = False,
    ) -> None:
        from scipy.ndimage import spline_filter

        self.size_um = size_um
        self.points = _points(reference, size_um, most_points)
        filtered = spline_filter(moving if len(moving) > 1 else moving[0], order=3, output=np.float32, mode="mirror")
        self.filtered: Image = filtered.reshape(moving.shape)
        self.free = _free(reference.shape, has_z_magnification=has_z_magnification)
        if is_shift_only:
            self.free[3:] = False

    @property
    def is_possible(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.points.values) >= FEWEST_POINTS

    def correlation(self, transform: ChannelTransform, away_px: tuple[int, int] = (0, 0)) -> float:
        """Correlation under a transform, and a further shift y, x in pixels."""
        if not self.is_possible:
            return 0.0
        values, is_inside = _sampled(self.filtered, _parameters(transform), self.points, self.size_um, away_px)
        return _correlation(self.points.values[is_inside], values[is_inside])

    def fit(self, start: ChannelTransform, *, settled_voxels: float = SETTLED_VOXELS) -> Fit:
        """The transform that makes them most alike, from one that is right to one or two pixels.

        Returns
        -------
        Fit
            Its correlation is 0, and the transform ``start``, where there is nothing to compare.
        """
        unknown = (math.nan, math.nan, math.nan)
        if not self.is_possible:
            return Fit(start, 0.0, unknown, len(self.points.values))
        whole, correlation = self._fit(self.points, _parameters(start), MOST_ROUNDS, settled_voxels)
        return Fit(_transform(whole), correlation, unknown, len(self.points.values))

    def uncertainty(self, fit: Fit) -> tuple[float, float, float]:
        """How far two halves of the points, fitted alone, differ along z, y, x in a corner, divided by two; voxels."""
        start = _parameters(fit.transform)
        parts = (self.points.of_part(part) for part in range(N_PARTS))
        halves = [_transform(self._fit(points, start, 4, SETTLED_VOXELS)[0]) for points in parts]
        corners = _corners(self.filtered.shape, self.size_um)
        moved = [half.places(corners, (0.0, 0.0, 0.0)) for half in halves]
        z, y, x = (float(part) for part in np.abs(moved[0] - moved[1]).max(axis=1) / 2 / self.size_um)
        return (z if self.free[0] else math.nan, y, x)

    def _fit(
        self, points: _Points, start: NDArray[np.float64], n_rounds: int, settled_voxels: float
    ) -> tuple[NDArray[np.float64], float]:
        """Gauss-Newton with a free gain and offset; the best parameters and their correlation."""
        parameters, best, best_correlation = start.copy(), start.copy(), -2.0
        reach = np.abs(points.places).max(axis=1)
        for _ in range(n_rounds):
            values, is_inside = _sampled(self.filtered, parameters, points, self.size_um)
            if np.count_nonzero(is_inside) < FEWEST_POINTS:
                break
            correlation = _correlation(points.values[is_inside], values[is_inside])
            if correlation > best_correlation:
                best, best_correlation = parameters.copy(), correlation
            steps = _jacobian(points, parameters)[self.free][:, is_inside]
            columns = np.concatenate([steps, values[None, is_inside], np.ones((1, steps.shape[1]))])
            scale = np.sqrt(np.mean(np.square(columns), axis=1)) + 1e-30
            columns /= scale[:, None]
            change = np.linalg.lstsq(columns @ columns.T, columns @ points.values[is_inside], rcond=1e-9)[0] / scale
            update = np.zeros(7)
            update[self.free] = change[: int(self.free.sum())]
            around = np.array([0.0, reach[2], reach[1]]) * abs(update[3])
            moved = (np.abs(update[:3]) + around + np.abs(update[4:]) * reach) / self.size_um
            # No step further than two voxels anywhere.
            parameters = parameters + update * min(1.0, 2.0 / max(float(moved.max()), 1e-9))
            parameters[4:] = np.clip(parameters[4:], 0.5, 2.0)
            if moved.max() < settled_voxels:
                values, is_inside = _sampled(self.filtered, parameters, points, self.size_um)
                return parameters, _correlation(points.values[is_inside], values[is_inside])
        return best, max(best_correlation, 0.0)


def _free(shape: tuple[int, ...], *, has_z_magnification: bool) -> NDArray[np.bool_]:
    """Which of shift z, y, x, rotation, magnification z, y, x are fitted."""
    has_depth = shape[0] > 1
    return np.array([has_depth, True, True, True, has_depth and has_z_magnification, True, True])


def _parameters(transform: ChannelTransform) -> NDArray[np.float64]:
    return np.array([*transform.translation_um, math.radians(transform.rotation_deg), *transform.magnification])


def _transform(parameters: NDArray[np.float64]) -> ChannelTransform:
    z, y, x, angle, *magnification = (float(value) for value in parameters)
    return ChannelTransform(
        translation_um=(z, y, x),
        rotation_deg=math.degrees(angle),
        magnification=(magnification[0], magnification[1], magnification[2]),
    )


def _points(reference: Image, size_um: NDArray[np.float64], most_points: int) -> _Points:
    """The steepest voxels, at most ``most_points`` of them, evenly taken, away from the border."""
    shape = reference.shape
    gradients = [
        np.gradient(reference, axis=axis) if shape[axis] > 2 else np.zeros_like(reference) for axis in range(3)
    ]
    steepness = np.square(gradients[1]) + np.square(gradients[2])
    margin = [min(BORDER_PX, n // 8) if axis else 0 for axis, n in enumerate(shape)]
    inner = tuple(slice(edge, n - edge) for edge, n in zip(margin, shape, strict=True))
    level = np.percentile(steepness[inner][:, ::3, ::3], 100 * (1 - STEEPEST))
    chosen = np.zeros(shape, dtype=bool)
    # Where beads are few, most of the steepest voxels are noise, a small part as steep as the beads.
    least = LEAST_STEEP * float(np.percentile(steepness[inner][:, ::2, ::2], 99.9))
    chosen[inner] = steepness[inner] > max(float(level), least)
    index = np.flatnonzero(chosen)
    index = index[:: max(1, math.ceil(index.size / most_points))]
    at = np.array(np.unravel_index(index, shape))
    centre = (np.array(shape) - 1) / 2
    return _Points(
        places=(at - centre[:, None]) * size_um[:, None],
        values=reference.ravel()[index].astype(np.float64),
        gradients=np.stack([part.ravel()[index].astype(np.float64) for part in gradients]) / size_um[:, None],
        part=(at[1] // PART_PX + at[2] // PART_PX) % N_PARTS,
    )


def _sampled(
    filtered: Image,
    parameters: NDArray[np.float64],
    points: _Points,
    size_um: NDArray[np.float64],
    away_px: tuple[int, int] = (0, 0),
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values of the moving channel where the points lie in it, and which of them it holds."""
    from scipy.ndimage import map_coordinates

    shape = np.array(filtered.shape)
    moved = _transform(parameters).places(points.places, (0.0, 0.0, 0.0))
    index = moved / size_um[:, None] + ((shape - 1) / 2 + np.array([0, *away_px]))[:, None]
    is_inside = np.all((index >= -0.5) & (index <= shape[:, None] - 0.5), axis=0)
    if shape[0] == 1:
        values = map_coordinates(filtered[0], index[1:], order=3, mode="mirror", prefilter=False, output=np.float64)
    else:
        values = map_coordinates(filtered, index, order=3, mode="mirror", prefilter=False, output=np.float64)
    return values, is_inside


def _jacobian(points: _Points, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """How the values change with each of the seven parameters, (7, n), by the gradients of the reference."""
    angle, magnification = float(parameters[3]), parameters[4:]
    z, y, x = points.places
    turned_y, turned_x = math.cos(angle) * y + math.sin(angle) * x, -math.sin(angle) * y + math.cos(angle) * x
    by_z, by_y, by_x = points.gradients
    by_angle = by_y * magnification[1] * turned_x - by_x * magnification[2] * turned_y
    return np.stack([by_z, by_y, by_x, by_angle, by_z * z, by_y * turned_y, by_x * turned_x])


def _corners(shape: tuple[int, ...], size_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """The eight corners of the field, (3, 8), µm from its centre."""
    half = (np.array(shape) - 1) / 2 * size_um
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij")).reshape(3, -1)
    corners: NDArray[np.float64] = signs * half[:, None]
    return corners


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if first.size < 2:
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    power = float(np.sqrt(np.sum(first**2) * np.sum(second**2)))
    return float(np.sum(first * second)) / power if power > 0 else 0.0
