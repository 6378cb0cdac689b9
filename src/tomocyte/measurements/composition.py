"""Refractive index and dry-mass density to concentration and dry mass.

A protein solution of concentration c has the refractive index n = n0 + α·c (Barer), so c = (n - n0) / α in g/mL, and
one g/mL is one pg/µm³. Phase images are not converted: that needs the wavelength.
"""

from __future__ import annotations

import math

from tomocyte.measurements.registry import Region, measurement

BARER = "doi:10.1038/169366b0"
NO_MEDIUM = "NaN without an image, the medium's refractive index or the structure's refraction increment α"


def _mean_concentration_g_per_ml(region: Region) -> float:
    if region.medium_ri is None or region.refraction_increment_ml_per_g is None:
        return math.nan
    return (region.summary.mean - region.medium_ri) / region.refraction_increment_ml_per_g


@measurement(is_elementwise=True, quantity="refractive_index", when_empty=NO_MEDIUM, reference=BARER)
def concentration_mg_per_ml(region: Region) -> float:
    """Mean dry-mass concentration, (mean n - n0) / α."""
    return 1000.0 * _mean_concentration_g_per_ml(region)


@measurement(
    is_elementwise=True,
    quantity="refractive_index",
    when_empty=f"{NO_MEDIUM}, and for planar images; voxels without a number count nothing",
    reference=BARER,
)
def dry_mass_pg(region: Region) -> float:
    """Dry mass, the sum of (n - n0) / α over the voxels times the voxel volume."""
    return _mean_concentration_g_per_ml(region) * region.summary.n_finite * region.voxel_volume_um3


@measurement(
    is_elementwise=True,
    quantity="dry_mass_density",
    length_power=2,
    when_empty="NaN without an image, and in 3-D volumes; pixels without a number count nothing",
)
def projected_dry_mass_pg(region: Region) -> float:
    """Dry mass of a planar image of dry-mass density in pg/µm², the sum over the pixels times the pixel area."""
    if not region.is_2d:
        return math.nan
    return region.summary.mean * region.summary.n_finite * region.pixel_area_um2
