"""Confidence of objects, and intervals on their volume and dry mass.

Every figure comes from :class:`ObjectSums`: sums of calibrated probability over an object and its surroundings. To give
objects another figure, compute it from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.voxels import Byte, Levels, along, axis_places, probability_at
from tomocyte.errors import SettingsError
from tomocyte.labels.extents import label_extents
from tomocyte.volume import VoxelSize

Float = NDArray[np.float64]
Labels = NDArray[np.unsignedinteger[Any]]

INTERVAL_LEVEL = 0.9
"""Share of matched objects whose true value lies between the two ends of an interval."""
REACH_SHARE = 0.5
SHORTEST_REACH_UM, LONGEST_REACH_UM = 0.4, 1.0
"""How far around an object its missing voxels are sought: half its equivalent radius, within these bounds."""
SMALLEST_UNCERTAINTY = 0.01


class ExpectedChange(NamedTuple):
    """How the true volume or mass of each object is expected to differ from the segmented one.

    Parameters
    ----------
    log_ratio : ndarray (n,), float64
        ln(true / segmented) to expect; NaN where it is unknown.
    uncertainty : ndarray (n,), float64, >= 0.01
        E|S△T| / |S|: the expected error of the mask, as a share of the object; NaN where it is unknown.
    """

    log_ratio: Float
    uncertainty: Float


@dataclass(frozen=True)
class ObjectSums:
    """Sums of calibrated probability over each object and its surroundings.

    Parameters
    ----------
    label : ndarray (n,), int64
        Ascending.
    n_voxels, inside, near : ndarray (n,), float64
        Voxels of the object, their probabilities' sum, and that of the free voxels around it.
    mass, mass_inside, mass_near : ndarray (n,), float64
        The same three weighted with a voxel's value above the medium; NaN without an image or a medium.
    """

    label: NDArray[np.int64]
    n_voxels: Float
    inside: Float
    near: Float
    mass: Float
    mass_inside: Float
    mass_near: Float

    @property
    def confidence(self) -> Float:
        """The IoU to expect of each object, E|S∩T| / E|S∪T|; in [0, 1].

        References
        ----------
        Borges et al., arXiv:2402.10665 (2024), the same for Dice and whole images.
        """
        return np.asarray(self.inside / (self.n_voxels + self.near))

    def volume_change(self) -> ExpectedChange:
        """Of the volume."""
        return _change(self.n_voxels, self.inside, self.near)

    def mass_change(self) -> ExpectedChange:
        """Of the dry mass; NaN without an image or a medium."""
        return _change(self.mass, self.mass_inside, self.mass_near)


def _change(total: Float, inside: Float, near: Float) -> ExpectedChange:
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.log((inside + near) / total)
        uncertainty = np.maximum((total - inside + near) / total, SMALLEST_UNCERTAINTY)
    is_finite = np.isfinite(expected) & np.isfinite(uncertainty)
    return ExpectedChange(np.where(is_finite, expected, np.nan), np.where(is_finite, uncertainty, np.nan))


def change_score(true_ratio: Float, change: ExpectedChange) -> Float:
    """How many uncertainties the true value is from the expected one; intervals are learned from these scores.

    Parameters
    ----------
    true_ratio : ndarray (n,), float64, > 0
        True over segmented volume (or mass).
    change : ExpectedChange
        From :meth:`ObjectSums.volume_change`.
    """
    return np.asarray((np.log(true_ratio) - change.log_ratio) / change.uncertainty)


def interval(value: Float, change: ExpectedChange, ends: tuple[float, float] | None) -> tuple[Float, Float]:
    """Where the true volume or mass lies in 9 of 10 matched objects.

    Parameters
    ----------
    value : ndarray (n,), float64
        As segmented, in any unit.
    change : ExpectedChange
        From :meth:`ObjectSums.volume_change` or :meth:`ObjectSums.mass_change`.
    ends : tuple of 2 float, optional
        From the model's card; without them both ends are NaN.

    Returns
    -------
    low, high : ndarray (n,), float64
        Same unit; ``value`` itself may lie outside when the network is known to be biased.

    References
    ----------
    Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), doi:10.1080/01621459.2017.1307116: locally weighted split
    conformal intervals; Romano et al., Adv. Neural Inf. Process. Syst. 32 (2019), arXiv:1905.03222: one end at a time.

    Examples
    --------
    >>> change = ExpectedChange(np.array([0.0]), np.array([0.1]))
    >>> [end.round(2).tolist() for end in interval(np.array([100.0]), change, (-1.0, 2.0))]
    [[90.48], [122.14]]
    """
    if ends is None:
        return np.full(len(value), np.nan), np.full(len(value), np.nan)
    low, high = (value * np.exp(change.log_ratio + end * change.uncertainty) for end in ends)
    is_usable = np.isfinite(low) & np.isfinite(high) & (value > 0)
    return np.where(is_usable, low, np.nan), np.where(is_usable, high, np.nan)


def sum_over_objects(
    labels: Labels,
    probability: Byte,
    levels: Levels,
    voxel_size_um: VoxelSize,
    *,
    image: NDArray[np.float32] | None = None,
    medium: float | None = None,
) -> ObjectSums:
    """Sum the probability of a structure over each of its objects and over the free voxels around.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        0 = background; labels may have gaps.
    probability : ndarray (z, y, x), uint8
        round(255 p) of this structure on the network's grid, which covers the same extent; read linearly in between.
    levels : ndarray (256,), float32
        From :func:`calibrated_levels`.
    voxel_size_um : tuple of 3 float
        Of the labels; z may be NaN for a single plane.
    image : ndarray (Z, Y, X), float32, optional
        Physical values; NaN count as 0.
    medium : float, optional
        Value outside the cells, in the image's unit.

    Returns
    -------
    ObjectSums
        A free voxel near two objects counts for both.

    Raises
    ------
    SettingsError
        ``E-SHAPE``.

    Examples
    --------
    >>> from tomocyte.confidence.voxels import calibrated_levels
    >>> labels = np.zeros((1, 1, 6), np.uint8)
    >>> labels[0, 0, 2:4] = 5
    >>> p = np.array([[[0, 51, 204, 255, 51, 0]]], np.uint8)
    >>> sums = sum_over_objects(labels, p, calibrated_levels(None), (float("nan"), 1.0, 0.3))
    >>> sums.label.tolist(), sums.inside.round(3).tolist(), sums.near.round(3).tolist()
    ([5], [1.8], [0.4])
    """
    if labels.ndim != 3 or probability.ndim != 3 or (image is not None and image.shape != labels.shape):
        raise SettingsError("E-SHAPE", f"labels {labels.shape} and probability {probability.shape} do not match.")
    extents = label_extents(labels)
    present = np.flatnonzero(extents.n_voxels[1:]) + 1
    spacing = [1.0 if math.isnan(size) else float(size) for size in voxel_size_um]
    places = [axis_places(n, m) for n, m in zip(labels.shape, probability.shape, strict=True)]
    has_mass = image is not None and medium is not None and math.isfinite(medium)
    sums = np.full((len(present), 6), np.nan)
    for row, label in enumerate(present):
        reach = _reach_um(int(extents.n_voxels[label]), spacing, is_2d=labels.shape[0] == 1)
        box = _widened(extents.lower[label], extents.upper[label], labels.shape, [reach / side for side in spacing])
        role = _roles(labels[box], int(label), spacing, reach)
        within = tuple(along(axis, side.start, side.stop) for axis, side in zip(places, box, strict=True))
        held = image[box] if has_mass and image is not None else np.empty((0, 0, 0), np.float32)
        sums[row] = _sums(role, probability, levels, within, held, medium or 0.0)
        if not has_mass:
            sums[row, 3:] = np.nan
    return ObjectSums(present.astype(np.int64), *(np.ascontiguousarray(column) for column in sums.T))


def _reach_um(n_voxels: int, spacing: list[float], *, is_2d: bool) -> float:
    size = n_voxels * math.prod(spacing[1:] if is_2d else spacing)
    radius = math.sqrt(size / math.pi) if is_2d else (3 * size / (4 * math.pi)) ** (1 / 3)
    return min(max(REACH_SHARE * radius, SHORTEST_REACH_UM), LONGEST_REACH_UM)


def _widened(
    lower: NDArray[np.int64], upper: NDArray[np.int64], shape: tuple[int, ...], margin: list[float]
) -> tuple[slice, slice, slice]:
    sides = [
        slice(max(int(low) - math.ceil(more), 0), min(int(high) + math.ceil(more), size))
        for low, high, size, more in zip(lower, upper, shape, margin, strict=True)
    ]
    return sides[0], sides[1], sides[2]


def _roles(labels: Labels, label: int, spacing: list[float], reach_um: float) -> Byte:
    """1 on the object, 2 on free voxels within reach, 0 elsewhere."""
    import edt

    is_object = labels == labels.dtype.type(label)
    distance = edt.edt(~is_object, anisotropy=spacing, parallel=1)
    # A little more than the reach, so that equal means equal in float32.
    role = np.zeros(labels.shape, dtype=np.uint8)
    role[(labels == 0) & (distance <= reach_um * 1.0001)] = 2
    role[is_object] = 1
    return role


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _sums(role: Byte, probability: Byte, levels: Levels, places: Any, image: Any, medium: float) -> Float:
    along_z, along_y, along_x = places
    sums = np.zeros(6)
    has_image = image.size > 0
    for i in range(role.shape[0]):
        z = (along_z[0][i], along_z[1][i], along_z[2][i])
        for j in range(role.shape[1]):
            y = (along_y[0][j], along_y[1][j], along_y[2][j])
            for k in range(role.shape[2]):
                if role[i, j, k] == 0:
                    continue
                p = probability_at(probability, levels, z, y, (along_x[0][k], along_x[1][k], along_x[2][k]))
                held = 0.0
                if has_image and np.isfinite(image[i, j, k]):
                    held = max(0.0, image[i, j, k] - medium)
                if role[i, j, k] == 1:
                    sums[0] += 1
                    sums[1] += p
                    sums[3] += held
                    sums[4] += p * held
                else:
                    sums[2] += p
                    sums[5] += p * held
    return sums
