"""One object cut out, and everything about it that more than one measurement needs, computed once.

What follows from the mask alone is in :mod:`tomocyte.measurements.geometry`. To give measurements a new shared
quantity of the image, add a ``cached_property`` here; keep it lean, an object may fill the volume.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._image import Image
from tomocyte.measurements._kernels import Runs
from tomocyte.measurements._quantiles import FRACTIONS, quantiles
from tomocyte.measurements.geometry import Geometry
from tomocyte.measurements.voxel_size import OfVoxels
from tomocyte.volume import VoxelSize

BLOCK_VOXELS = 1 << 21


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
class Region(OfVoxels):
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
    channel : int
        The channel of the image that the statistics look at.
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
    channel: int = 0

    @cached_property
    def geometry(self) -> Geometry:
        """Position and form from the mask; the same object for all channels of the region."""
        return Geometry(self.mask, self.voxel_size_um)

    @property
    def runs(self) -> Runs:
        """The mask as runs along x: first run of each row, starts, stops."""
        return self.geometry.runs

    @property
    def n_voxels(self) -> int:
        """Number of voxels of the object."""
        return int(_only(self.geometry.shapes.n_voxels, 0))

    @property
    def centre_um(self) -> NDArray[np.float64]:
        """(3,): centre z, y, x in µm in the volume, where voxel 0 lies at 0 µm; z is NaN for planar images."""
        in_box = _only(self.geometry.shapes.centre, np.full(3, np.nan))
        centre: NDArray[np.float64] = (np.array(self.corner) + in_box) * np.array(self.voxel_size_um)
        return centre

    @property
    def box_size(self) -> tuple[int, int, int]:
        """Voxels z, y, x of the tight bounding box; zeros for an empty mask."""
        z, y, x = (int(_only(side, 0)) for side in self.geometry.shapes.box_size)
        return z, y, x

    @property
    def nan_where_cut(self) -> float:
        """NaN when the object touches the volume's border, else 1."""
        return math.nan if self.is_cut else 1.0

    @property
    def n_projected_pixels(self) -> int:
        """Number of pixels covered seen along z."""
        return int(_only(self.geometry.shapes.n_projected_pixels, 0))

    @property
    def axis_lengths_um(self) -> tuple[float, float, float]:
        """Full axes in µm, longest first, of the ellipsoid (ellipse: two, the third is NaN) of the same covariance."""
        first, second, third = (float(_only(each, math.nan)) for each in self.geometry.shapes.axis_lengths_um)
        return first, second, third

    @property
    def euler_number(self) -> int:
        """Objects minus tunnels plus cavities, with voxels joined at corners."""
        return int(_only(self.geometry.shapes.euler_number, 0))

    @property
    def mean_projection(self) -> float:
        """Mean shadow over all directions in µm² (planar images: in the plane, µm), free of the border's cut.

        NaN for an object that is too small.
        """
        return float(_only(self.geometry.shapes.mean_projection, math.nan))

    @property
    def mesh_area(self) -> float:
        """Area of the triangles of marching cubes in µm²; NaN for planar images and objects that are too small."""
        return float(_only(self.geometry.shapes.mesh_area, math.nan))

    def on_channel(self, channel: int) -> Region:
        """The same object seen on another channel; its geometry is shared, not computed again."""
        if channel == self.channel:
            return self
        other = replace(self, channel=channel)
        other.__dict__["geometry"] = self.geometry
        return other

    def value_blocks(self, channel: int | None = None) -> Iterator[NDArray[Any]]:
        """The physical values of the object's voxels, NaN included, in pieces of a few million, C order.

        Parameters
        ----------
        channel : int, optional
            By default the region's own.
        """
        if self.image is None:
            return
        channel_index = self.channel if channel is None else channel
        n_planes = max(1, BLOCK_VOXELS // max(1, self.mask[0].size))
        for start in range(0, self.mask.shape[0], n_planes):
            planes = slice(start, start + n_planes)
            yield np.asarray(self.image[channel_index, planes, :, :])[self.mask[planes]]

    @cached_property
    def summary(self) -> Summary:
        """Statistics of the finite values of the region's channel, summed in float64."""
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
        """The 5 %, 50 % and 95 % quantiles of the finite values of the region's channel, interpolated linearly."""
        return quantiles(self.value_blocks, FRACTIONS, self.summary.n_finite)


def _only(values: NDArray[Any], if_empty: Any) -> Any:
    """The value of a mask, which is the only object of its box; another where the mask is empty."""
    return values[0] if len(values) else if_empty


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    wide = values.astype(np.float64)
    is_finite = np.isfinite(wide)
    return wide if is_finite.all() else wide[is_finite]
