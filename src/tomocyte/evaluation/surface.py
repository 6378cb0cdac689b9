"""Distances between the surfaces of two masks, in µm.

A surface voxel is a voxel of the mask with a face neighbour outside; outside the image counts as outside. Distances
run between voxel centres. To add a score, compute it from :class:`SurfaceDistances`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.evaluation.counts import check_pair

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
# The distance transform computes in float32, except that whole numbers come out exact.
TOLERANCE_SLACK = 1e-6
LARGEST_PRODUCT = 1 << 16
"""Pairs of surface voxels up to which all distances are computed."""
LARGEST_BOX_SHARE = 256
"""Voxels of a box per surface voxel up to which the distance transform of the box is computed."""


@dataclass(frozen=True)
class SurfaceDistances:
    """How far every surface voxel of one mask lies from the surface of the other.

    Parameters
    ----------
    truth_um, prediction_um : ndarray (n,), float64
        One distance per surface voxel of the truth and of the prediction; infinite when the other mask is empty.
    """

    truth_um: Float
    prediction_um: Float

    @property
    def is_defined(self) -> bool:
        """Whether neither mask is empty."""
        return bool(self.truth_um.size and self.prediction_um.size)

    @property
    def hausdorff_um(self) -> float:
        """The largest of all distances; NaN when a mask is empty."""
        return float(max(self.truth_um.max(), self.prediction_um.max())) if self.is_defined else math.nan

    def percentile_um(self, percentile: float) -> float:
        """The larger of the two percentiles of the distances, one per direction; NaN when a mask is empty.

        Parameters
        ----------
        percentile : float in [0, 100]
            95 gives HD95; between two distances the value is interpolated linearly.
        """
        if not self.is_defined:
            return math.nan
        return float(max(np.percentile(self.truth_um, percentile), np.percentile(self.prediction_um, percentile)))

    @property
    def hd95_um(self) -> float:
        """The larger of the two 95th percentiles; NaN when a mask is empty."""
        return self.percentile_um(95)

    @property
    def assd_um(self) -> float:
        """Mean over the surface voxels of both masks together; NaN when a mask is empty."""
        if not self.is_defined:
            return math.nan
        return float((self.truth_um.sum() + self.prediction_um.sum()) / (self.truth_um.size + self.prediction_um.size))

    def n_within(self, tolerance_um: float) -> int:
        """Surface voxels of both masks no further than the tolerance from the other surface."""
        if not (math.isfinite(tolerance_um) and tolerance_um >= 0):
            raise SettingsError("E-TOLERANCE", f"tolerance {tolerance_um} µm is not a number of at least 0.")
        limit = tolerance_um * (1 + TOLERANCE_SLACK)
        return int(np.count_nonzero(self.truth_um <= limit) + np.count_nonzero(self.prediction_um <= limit))

    def surface_dice(self, tolerance_um: float) -> float:
        """Share of the surface voxels within the tolerance; NaN when both masks are empty, 0 when one is."""
        n_surface = self.truth_um.size + self.prediction_um.size
        return self.n_within(tolerance_um) / n_surface if n_surface else math.nan


def surface_distances(
    truth: NDArray[Any], prediction: NDArray[Any], *, voxel_size_um: Sequence[float]
) -> SurfaceDistances:
    """Measure the distances from either surface to the other.

    The work is done inside the box that holds both masks. Distances are exact to float64 when the voxel's sides are
    whole multiples of the smallest one, else to about 1e-7 of their value.

    Parameters
    ----------
    truth, prediction : ndarray, 2-D or 3-D, bool or integer (non-zero = inside), same shape
        A 3-D array of one plane is scored within the plane.
    voxel_size_um : sequence of float > 0
        One per axis, in µm; that of a single plane's z may be NaN.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> first, second = np.zeros((2, 5, 9), bool)
    >>> first[2, 1:4], second[2, 1:7] = True, True
    >>> surface_distances(first, second, voxel_size_um=(0.4, 0.2)).hausdorff_um
    0.6000000000000001
    """
    check_pair(truth, prediction)
    if truth.ndim not in (2, 3):
        raise SettingsError("E-SHAPE", f"surfaces need 2-D or 3-D masks, not {truth.ndim}-D.")
    size = [float(side) for side in voxel_size_um]
    if truth.ndim == 3 and truth.shape[0] == 1 and len(size) == 3:
        truth, prediction, size = truth[0], prediction[0], size[1:]
    if len(size) != truth.ndim or not all(math.isfinite(side) and side > 0 for side in size):
        raise MetadataError(
            "E-VOXEL-SIZE", f"voxel size {tuple(size)} µm for {truth.ndim} axes.", cure="Give one number per axis."
        )
    first, second = truth != 0, prediction != 0
    box = _box(first | second)
    first, second = _surface(first[box]), _surface(second[box])
    return SurfaceDistances(_distances(first, second, size), _distances(second, first, size))


def distances_of_points(
    truth: NDArray[np.int64], prediction: NDArray[np.int64], *, voxel_size_um: Sequence[float]
) -> tuple[Float, Float]:
    """From every voxel of a surface to the nearest of the other, for many pairs of surfaces at once.

    Parameters
    ----------
    truth, prediction : ndarray (m, n_truth, D), (m, n_prediction, D), int64
        Positions along D axes of the surface voxels of m pairs; at least one voxel each.
    voxel_size_um : sequence of float > 0
        One per axis, in µm.

    Returns
    -------
    tuple of ndarray (m, n_truth), (m, n_prediction), float64
        Distances from the truth, and from the prediction, in µm.

    Examples
    --------
    >>> first, second = distances_of_points(np.array([[[0, 0]]]), np.array([[[0, 3], [4, 0]]]), voxel_size_um=(1, 1))
    >>> first.tolist(), second.tolist()
    ([[3.0]], [[3.0, 4.0]])
    """
    unit = float(min(voxel_size_um))
    scale = np.array([side / unit for side in voxel_size_um])
    if truth.shape[1] * prediction.shape[1] > LARGEST_PRODUCT:
        ends = [_distances_of_many(*pair, scale) for pair in zip(truth, prediction, strict=True)]
        return np.stack([end[0] for end in ends]) * unit, np.stack([end[1] for end in ends]) * unit
    squared = np.zeros((len(truth), truth.shape[1], prediction.shape[1]))
    for axis, factor in enumerate(scale):
        difference = truth[:, :, np.newaxis, axis] - prediction[:, np.newaxis, :, axis]
        squared += (difference * factor) ** 2
    return np.sqrt(squared.min(2)) * unit, np.sqrt(squared.min(1)) * unit


def _distances_of_many(truth: NDArray[np.int64], prediction: NDArray[np.int64], scale: Float) -> tuple[Float, Float]:
    """The same for one pair of large surfaces, in units of the smallest side of a voxel."""
    low = np.minimum(truth.min(0), prediction.min(0))
    shape = (np.maximum(truth.max(0), prediction.max(0)) - low + 1).tolist()
    if math.prod(shape) <= LARGEST_BOX_SHARE * (len(truth) + len(prediction)):
        first, second = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        places = tuple((truth - low).T), tuple((prediction - low).T)
        first[places[0]], second[places[1]] = True, True
        return _transform(second, scale.tolist())[places[0]], _transform(first, scale.tolist())[places[1]]
    from scipy.spatial import KDTree

    ends = truth * scale, prediction * scale
    return np.asarray(KDTree(ends[1]).query(ends[0])[0]), np.asarray(KDTree(ends[0]).query(ends[1])[0])


def hausdorff_um(truth: NDArray[Any], prediction: NDArray[Any], *, voxel_size_um: Sequence[float]) -> float:
    """Hausdorff distance of two surfaces in µm; see :func:`surface_distances`.

    References
    ----------
    Huttenlocher et al., IEEE TPAMI 15, 850 (1993), doi:10.1109/34.232073.
    """
    return surface_distances(truth, prediction, voxel_size_um=voxel_size_um).hausdorff_um


def hd95_um(truth: NDArray[Any], prediction: NDArray[Any], *, voxel_size_um: Sequence[float]) -> float:
    """The larger of the two directed 95th percentiles of the surface distance in µm; see :func:`surface_distances`."""
    return surface_distances(truth, prediction, voxel_size_um=voxel_size_um).hd95_um


def assd_um(truth: NDArray[Any], prediction: NDArray[Any], *, voxel_size_um: Sequence[float]) -> float:
    """Average symmetric surface distance in µm; see :func:`surface_distances`.

    References
    ----------
    Heimann et al., IEEE TMI 28, 1251 (2009), doi:10.1109/TMI.2009.2013851.
    """
    return surface_distances(truth, prediction, voxel_size_um=voxel_size_um).assd_um


def surface_dice(
    truth: NDArray[Any], prediction: NDArray[Any], *, voxel_size_um: Sequence[float], tolerance_um: float
) -> float:
    """Normalised surface distance (NSD): share of both surfaces within a tolerance of the other.

    Surface voxels count one each, whatever the area they stand for.

    References
    ----------
    Nikolov et al., J. Med. Internet Res. 23, e26151 (2021), doi:10.2196/26151.
    """
    return surface_distances(truth, prediction, voxel_size_um=voxel_size_um).surface_dice(tolerance_um)


def _box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds the mask; an empty one for an empty mask."""
    sides = []
    for axis in range(mask.ndim):
        other_axes = tuple(other_axis for other_axis in range(mask.ndim) if other_axis != axis)
        inside = np.flatnonzero(mask.any(axis=other_axes))
        sides.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
    return tuple(sides)


def _surface(mask: Mask) -> Mask:
    """Voxels of the mask with a face neighbour outside it or outside the array."""
    interior = mask.copy()
    for axis in range(mask.ndim):
        inner, whole = np.moveaxis(interior, axis, 0), np.moveaxis(mask, axis, 0)
        inner[1:] &= whole[:-1]
        inner[:-1] &= whole[1:]
        inner[:1] = False
        inner[-1:] = False
    return mask & ~interior


def _distances(surface: Mask, other_surface: Mask, size: list[float]) -> Float:
    """From each voxel of one surface to the nearest of the other, µm."""
    n_voxels = int(np.count_nonzero(surface))
    if n_voxels == 0 or not other_surface.any():
        return np.full(n_voxels, np.inf)
    unit = min(size)
    return np.asarray(_transform(other_surface, [side / unit for side in size])[surface] * unit)


def _transform(surface: Mask, scale: Sequence[float]) -> Float:
    """From every voxel of the array to the nearest of a surface, for voxels of these sides."""
    import edt

    squared = edt.edtsq(np.ascontiguousarray(~surface), anisotropy=tuple(float(side) for side in scale), parallel=1)
    return np.asarray(np.sqrt(squared.astype(np.float64)))
