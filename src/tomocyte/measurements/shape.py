"""Size and form of an object from its voxels; nothing here looks at the image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements.registry import Region, measurement

BLOCK_VOXELS = 1 << 21
PLANAR = "NaN for planar images, whose thickness has no meaning"
NOT_PLANAR = "NaN in 3-D volumes"


@measurement()
def n_voxels(region: Region) -> float:
    """Number of voxels (pixels)."""
    return float(region.n_voxels)


@measurement(when_empty=PLANAR)
def volume_um3(region: Region) -> float:
    """Volume, the number of voxels times the voxel volume."""
    return region.n_voxels * region.voxel_volume_um3


@measurement(when_empty=NOT_PLANAR)
def area_um2(region: Region) -> float:
    """Area in a planar image, the number of pixels times the pixel area."""
    return region.n_voxels * region.pixel_area_um2 if region.is_2d else math.nan


@measurement()
def projected_area_um2(region: Region) -> float:
    """Area of the object seen along z."""
    return float(np.count_nonzero(region.mask.any(axis=0))) * region.pixel_area_um2


@measurement(when_empty=PLANAR)
def height_um(region: Region) -> float:
    """Extent along z, from the lowest to the highest voxel inclusive."""
    return region.box_size[0] * region.voxel_size_um[0]


@measurement()
def equivalent_diameter_um(region: Region) -> float:
    """Diameter of the sphere of equal volume (planar images: of the disc of equal area)."""
    if region.is_2d:
        return math.sqrt(4.0 * region.n_voxels * region.pixel_area_um2 / math.pi)
    return math.cbrt(6.0 * region.n_voxels * region.voxel_volume_um3 / math.pi)


def _axis_lengths(region: Region) -> NDArray[np.float64]:
    """Full axes in µm, longest first, of the ellipsoid (ellipse) with the object's covariance."""
    axes = [1, 2] if region.is_2d else [0, 1, 2]
    sizes = np.array(region.voxel_size_um)[axes]
    covariance = region.moments.covariance[np.ix_(axes, axes)] * np.outer(sizes, sizes)
    # A solid ellipsoid with semi-axis a has the variance a²/5 along it, an ellipse a²/4.
    spread = np.linalg.eigvalsh(covariance)[::-1]
    lengths: NDArray[np.float64] = 2.0 * np.sqrt((len(axes) + 2) * np.maximum(spread, 0.0))
    return lengths


@measurement()
def major_axis_length_um(region: Region) -> float:
    """Longest axis of the ellipsoid (planar images: ellipse) with the same second moments."""
    return float(_axis_lengths(region)[0])


@measurement(when_empty="NaN for planar images, which have two axes")
def middle_axis_length_um(region: Region) -> float:
    """Middle axis of the ellipsoid with the same second moments."""
    return math.nan if region.is_2d else float(_axis_lengths(region)[1])


@measurement()
def minor_axis_length_um(region: Region) -> float:
    """Shortest axis of the ellipsoid (planar images: ellipse) with the same second moments."""
    return float(_axis_lengths(region)[-1])


@measurement()
def extent(region: Region) -> float:
    """Fraction of the bounding box that the object fills."""
    return region.n_voxels / math.prod(region.box_size)


@measurement()
def euler_number(region: Region) -> float:
    """Objects minus tunnels plus cavities, with voxels joined at corners: ball 1, ring 0, hollow ball 2."""
    total = 0
    last = region.mask.shape[0] - 1
    n_planes = max(1, BLOCK_VOXELS // region.mask[0].size)
    for start in range(0, last + 1, n_planes):
        # One plane below is read again, so that each vertex, edge and face is counted by the slab that starts above it.
        slab = region.mask[max(start - 1, 0) : start + n_planes]
        below = 1 if start == 0 else 0
        above = 1 if start + n_planes > last else 0
        padded = np.pad(slab, ((below, above), (1, 1), (1, 1)))
        total += _euler_of_slab(padded)
    return float(total)


def _euler_of_slab(padded: NDArray[np.bool_]) -> int:
    """Vertices - edges + faces - cubes of the voxels as closed unit cubes.

    Between two neighbouring voxels along an axis lies a face, present when either is; joining along two axes gives the
    edges, along three the vertices. ``padded`` has one plane more than there are layers between planes.
    """
    total = 0
    for is_joined_z in (True, False):
        layer = padded[:-1] | padded[1:] if is_joined_z else padded[1:]
        for is_joined_y in (True, False):
            sheet = layer[:, :-1] | layer[:, 1:] if is_joined_y else layer
            for is_joined_x in (True, False):
                cells = sheet[:, :, :-1] | sheet[:, :, 1:] if is_joined_x else sheet
                dimension = 3 - is_joined_z - is_joined_y - is_joined_x
                total += (-1) ** dimension * int(np.count_nonzero(cells))
    return total
