"""All objects of a label image at once: a region whose quantities are arrays with one entry per object.

A measurement that only adds, multiplies and compares works on :class:`Regions` as on one
:class:`~tomocyte.measurements.region.Region`; it is declared with ``is_elementwise=True`` and called once per table.
To give such measurements a new quantity, add it here and to ``Region`` under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements import _object_kernels as kernels
from tomocyte.measurements._image import SLAB_PLANES, Image
from tomocyte.measurements._kernels import Integers
from tomocyte.measurements._quantiles import FRACTIONS
from tomocyte.measurements.shapes import Floats, Shapes
from tomocyte.measurements.voxel_size import OfVoxels
from tomocyte.volume import VoxelSize

VALUES_IN_MEMORY = 1 << 25


@dataclass(frozen=True, eq=False)
class Summaries:
    """The image's finite values over all objects; every array has one entry per object.

    Parameters
    ----------
    n_finite, n_nonfinite : int64 ndarray (n,)
    mean, sd : float64 ndarray (n,)
        Mean and population standard deviation of the finite values; NaN where there are none.
    quantiles : mapping of float to float64 ndarray (n,)
    """

    n_finite: Integers
    n_nonfinite: Integers
    mean: Floats
    sd: Floats
    quantiles: dict[float, Floats]


@dataclass(frozen=True, eq=False)
class Regions(OfVoxels):
    """All objects of a label image, seen on one channel.

    Parameters
    ----------
    structure : str
    shapes : Shapes
    image : array-like (C, Z, Y, X), optional
        The PHYSICAL image.
    medium_ri : float, optional
    refraction_increment_ml_per_g : float, optional
        α of this structure.
    channel : int
    """

    structure: str
    shapes: Shapes
    image: Image | None
    medium_ri: float | None = None
    refraction_increment_ml_per_g: float | None = None
    channel: int = 0

    @property
    def voxel_size_um(self) -> VoxelSize:
        """z, y, x; z is NaN for planar images."""
        return self.shapes.voxel_size_um

    @property
    def nan_where_cut(self) -> Floats:
        """NaN where an object touches the volume's border, else 1."""
        return np.where(self.shapes.is_cut, np.nan, 1.0)

    @property
    def n_voxels(self) -> Integers:
        """Number of voxels."""
        return self.shapes.n_voxels

    @property
    def box_size(self) -> tuple[Integers, Integers, Integers]:
        """Voxels z, y, x of the tight bounding boxes."""
        return self.shapes.box_size

    @property
    def n_projected_pixels(self) -> Integers:
        """Number of pixels covered seen along z."""
        return self.shapes.n_projected_pixels

    @property
    def axis_lengths_um(self) -> tuple[Floats, Floats, Floats]:
        """Axes of the ellipsoids of the same second moments, longest first."""
        return self.shapes.axis_lengths_um

    @property
    def euler_number(self) -> Integers:
        """Objects minus tunnels plus cavities."""
        return self.shapes.euler_number

    @property
    def mean_projection(self) -> Floats:
        """Mean shadow over all directions; NaN for objects that are too small."""
        return self.shapes.mean_projection

    @property
    def mesh_area(self) -> Floats:
        """Area of the triangles of marching cubes in µm²; NaN for planar images and objects that are too small."""
        return self.shapes.mesh_area

    def on_channel(self, channel: int) -> Regions:
        """The same objects seen on another channel; their shapes are shared."""
        return self if channel == self.channel else replace(self, channel=channel)

    @cached_property
    def summary(self) -> Summaries:
        """Statistics of the finite values of the channel, from one reading of the image where memory allows."""
        n = len(self.shapes.runs)
        counts, moments = np.zeros(n, np.int64), np.full((n, 2), np.nan)
        quantiles = {fraction: np.full(n, np.nan) for fraction in FRACTIONS}
        for chosen, values, bounds in self._values():
            counts[chosen], moments[chosen] = kernels.summarise_values(values, bounds)
            for fraction, found in _quantiles(values, bounds[:-1], counts[chosen]).items():
                quantiles[fraction][chosen] = found
        n_all = np.zeros(n, np.int64) if self.image is None else self.n_voxels
        sd = np.sqrt(moments[:, 1] / np.maximum(counts, 1))
        return Summaries(counts, n_all - counts, moments[:, 0], sd, quantiles)

    @property
    def quantiles(self) -> dict[float, Floats]:
        """The 5 %, 50 % and 95 % quantiles of the finite values of the channel, interpolated linearly."""
        return self.summary.quantiles

    def _values(self) -> Iterator[tuple[Integers, NDArray[Any], Integers]]:
        """Objects bottom up, the image's values over them, and where each one's begin, as many as memory allows."""
        if self.image is None:
            return
        order = np.argsort(self.shapes.boxes[:, 0], kind="stable")
        totals = np.cumsum(self.n_voxels[order])
        start = 0
        while start < len(order):
            before = totals[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(totals, before + VALUES_IN_MEMORY, side="right")))
            chosen = order[start:stop]
            bounds = np.concatenate([[0], totals[start:stop] - before])
            yield chosen, self._gathered(chosen, bounds), bounds
            start = stop

    def _gathered(self, chosen: Integers, bounds: Integers) -> NDArray[Any]:
        """The values over these objects, object by object; 32-bit floats stay so, the rest is in 64."""
        image = self.image
        runs, boxes = self.shapes.runs, self.shapes.boxes[chosen]
        low, high = int(boxes[:, 0].min()), int(boxes[:, 1].max())
        n_planes = 2 if isinstance(image, np.ndarray) else SLAB_PLANES
        next_run, places = runs.first[chosen], bounds[:-1].copy()
        values: NDArray[Any] | None = None
        for z in range(low - low % n_planes, high, n_planes):
            z_start = max(z, low)
            slab = np.asarray(image[self.channel, z_start : min(z + n_planes, high), :, :])  # type: ignore[index]
            if slab.dtype != np.float32 and slab.dtype != np.float64:
                slab = slab.astype(np.float64)
            values = np.empty(int(bounds[-1]), slab.dtype) if values is None else values
            kernels.gather_values(
                slab.reshape(-1, slab.shape[2]),
                z_start * slab.shape[1],
                chosen,
                runs.first,
                runs.rows,
                runs.starts,
                runs.stops,
                next_run,
                places,
                values,
            )
        return np.empty(0) if values is None else values


def _quantiles(values: NDArray[Any], begins: Integers, counts: Integers) -> dict[float, Floats]:
    """Quantiles with linear interpolation between neighbouring ranks (NumPy's default); the values change places."""
    places = np.maximum(np.outer(counts - 1, FRACTIONS), 0.0)
    low = np.floor(places).astype(np.int64)
    ranks = np.concatenate([low, np.ceil(places).astype(np.int64)], axis=1)
    lower, upper = np.split(kernels.order_statistics(values, begins, counts, ranks), 2, axis=1)
    found = lower + (upper - lower) * (places - low)
    return dict(zip(FRACTIONS, found.T, strict=True))
