"""Which voxels of a frame a drawn shape covers: box, ball, polygon, or voxels one by one.

A voxel is covered when its centre is. To add a shape, add it to :class:`tomocyte.corrections.edits.Shape` and
here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import Ball, Polygon, Shape
from tomocyte.corrections.edits import Box as BoxShape
from tomocyte.errors import InputError
from tomocyte.volume import VoxelSize

Slices = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]
Labels = NDArray[np.unsignedinteger[Any]]
ROUNDING = 1e-6
"""In voxels: a centre on a shape's surface is inside, whatever the rounding of its position in µm."""


@dataclass(frozen=True)
class Covered:
    """The voxels of a shape.

    Parameters
    ----------
    box : tuple of 3 slice
        Part of the frame.
    mask : ndarray, bool, of the box's shape
    labels : ndarray, uint32, of the box's shape, or None
        Labels of the shape's own.
    """

    box: Slices
    mask: Mask
    labels: Labels | None = None


def cover(shape: Shape, frame_shape: tuple[int, int, int], voxel_size_um: VoxelSize) -> Covered:
    """The voxels of a frame that a shape covers.

    Parameters
    ----------
    shape : Shape
        Images must have been replaced by their voxels.
    frame_shape : tuple of 3 int
    voxel_size_um : tuple of 3 float
        z may be NaN for a single plane.

    Raises
    ------
    InputError
        ``E-EDIT-OUTSIDE``: it covers no voxel of the frame. ``E-EDIT-SHAPE``: voxels of a frame of another shape.
        ``E-EDIT-IMAGE``: an image that has not been read.

    Examples
    --------
    >>> ball = Shape.model_validate({"ball": {"centre": {"voxel": [0, 2, 2]}, "radius_um": 0.5}})
    >>> cover(ball, (1, 5, 5), (float("nan"), 0.5, 0.5)).mask.astype(int).tolist()
    [[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
    """
    if shape.voxels is not None:
        if shape.voxels.shape != frame_shape:
            raise InputError(
                "E-EDIT-SHAPE", f"its voxels belong to a frame of {shape.voxels.shape}, this one has {frame_shape}."
            )
        covered = Covered(*shape.voxels.paint())
    elif shape.box is not None:
        covered = _box(shape.box, frame_shape, voxel_size_um)
    elif shape.ball is not None:
        covered = _ball(shape.ball, frame_shape, voxel_size_um)
    elif shape.polygon is not None:
        covered = _polygon(shape.polygon, frame_shape, voxel_size_um)
    else:
        raise InputError("E-EDIT-IMAGE", "its image has not been read.", cure="Load the edits with load_edits().")
    if not covered.mask.any():
        raise InputError("E-EDIT-OUTSIDE", "its shape covers no voxel of the frame.", cure="Check its place and unit.")
    return covered


def clipped(ranges: list[tuple[float, float]], frame_shape: tuple[int, int, int]) -> Slices:
    """Voxels whose indices lie in closed ranges, as far as the frame reaches."""
    slices = []
    for (low, high), size in zip(ranges, frame_shape, strict=True):
        start = min(max(math.ceil(low - ROUNDING), 0), size)
        slices.append(slice(start, max(start, min(math.floor(high + ROUNDING) + 1, size))))
    return (slices[0], slices[1], slices[2])


def _in_voxels(values_um: tuple[float, ...], voxel_size_um: VoxelSize) -> list[float]:
    sizes = (math.inf if math.isnan(size) else size for size in voxel_size_um)
    return [value / size for value, size in zip(values_um, sizes, strict=True)]


def _box(box: BoxShape, frame_shape: tuple[int, int, int], voxel_size_um: VoxelSize) -> Covered:
    low, high = (
        corner.voxel or _in_voxels(corner.position_um(voxel_size_um), voxel_size_um) for corner in (box.low, box.high)
    )
    slices = clipped(list(zip(low, high, strict=True)), frame_shape)
    return Covered(slices, np.ones([side.stop - side.start for side in slices], dtype=bool))


def _ball(ball: Ball, frame_shape: tuple[int, int, int], voxel_size_um: VoxelSize) -> Covered:
    centre = ball.centre.position_um(voxel_size_um)
    sizes = [0.0 if math.isnan(size) else size for size in voxel_size_um]
    ranges = [
        ((at - ball.radius_um) / size, (at + ball.radius_um) / size) if size else (0.0, 0.0)
        for at, size in zip(centre, sizes, strict=True)
    ]
    slices = clipped(ranges, frame_shape)
    axes = [
        (np.arange(side.start, side.stop) * size - at) ** 2
        for side, size, at in zip(slices, sizes, centre, strict=True)
    ]
    distance = axes[0][:, None, None] + axes[1][:, None] + axes[2]
    return Covered(slices, distance <= (ball.radius_um * (1 + ROUNDING)) ** 2)


def _polygon(polygon: Polygon, frame_shape: tuple[int, int, int], voxel_size_um: VoxelSize) -> Covered:
    from skimage.draw import polygon as draw_polygon

    corners = np.asarray(polygon.corners, dtype=np.float64)
    if polygon.unit == "um":
        corners = corners / np.asarray(voxel_size_um[1:])
    ranges = [tuple(map(float, polygon.planes)), *zip(corners.min(axis=0), corners.max(axis=0), strict=True)]
    slices = clipped([(low, high) for low, high in ranges], frame_shape)
    shape = [side.stop - side.start for side in slices]
    flat = np.zeros(shape[1:], dtype=bool)
    rows, columns = draw_polygon(
        corners[:, 0] - slices[1].start, corners[:, 1] - slices[2].start, shape=(shape[1], shape[2])
    )
    flat[rows, columns] = True
    return Covered(slices, np.broadcast_to(flat, shape))
