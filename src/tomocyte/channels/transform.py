"""Where one channel lies on another: shift, rotation about z, magnification per axis, and perhaps a local warp.

A place of the reference, counted in µm from the centre of the field, is found in the moving channel at
``translation + magnification * rotated(place) + warp(place)``. To let a transform do more, add it in
:meth:`ChannelTransform.places` and keep fields with defaults, so that files of earlier versions still apply.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from tomocyte.errors import MetadataError
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

Triple = tuple[float, float, float]
FREE_PLANES = 0.02
"""A shift along z by a smaller part of a plane moves nothing along z."""
SLAB_VOXELS = 2_000_000


class LocalWarp(Settings):
    """Further shifts along y and x, the same in all planes, on a grid of places that covers the field."""

    shift_y_um: tuple[tuple[float, ...], ...]
    """Rows of the grid, from the first to the last row of voxels."""
    shift_x_um: tuple[tuple[float, ...], ...]
    """The same along x."""

    @field_validator("shift_y_um", "shift_x_um")
    @classmethod
    def _is_a_grid(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if len(rows) < 2 or len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
            raise ValueError("rows of equal length are needed, at least 2 x 2 places")
        if not all(math.isfinite(value) for row in rows for value in row):
            raise ValueError("a shift is not finite")
        return rows


class ChannelTransform(Settings):
    """How a moving channel is laid on the reference."""

    translation_um: Triple = (0.0, 0.0, 0.0)
    """Shift z, y, x."""
    rotation_deg: float = Field(default=0.0, gt=-180, le=180)
    """Rotation about z in the centre of the field; positive from x towards y."""
    magnification: Triple = (1.0, 1.0, 1.0)
    """How much larger the moving channel is along z, y, x."""
    warp: LocalWarp | None = None
    """What remains locally."""

    @field_validator("translation_um", "magnification")
    @classmethod
    def _is_finite(cls, values: Triple) -> Triple:
        if not all(math.isfinite(value) for value in values):
            raise ValueError("is not finite")
        return values

    @field_validator("magnification")
    @classmethod
    def _is_near_one(cls, values: Triple) -> Triple:
        if not all(0.5 <= value <= 2 for value in values):
            raise ValueError("a channel is at most twice as large as another")
        return values

    def linear(self) -> NDArray[np.float64]:
        """Rotation, then magnification, as a matrix (3, 3) for places (z, y, x)."""
        angle = math.radians(self.rotation_deg)
        turned = np.eye(3)
        turned[1:, 1:] = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
        product: NDArray[np.float64] = np.diag(self.magnification) @ turned
        return product

    def places(self, places_um: NDArray[np.float64], extent_um: Triple) -> NDArray[np.float64]:
        """Places of the reference (3, …) as places of the moving channel, µm from the centre.

        Parameters
        ----------
        places_um : ndarray (3, …), float64
        extent_um : tuple of 3 float
            From the first to the last voxel's centre along z, y, x; the warp's grid spans it.
        """
        flat = places_um.reshape(3, -1)
        moved: NDArray[np.float64] = self.linear() @ flat + np.array(self.translation_um)[:, None]
        if self.warp is not None:
            moved[1:] += _warp_at(self.warp, flat[1:], extent_um[1:])
        return moved.reshape(places_um.shape)


def _warp_at(warp: LocalWarp, flat: NDArray[np.float64], extent_um: tuple[float, float]) -> NDArray[np.float64]:
    """The grid's shifts (2, n) at places (2, n), linear between its places."""
    from scipy.ndimage import map_coordinates

    shape = (len(warp.shift_y_um), len(warp.shift_y_um[0]))
    index = np.stack(
        [(part / max(extent, 1e-9) + 0.5) * (n - 1) for part, extent, n in zip(flat, extent_um, shape, strict=True)]
    )
    grids = (np.array(warp.shift_y_um), np.array(warp.shift_x_um))
    return np.stack([map_coordinates(grid, index, order=1, mode="nearest") for grid in grids])


def apply_transform(moving: NDArray[Any], transform: ChannelTransform, voxel_size_um: VoxelSize) -> NDArray[np.float32]:
    """A channel laid on the reference.

    Parameters
    ----------
    moving : ndarray (Z, Y, X), real
        Of the same size and voxels as the reference. Not changed.
    transform : ChannelTransform
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane, which does not move along z.

    Returns
    -------
    ndarray (Z, Y, X), float32
        Cubic interpolation, within the range of the image's values; NaN where the moving channel saw nothing (a voxel
        sees half its width beyond its centre).

    Examples
    --------
    >>> image = np.zeros((1, 5, 6), np.uint8)
    >>> image[0, 2, 4] = 9
    >>> moved = apply_transform(image, ChannelTransform(translation_um=(0, 0, 0.2)), (float("nan"), 0.2, 0.2))
    >>> moved[0, 2].round().tolist()
    [0.0, 0.0, 0.0, 9.0, 0.0, nan]
    """
    from scipy.ndimage import map_coordinates, spline_filter

    shape = moving.shape
    size = np.array([1.0 if math.isnan(part) else part for part in voxel_size_um])
    centre = (np.array(shape) - 1) / 2
    extent = tuple(float(part) for part in (np.array(shape) - 1) * size)
    is_flat = shape[0] == 1 or (
        abs(transform.translation_um[0]) < FREE_PLANES * size[0] and abs(transform.magnification[0] - 1) < 1e-6
    )
    image = np.asarray(moving, dtype=np.float32)
    is_missing = ~np.isfinite(image)
    low = float(np.min(image, where=~is_missing, initial=np.inf))
    high = float(np.max(image, where=~is_missing, initial=-np.inf))
    result = np.full(shape, np.nan, dtype=np.float32)
    if not low <= high:
        return result
    image = np.where(is_missing, np.float32(low), image)
    axes = (1, 2) if is_flat else (0, 1, 2)
    rows = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")).astype(np.float64)
    in_plane = (rows - centre[1:, None, None]) * size[1:, None, None]
    if is_flat:
        filtered = [spline_filter(plane, order=3, output=np.float32, mode="mirror") for plane in image]
    else:
        whole = spline_filter(image, order=3, output=np.float32, mode="mirror")
    for z in range(shape[0]):
        places = np.concatenate([np.full((1, *shape[1:]), (z - centre[0]) * size[0]), in_plane])
        moved = transform.places(places, (extent[0], extent[1], extent[2]))
        index = moved / size[:, None, None] + centre[:, None, None]
        is_inside = np.ones(shape[1:], dtype=bool)
        for axis in axes:
            is_inside &= (index[axis] >= -0.5) & (index[axis] <= shape[axis] - 0.5)
        source, where = (filtered[z], index[1:]) if is_flat else (whole, index)
        plane = map_coordinates(source, where, order=3, mode="mirror", prefilter=False, output=np.float32)
        result[z][is_inside] = np.clip(plane[is_inside], low, high)
        if is_missing.any():
            nearest = map_coordinates(
                is_missing[z] if is_flat else is_missing, where, order=0, mode="nearest", output=np.uint8
            )
            result[z][nearest > 0] = np.nan
    return result


def check_same_size(reference: NDArray[Any], moving: NDArray[Any]) -> None:
    """Refuse channels that cannot lie on each other.

    Raises
    ------
    MetadataError
        ``E-CHANNEL-SHAPE``.
    """
    if reference.shape != moving.shape or reference.ndim != 3:
        sizes = (" x ".join(map(str, channel.shape)) or "no" for channel in (reference, moving))
        raise MetadataError(
            "E-CHANNEL-SHAPE",
            f"channels of {' and of '.join(sizes)} voxels do not lie on each other.",
            cure="Give channels (Z, Y, X) of the same size, as one camera or two equal ones record them.",
        )
