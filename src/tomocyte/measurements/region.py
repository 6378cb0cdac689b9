"""One object cut out, and everything about it that more than one measurement needs, computed once.

To give measurements a new shared quantity, add a ``cached_property`` here; keep it lean, an object may fill the volume.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._crofton import mean_projection
from tomocyte.measurements._image import Image
from tomocyte.measurements._kernels import Runs, row_runs, run_moments
from tomocyte.measurements._quantiles import quantiles
from tomocyte.volume import VoxelSize

BLOCK_VOXELS = 1 << 21


@dataclass(frozen=True)
class Moments:
    """Sums over an object's voxels.

    Parameters
    ----------
    n_voxels : int
    centre : float64 ndarray (3,)
        Mean voxel index z, y, x in the region's box.
    covariance : float64 ndarray (3, 3)
        Of the position, in voxels², of the solid voxels (a single voxel has 1/12 along each axis).
    """

    n_voxels: int
    centre: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """The image's finite values over an object.

    Parameters
    ----------
    n_finite, n_nonfinite : int
        Voxels with a number, and voxels that are NaN or infinite.
    mean, sd : float
        Mean and population standard deviation of the finite values; NaN when there are none.
    """

    n_finite: int
    n_nonfinite: int
    mean: float
    sd: float


@dataclass(frozen=True)
class Region:
    """One object cut out, for measuring.

    Parameters
    ----------
    structure : str
    label : int
    mask : bool ndarray (z, y, x)
        The object, cropped to its bounding box plus one empty voxel where the volume allows.
    image : array-like (C, z, y, x), optional
        The PHYSICAL image in the same box; ``None`` when there is none.
    voxel_size_um : tuple of 3 float
        z, y, x; z is NaN for planar images.
    corner : tuple of 3 int
        First voxel z, y, x of the box in the volume.
    is_cut : bool
        Whether the object touches the volume's border (its volume is then a lower bound).
    medium_ri : float, optional
    refraction_increment_ml_per_g : float, optional
        α of this structure.
    """

    structure: str
    label: int
    mask: NDArray[np.bool_]
    image: Image | None
    voxel_size_um: VoxelSize
    corner: tuple[int, int, int] = (0, 0, 0)
    is_cut: bool = False
    medium_ri: float | None = None
    refraction_increment_ml_per_g: float | None = None

    @property
    def is_2d(self) -> bool:
        """Whether the object lies in a planar image whose thickness has no meaning."""
        return math.isnan(self.voxel_size_um[0])

    @property
    def voxel_volume_um3(self) -> float:
        """Volume of one voxel in µm³; NaN for planar images."""
        return self.voxel_size_um[0] * self.voxel_size_um[1] * self.voxel_size_um[2]

    @property
    def pixel_area_um2(self) -> float:
        """Area of one pixel in the xy plane in µm²."""
        return self.voxel_size_um[1] * self.voxel_size_um[2]

    @cached_property
    def runs(self) -> Runs:
        """The mask as runs along x: first run of each row, starts, stops."""
        runs: Runs = row_runs(np.ascontiguousarray(self.mask))
        return runs

    @cached_property
    def moments(self) -> Moments:
        """Number of voxels, centre and covariance, from exact integer sums."""
        n, *sums = (int(value) for value in run_moments(self.mask.shape[1], *self.runs))
        if n == 0:
            return Moments(0, np.full(3, np.nan), np.full((3, 3), np.nan))
        first, second = sums[:3], sums[3:]
        covariance = np.empty((3, 3))
        for (row, column), total in zip(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), second, strict=True):
            # Python integers: the difference of two large sums is exact.
            value = (n * total - first[row] * first[column]) / (n * n)
            covariance[row, column] = covariance[column, row] = value + (1 / 12 if row == column else 0.0)
        return Moments(n, np.array([value / n for value in first]), covariance)

    @property
    def n_voxels(self) -> int:
        """Number of voxels of the object."""
        return self.moments.n_voxels

    @cached_property
    def box_size(self) -> tuple[int, int, int]:
        """Voxels z, y, x of the tight bounding box; zeros for an empty mask."""
        first, starts, stops = self.runs
        if starts.size == 0:
            return 0, 0, 0
        occupied = (np.diff(first) > 0).reshape(self.mask.shape[:2])
        z = np.flatnonzero(occupied.any(axis=1))
        y = np.flatnonzero(occupied.any(axis=0))
        return int(z[-1] - z[0] + 1), int(y[-1] - y[0] + 1), int(stops.max() - starts.min())

    @cached_property
    def cut_sides(self) -> NDArray[np.bool_]:
        """(3, 2): whether the object is cut by the low and the high border along z, y, x.

        The box has an empty margin wherever the volume goes on, so an object voxel on the box's face lies at the
        border. A planar image has no border along z: nothing is known there.
        """
        faces = [[bool(self.mask.take(end, axis=axis).any()) for end in (0, -1)] for axis in range(3)]
        if self.is_2d:
            faces[0] = [False, False]
        return np.array(faces, dtype=np.bool_)

    @cached_property
    def mean_projection(self) -> float:
        """Mean shadow over all directions in µm² (planar images: in the plane, µm), free of the border's cut."""
        return mean_projection(self.mask.shape[:3], self.runs, self.cut_sides, self.voxel_size_um, is_2d=self.is_2d)

    def value_blocks(self, channel: int = 0) -> Iterator[NDArray[Any]]:
        """The physical values of the object's voxels, NaN included, in pieces of a few million, C order."""
        if self.image is None:
            return
        n_planes = max(1, BLOCK_VOXELS // max(1, self.mask[0].size))
        for start in range(0, self.mask.shape[0], n_planes):
            planes = slice(start, start + n_planes)
            yield np.asarray(self.image[channel, planes, :, :])[self.mask[planes]]

    @cached_property
    def summary(self) -> Summary:
        """Statistics of the finite values of channel 0, summed in float64."""
        sums: list[float] = []
        n_finite = n_all = 0
        for block in self.value_blocks():
            finite = _finite(block)
            n_all += block.size
            n_finite += finite.size
            sums.append(float(finite.sum()))
        if n_finite == 0:
            return Summary(0, n_all, math.nan, math.nan)
        mean = math.fsum(sums) / n_finite
        squares = math.fsum(float(np.square(_finite(block) - mean).sum()) for block in self.value_blocks())
        return Summary(n_finite, n_all - n_finite, mean, math.sqrt(squares / n_finite))

    @cached_property
    def quantiles(self) -> dict[float, float]:
        """The 5 %, 50 % and 95 % quantiles of the finite values of channel 0, interpolated linearly."""
        return quantiles(self.value_blocks, (0.05, 0.5, 0.95), self.summary.n_finite)


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    wide = values.astype(np.float64)
    good = np.isfinite(wide)
    return wide if good.all() else wide[good]
