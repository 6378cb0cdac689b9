"""The optics of a microscope as numbers: apertures, wavelengths, beams; what they resolve and what they cannot be.

Settings that no light can follow (an aperture wider than the medium's refractive index, a voxel too coarse for the
band) are refused by :func:`check_odt` and :func:`check_qpi`. The microscopes themselves are rows in
:mod:`tomocyte.simulation.instruments`.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize, check_voxel_size

SMALLEST_MEDIUM_RI, LARGEST_MEDIUM_RI = 1.0, 2.0
NYQUIST_TOLERANCE = 1.001


class OdtInstrument(Settings):
    """An optical diffraction tomograph."""

    name: str = "custom"
    """Stands on the card of what it simulated."""
    geometry: Literal["limited-angle", "rotation"] = "limited-angle"
    """Illumination steered over a still cell, or a cell rotated about the y axis under normal illumination."""
    wavelength_um: float = Field(default=0.532, gt=0.2, lt=2.0)
    """Vacuum wavelength λ in µm."""
    objective_na: float = Field(default=1.2, gt=0.05, lt=1.7)
    """Numerical aperture of the detection objective."""
    illumination_polar_deg: float = Field(default=64.5, ge=0, lt=90)
    """Polar angle of the oblique beams in degrees, stated inside ``illumination_ri`` (limited-angle only)."""
    illumination_ri: float = Field(default=1.3295, ge=1.0, le=2.0)
    """Refractive index in which the polar angle is stated; the transverse wave vector n·sinθ stays the same in any
    medium."""
    n_azimuths: int = Field(default=48, ge=1, le=720)
    """Oblique beams, equally spaced in azimuth (limited-angle only)."""
    has_normal_incidence: bool = True
    """Whether one more beam comes straight down (limited-angle only)."""
    n_rotations: int = Field(default=140, ge=2, le=2000)
    """Projections, equally spaced over a full turn (rotation only)."""
    is_coarse_grid_allowed: bool = False
    """Whether voxels coarser than Nyquist of the support are accepted: the tomogram is then low-passed to the grid."""

    @property
    def wavenumber_per_um(self) -> float:
        """k0 = 2π/λ in rad/µm."""
        return 2 * math.pi / self.wavelength_um

    @property
    def illumination_na(self) -> float:
        """Transverse wave vector of the oblique beams over k0, n·sinθ; 0 where the cell is rotated instead."""
        if self.geometry == "rotation":
            return 0.0
        return self.illumination_ri * math.sin(math.radians(self.illumination_polar_deg))

    @property
    def n_fields(self) -> int:
        """Complex fields recorded for one tomogram."""
        return self.n_rotations if self.geometry == "rotation" else self.n_azimuths + int(self.has_normal_incidence)


class QpiInstrument(Settings):
    """A quantitative phase microscope with normal, coherent illumination."""

    name: str = "custom"
    """Stands on the card of what it simulated."""
    wavelength_um: float = Field(default=0.65, gt=0.2, lt=2.0)
    """Vacuum wavelength λ in µm."""
    objective_na: float = Field(default=0.3, gt=0.01, lt=1.7)
    """Numerical aperture of the objective."""
    refraction_increment_ml_per_g: float = Field(default=0.19, gt=0.05, lt=0.5)
    """α in n = n0 + α·c, mL/g (= µm³/pg)."""

    @property
    def wavenumber_per_um(self) -> float:
        """k0 = 2π/λ in rad/µm."""
        return 2 * math.pi / self.wavelength_um


def band_limit_per_um(instrument: OdtInstrument, medium_ri: float) -> tuple[float, float, float]:
    """Largest spatial frequency (qz, qy, qx) of the Fourier support, rad/µm.

    Laterally ``k0 (NA + n sinθ)``; axially the largest difference of the axial wave vectors of an accepted and an
    illuminating wave. When the cell turns about y, the x–z disc has radius ``sqrt(2 km (km - sqrt(km² - k0² NA²)))``.

    Parameters
    ----------
    instrument : OdtInstrument
    medium_ri : float
        Refractive index of the medium, 1 to 2.
    """
    k0 = instrument.wavenumber_per_um
    km = k0 * medium_ri
    kz_pupil = math.sqrt(max(km**2 - (k0 * instrument.objective_na) ** 2, 0.0))
    if instrument.geometry == "rotation":
        disc = math.sqrt(2 * km * (km - kz_pupil))
        return disc, k0 * instrument.objective_na, disc
    kz_oblique = math.sqrt(max(km**2 - (k0 * instrument.illumination_na) ** 2, 0.0))
    kz_steepest = km if instrument.has_normal_incidence else kz_oblique
    lateral = k0 * (instrument.objective_na + instrument.illumination_na)
    return max(km - kz_oblique, kz_steepest - kz_pupil), lateral, lateral


def nyquist_voxel_um(instrument: OdtInstrument, medium_ri: float) -> VoxelSize:
    """The coarsest voxel (z, y, x) in µm that holds the whole Fourier support, π over the band limit."""
    qz, qy, qx = band_limit_per_um(instrument, medium_ri)
    return math.pi / qz, math.pi / qy, math.pi / qx


def check_odt(instrument: OdtInstrument, medium_ri: float, voxel_size_um: VoxelSize) -> None:
    """Refuse what no tomograph could measure.

    Raises
    ------
    SettingsError
        ``E-OPTICS-MEDIUM`` (no refractive index), ``E-OPTICS-NA`` (aperture not below the medium's index),
        ``E-OPTICS-ILLUMINATION`` (beam that the medium or the objective does not pass), ``E-OPTICS-NYQUIST``
        (voxel too coarse).
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    _check_aperture(instrument.objective_na, medium_ri)
    if instrument.illumination_na > instrument.objective_na:
        steepest = math.degrees(math.asin(min(1.0, instrument.objective_na / instrument.illumination_ri)))
        raise SettingsError(
            "E-OPTICS-ILLUMINATION",
            f"a polar angle of {instrument.illumination_polar_deg}° in n = {instrument.illumination_ri} is an "
            f"aperture of {instrument.illumination_na:.4f}; medium {medium_ri} and objective {instrument.objective_na} "
            f"pass at most {min(instrument.objective_na, medium_ri):.4f}.",
            cure=f"Use at most {math.floor(100 * steepest) / 100:g}°.",
        )
    check_voxel_size(voxel_size_um)
    coarsest = nyquist_voxel_um(instrument, medium_ri)
    is_coarse = any(size > limit * NYQUIST_TOLERANCE for size, limit in zip(voxel_size_um, coarsest, strict=True))
    if is_coarse and not instrument.is_coarse_grid_allowed:
        limits = ", ".join(f"{math.floor(1000 * limit) / 1000:g}" for limit in coarsest)
        raise SettingsError(
            "E-OPTICS-NYQUIST",
            f"voxel size {tuple(voxel_size_um)} µm is coarser than Nyquist of the Fourier support.",
            cure=f"Use at most ({limits}) µm, or set is_coarse_grid_allowed to low-pass the tomogram to the grid.",
        )


def check_qpi(instrument: QpiInstrument, medium_ri: float, voxel_size_um: VoxelSize) -> None:
    """Refuse what no phase microscope could measure.

    Raises
    ------
    SettingsError
        ``E-OPTICS-MEDIUM``, ``E-OPTICS-NA`` or ``E-OPTICS-NYQUIST`` (pixel above λ / (2 NA)).
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    _check_aperture(instrument.objective_na, medium_ri)
    check_voxel_size(voxel_size_um)
    coarsest = instrument.wavelength_um / (2 * instrument.objective_na)
    if max(voxel_size_um[1:]) > coarsest * NYQUIST_TOLERANCE:
        raise SettingsError(
            "E-OPTICS-NYQUIST",
            f"pixel size {tuple(voxel_size_um[1:])} µm is coarser than Nyquist of the objective.",
            cure=f"Use at most {math.floor(1000 * coarsest) / 1000:g} µm.",
        )


def _check_aperture(objective_na: float, medium_ri: float) -> None:
    if not SMALLEST_MEDIUM_RI <= medium_ri <= LARGEST_MEDIUM_RI:
        raise SettingsError(
            "E-OPTICS-MEDIUM",
            f"a medium of refractive index {medium_ri} is outside {SMALLEST_MEDIUM_RI} to {LARGEST_MEDIUM_RI}.",
            cure="Give the index of the medium around the cells, for instance 1.337.",
        )
    if objective_na >= medium_ri:
        raise SettingsError(
            "E-OPTICS-NA",
            f"a numerical aperture of {objective_na} needs a medium above it, and the medium has {medium_ri}.",
            cure=f"Use an aperture below {medium_ri} or a denser medium.",
        )
