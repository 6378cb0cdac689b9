"""Statistics of the physical image over an object, channel by channel: finite values only, sums in float64.

The generic columns (``mean_value``, …) are in the image's own unit; where a modality's quantity has a name, a column
here carries it. Standard deviations are those of the population (divided by n).
"""

from __future__ import annotations

from tomocyte.measurements.registry import Region, measurement

NO_VALUES = "NaN without an image, and where no voxel of the object has a finite value"


@measurement(is_elementwise=True, quantity="any")
def n_nonfinite_voxels(region: Region) -> float:
    """Number of the object's voxels whose image value is NaN or infinite; all statistics leave them out."""
    return 1.0 * region.summary.n_nonfinite


@measurement(is_elementwise=True, quantity="any", unit="native", when_empty=NO_VALUES)
def mean_value(region: Region) -> float:
    """Mean of the image over the object."""
    return region.summary.mean


@measurement(is_elementwise=True, quantity="any", unit="native", when_empty=NO_VALUES)
def sd_value(region: Region) -> float:
    """Standard deviation of the image over the object."""
    return region.summary.sd


@measurement(is_elementwise=True, quantity="any", unit="native", when_empty=NO_VALUES)
def p05_value(region: Region) -> float:
    """5th percentile of the image over the object."""
    return region.quantiles[0.05]


@measurement(is_elementwise=True, quantity="any", unit="native", when_empty=NO_VALUES)
def p50_value(region: Region) -> float:
    """Median of the image over the object."""
    return region.quantiles[0.5]


@measurement(is_elementwise=True, quantity="any", unit="native", when_empty=NO_VALUES)
def p95_value(region: Region) -> float:
    """95th percentile of the image over the object."""
    return region.quantiles[0.95]


@measurement(is_elementwise=True, quantity="refractive_index", when_empty=NO_VALUES)
def mean_ri(region: Region) -> float:
    """Mean refractive index."""
    return region.summary.mean


@measurement(is_elementwise=True, quantity="refractive_index", when_empty=NO_VALUES)
def sd_ri(region: Region) -> float:
    """Standard deviation of the refractive index."""
    return region.summary.sd


@measurement(is_elementwise=True, quantity="refractive_index", when_empty=NO_VALUES)
def p05_ri(region: Region) -> float:
    """5th percentile of the refractive index."""
    return region.quantiles[0.05]


@measurement(is_elementwise=True, quantity="refractive_index", when_empty=NO_VALUES)
def p50_ri(region: Region) -> float:
    """Median refractive index."""
    return region.quantiles[0.5]


@measurement(is_elementwise=True, quantity="refractive_index", when_empty=NO_VALUES)
def p95_ri(region: Region) -> float:
    """95th percentile of the refractive index."""
    return region.quantiles[0.95]


@measurement(is_elementwise=True, quantity="phase", when_empty=NO_VALUES)
def mean_phase_rad(region: Region) -> float:
    """Mean phase."""
    return region.summary.mean


@measurement(is_elementwise=True, quantity="dry_mass_density", when_empty=NO_VALUES)
def mean_dry_mass_density_pg_per_um2(region: Region) -> float:
    """Mean dry-mass density of a planar image."""
    return region.summary.mean


@measurement(is_elementwise=True, quantity="linear_absorption_coefficient", length_power=0, when_empty=NO_VALUES)
def mean_lac_per_um(region: Region) -> float:
    """Mean linear absorption coefficient (soft X-ray)."""
    return region.summary.mean


@measurement(is_elementwise=True, quantity="intensity", unit="native", when_empty=NO_VALUES)
def mean_intensity(region: Region) -> float:
    """Mean intensity (fluorescence)."""
    return region.summary.mean


@measurement(is_elementwise=True, quantity="intensity", unit="native", when_empty=NO_VALUES)
def sd_intensity(region: Region) -> float:
    """Standard deviation of the intensity (fluorescence)."""
    return region.summary.sd


@measurement(is_elementwise=True, quantity="ratio", when_empty=NO_VALUES)
def mean_ratio(region: Region) -> float:
    """Mean of the ratio of two channels."""
    return region.summary.mean


@measurement(is_elementwise=True, quantity="ratio", when_empty=NO_VALUES)
def sd_ratio(region: Region) -> float:
    """Standard deviation of the ratio of two channels."""
    return region.summary.sd
