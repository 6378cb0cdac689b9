"""Size and form of an object from its voxels; nothing here looks at the image."""

from __future__ import annotations

import math

from tomocyte.measurements.registry import Region, measurement

PLANAR = "NaN for planar images, whose thickness has no meaning"
NOT_PLANAR = "NaN in 3-D volumes"


@measurement(is_elementwise=True)
def n_voxels(region: Region) -> float:
    """Number of voxels (pixels)."""
    return 1.0 * region.n_voxels


@measurement(is_elementwise=True, when_empty=PLANAR)
def volume_um3(region: Region) -> float:
    """Volume, the number of voxels times the voxel volume."""
    return region.n_voxels * region.voxel_volume_um3


@measurement(is_elementwise=True, when_empty=NOT_PLANAR)
def area_um2(region: Region) -> float:
    """Area in a planar image, the number of pixels times the pixel area."""
    return region.n_voxels * region.pixel_area_um2 if region.is_2d else math.nan


@measurement(is_elementwise=True)
def projected_area_um2(region: Region) -> float:
    """Area of the object seen along z."""
    return region.n_projected_pixels * region.pixel_area_um2


@measurement(is_elementwise=True, when_empty=PLANAR)
def height_um(region: Region) -> float:
    """Extent along z, from the lowest to the highest voxel inclusive."""
    return region.box_size[0] * region.voxel_size_um[0]


@measurement(is_elementwise=True)
def equivalent_diameter_um(region: Region) -> float:
    """Diameter of the sphere of equal volume (planar images: of the disc of equal area)."""
    square, cube = 4.0 * region.n_voxels * region.pixel_area_um2 / math.pi, 6.0 * region.n_voxels / math.pi
    diameter: float = square ** (1 / 2) if region.is_2d else (cube * region.voxel_volume_um3) ** (1 / 3)
    return diameter


@measurement(is_elementwise=True)
def major_axis_length_um(region: Region) -> float:
    """Longest axis of the ellipsoid (planar images: ellipse) with the same second moments."""
    return region.axis_lengths_um[0]


@measurement(is_elementwise=True, when_empty="NaN for planar images, which have two axes")
def middle_axis_length_um(region: Region) -> float:
    """Middle axis of the ellipsoid with the same second moments."""
    return math.nan if region.is_2d else region.axis_lengths_um[1]


@measurement(is_elementwise=True)
def minor_axis_length_um(region: Region) -> float:
    """Shortest axis of the ellipsoid (planar images: ellipse) with the same second moments."""
    return region.axis_lengths_um[1 if region.is_2d else 2]


@measurement(is_elementwise=True)
def extent(region: Region) -> float:
    """Fraction of the bounding box that the object fills."""
    return region.n_voxels / math.prod(region.box_size)


@measurement(is_elementwise=True)
def euler_number(region: Region) -> float:
    """Objects minus tunnels plus cavities, with voxels joined at corners: ball 1, ring 0, hollow ball 2."""
    return 1.0 * region.euler_number
