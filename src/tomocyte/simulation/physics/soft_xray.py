"""Soft X-ray tomography: what a zone-plate microscope makes of a known absorption.

A frozen cell is turned about an axis; each projection is the light that is left (Beer-Lambert) in the image of a
Fresnel zone plate, counted in photons. :func:`simulate_sxt` goes from absorption to projections and back by filtered
backprojection. Approximations: rays are parallel and nothing is refracted; the image is incoherent; parts out of focus
are blurred in their line integral, before the light is attenuated, by the frequency response of a defocused circular
pupil; what alignment could not undo is a shift. To add an error of the microscope, add a field to
:class:`SxtDegradation` and apply it in :func:`simulate_projections`.

References
----------
Attwood & Sakdinawat 2016, X-Rays and Extreme Ultraviolet Radiation, chapter 10: resolution and depth of field of zone
plates. Otón et al. 2012, 10.1016/j.jsb.2012.01.006: image formation in cellular X-ray microscopy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.simulation.physics.parallel_beam import Window, filtered_backprojection, project
from tomocyte.simulation.physics.zone_plate import zone_plate_imaging
from tomocyte.volume import VoxelSize, check_voxel_size

Float = NDArray[np.float32]
KEV_UM = 1.239841984e-3
"""Wavelength in µm times photon energy in keV."""
KNOTS_PER_DEPTH_OF_FIELD = 3
SMALLEST_COUNT = 0.5
"""Photons that stand for none, whose logarithm would be infinite."""


class SxtInstrument(Settings):
    """A full-field soft X-ray microscope with a sample that turns."""

    name: str = "custom"
    """Stands on the card of what it simulated."""
    geometry: Literal["full-rotation", "flat-holder"] = "full-rotation"
    """A capillary turned about z by 180°, or a flat sample (thin in z, endless in x) tilted about y by
    ±``max_tilt_deg``."""
    n_projections: int = Field(default=92, ge=2, le=5000)
    """Projections, equally spaced."""
    max_tilt_deg: float = Field(default=65.0, gt=1, le=85)
    """Largest tilt in degrees; projections lie between it and its negative, both included (flat holder only)."""
    energy_ev: float = Field(default=517.0, ge=200, le=1200)
    """Photon energy in eV."""
    outermost_zone_um: float = Field(default=0.06, ge=0.01, le=0.5)
    """Width Δr of the zone plate's outermost zone in µm: its cut-off frequency is 1/Δr."""
    pixel_um: float = Field(default=0.032, gt=0.002, lt=1)
    """Side of a camera pixel in the sample in µm. Voxels of another size stand for binned pixels."""
    view_um: float | None = Field(default=None, gt=0.1)
    """Width of the camera's field across the rotation axis in µm; what lies beside it is seen in some projections
    only. None: that of the volume."""
    filter_window: Window = "hann"
    """Window of the filter in the reconstruction."""
    filter_cutoff: float = Field(default=1.0, gt=0.05, le=1)
    """Where it ends, over the Nyquist frequency of the voxels."""

    @property
    def wavelength_um(self) -> float:
        """λ in µm."""
        return KEV_UM / (self.energy_ev / 1000)

    @property
    def depth_of_field_um(self) -> float:
        """Whole depth in focus in µm, 4 Δr² / λ."""
        return 4 * self.outermost_zone_um**2 / self.wavelength_um

    @property
    def angles_rad(self) -> NDArray[np.float64]:
        """Angle of every projection in rad, float64."""
        if self.geometry == "full-rotation":
            return np.linspace(0, np.pi, self.n_projections, endpoint=False)
        tilt = math.radians(self.max_tilt_deg)
        return np.linspace(-tilt, tilt, self.n_projections)


class SxtDegradation(Settings):
    """What one soft X-ray tomogram suffers."""

    photons_per_pixel: float | None = Field(default=2000.0, gt=1, le=1e9)
    """Photons in a camera pixel of one projection without a sample; None counts no photons: no noise."""
    blur_um: float = Field(default=0.0, ge=0, le=1)
    """Gaussian sigma in µm of what vibration blurs in every projection."""
    stray_share: float = Field(default=0.0, ge=0, lt=0.9)
    """Part of the light without a sample that never passed it (other orders of the zone plate): coefficients come
    out too small, the denser the more."""
    misalignment_um: float = Field(default=0.2, ge=0, le=5)
    """Standard deviation in µm, per axis, of the sample's place in a projection before alignment. Alignment moves the
    camera's fixed pattern against the sample, so that rings break up."""
    residual_um: float = Field(default=0.02, ge=0, le=1)
    """Standard deviation in µm, per axis, of what is left of it after alignment."""
    axis_offset_um: float = Field(default=0.0, ge=-2, le=2)
    """True minus assumed place of the rotation axis on the camera in µm."""
    angle_std_deg: float = Field(default=0.0, ge=0, le=5)
    """Standard deviation of the true angle about the assumed one in degrees."""
    ring_depth_std: float = Field(default=0.005, ge=0, le=1)
    """Standard deviation of the camera's fixed pattern per camera pixel, as optical depth (1); it makes rings."""
    intensity_std: float = Field(default=0.005, ge=0, le=0.5)
    """Relative standard deviation of the illumination from one projection to the next."""


NO_SXT_DEGRADATION = SxtDegradation(
    photons_per_pixel=None, misalignment_um=0, residual_um=0, ring_depth_std=0, intensity_std=0
)


def simulate_sxt(
    absorption_per_um: NDArray[Any],
    *,
    voxel_size_um: VoxelSize,
    instrument: SxtInstrument,
    degradation: SxtDegradation,
    rng: np.random.Generator,
) -> Float:
    """The tomogram of a known absorption.

    Parameters
    ----------
    absorption_per_um : ndarray (Z, Y, X), float
        True linear absorption coefficient in 1/µm, at least 0. Beyond the volume there is vacuum, but a flat sample
        continues as its first and last voxels in x.
    voxel_size_um : tuple of float
        z, y, x in µm.
    instrument : SxtInstrument
    degradation : SxtDegradation
    rng : numpy Generator

    Returns
    -------
    ndarray (Z, Y, X), float32
        Reconstructed linear absorption coefficient in 1/µm. Beside the field of view it is continued, not measured.

    Raises
    ------
    SettingsError
        ``E-AXES``, ``E-ABSORPTION``.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> water = np.full((4, 40, 40), 0.11, np.float32)
    >>> tomogram = simulate_sxt(water, voxel_size_um=(0.1, 0.1, 0.1), instrument=SxtInstrument(),
    ...     degradation=NO_SXT_DEGRADATION, rng=np.random.default_rng(0))
    >>> tomogram.shape, round(float(tomogram[2, 20, 20]), 2)
    ((4, 40, 40), 0.11)
    """
    projections = simulate_projections(
        absorption_per_um, voxel_size_um=voxel_size_um, instrument=instrument, degradation=degradation, rng=rng
    )
    shape, steps = _across_axis(np.shape(absorption_per_um), voxel_size_um, instrument)
    angles = instrument.angles_rad
    volume = filtered_backprojection(
        projections,
        angles,
        shape=(shape[0], shape[1]),
        step_um=(steps[0], steps[1]),
        pixel_um=steps[1],
        weight_rad=float(angles[1] - angles[0]),
        window=instrument.filter_window,
        cutoff=instrument.filter_cutoff,
    )
    return np.ascontiguousarray(np.moveaxis(volume, 2, _axis(instrument)))


def simulate_projections(
    absorption_per_um: NDArray[Any],
    *,
    voxel_size_um: VoxelSize,
    instrument: SxtInstrument,
    degradation: SxtDegradation,
    rng: np.random.Generator,
) -> Float:
    """The aligned projections of a known absorption, as optical depth.

    Parameters
    ----------
    absorption_per_um, voxel_size_um, instrument, degradation, rng
        As in :func:`simulate_sxt`.

    Returns
    -------
    ndarray (A, S, Z), float32
        −ln of transmitted over incident light: angle, pixel across the rotation axis, pixel along it.

    Raises
    ------
    SettingsError
        ``E-AXES``, ``E-ABSORPTION``.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    check_absorption(absorption_per_um)
    check_voxel_size(voxel_size_um)
    volume = np.ascontiguousarray(np.moveaxis(np.asarray(absorption_per_um, np.float32), _axis(instrument), 2))
    (n_y, n_x, n_z), (step_y, step_x, step_z) = _across_axis(np.shape(absorption_per_um), voxel_size_um, instrument)
    n_pixels = n_x if instrument.view_um is None else max(2, round(instrument.view_um / step_x))
    is_flat = instrument.geometry == "flat-holder"
    depths = depth_knots(instrument, (n_y * step_y, n_x * step_x), n_pixels * step_x)
    imaging = zone_plate_imaging(
        (n_pixels, n_z),
        (step_x, step_z),
        depths,
        outermost_zone_um=instrument.outermost_zone_um,
        wavelength_um=instrument.wavelength_um,
        blur_um=degradation.blur_um,
        movement_um=4 * degradation.residual_um + abs(degradation.axis_offset_um),
    )
    camera = _Camera.of(instrument, degradation, (n_pixels, n_z), (step_x, step_z), rng)
    projections = np.empty((instrument.n_projections, n_pixels, n_z), np.float32)
    for index, angle in enumerate(instrument.angles_rad):
        knots = project(
            volume,
            float(angle + math.radians(degradation.angle_std_deg) * rng.standard_normal()),
            step_um=(step_y, step_x),
            pixel_um=step_x,
            n_pixels=n_pixels + 2 * imaging.margins[0],
            depth_step_um=float(depths[-1] / (len(depths) - 1)),
            n_depths=len(depths),
            is_extended=is_flat,
        )
        residual_s, residual_z = rng.standard_normal(2) * degradation.residual_um
        light = imaging.transmitted(knots, (degradation.axis_offset_um + residual_s, residual_z))
        projections[index] = camera.optical_depth(light, rng)
    return projections


def depth_knots(instrument: SxtInstrument, size_um: tuple[float, float], view_um: float) -> NDArray[np.float64]:
    """Distances from the focus between which the sample is shared out, evenly spaced from 0 to its farthest point.

    Parameters
    ----------
    instrument : SxtInstrument
    size_um : tuple of float
        Size of the volume along the beam and across it at angle 0, in µm.
    view_um : float
        Width of the camera's field in µm.

    Returns
    -------
    ndarray (D,), float64
        At least two, in µm.
    """
    farthest = math.hypot(*size_um) / 2
    if instrument.geometry == "flat-holder":
        tilt = math.radians(instrument.max_tilt_deg)
        farthest = max(farthest, (view_um * math.sin(tilt) + size_um[0]) / (2 * math.cos(tilt)))
    n_steps = math.ceil(farthest / instrument.depth_of_field_um * KNOTS_PER_DEPTH_OF_FIELD)
    return np.linspace(0, farthest, max(1, n_steps) + 1)


def check_absorption(absorption_per_um: NDArray[Any]) -> None:
    """Refuse what is no absorption.

    Raises
    ------
    SettingsError
        ``E-AXES`` for other axes than three of at least 2; ``E-ABSORPTION`` for values that are negative or not
        finite.
    """
    if absorption_per_um.ndim != 3 or min(absorption_per_um.shape) < 2:
        raise SettingsError("E-AXES", f"X-rays need axes Z, Y, X of at least 2, not {absorption_per_um.shape}.")
    low, high = float(absorption_per_um.min()), float(absorption_per_um.max())
    if not (low >= 0 and math.isfinite(high)):
        raise SettingsError(
            "E-ABSORPTION",
            f"values from {low} to {high} are no linear absorption coefficients.",
            cure="Give finite values of at least 0 in 1/µm.",
        )


@dataclass(frozen=True, eq=False)
class _Camera:
    """Counts photons, divides by the empty field, and moves the projection to its place."""

    photons: float | None
    stray_share: float
    intensity_std: float
    pattern: Float
    reach: tuple[int, int]
    displacement: tuple[float, float]

    @classmethod
    def of(
        cls,
        instrument: SxtInstrument,
        degradation: SxtDegradation,
        shape: tuple[int, int],
        pixel_um: tuple[float, float],
        rng: np.random.Generator,
    ) -> _Camera:
        """The camera for images (S, Z) with pixels of this size: binned, its noise averages."""
        n_binned = pixel_um[0] * pixel_um[1] / instrument.pixel_um**2
        photons = degradation.photons_per_pixel
        displacement = degradation.misalignment_um / pixel_um[0], degradation.misalignment_um / pixel_um[1]
        reach = math.ceil(4 * displacement[0]), math.ceil(4 * displacement[1])
        wide = shape[0] + 2 * reach[0], shape[1] + 2 * reach[1]
        pattern = rng.standard_normal(wide, dtype=np.float32) * np.float32(
            degradation.ring_depth_std / math.sqrt(n_binned)
        )
        return cls(
            None if photons is None else photons * n_binned,
            degradation.stray_share,
            degradation.intensity_std,
            pattern,
            reach,
            displacement,
        )

    def optical_depth(self, light: Float, rng: np.random.Generator) -> Float:
        """−ln of the measured light (S, Z), with noise and fixed pattern."""
        measured = (1 - self.stray_share) * light + self.stray_share
        floor = float(np.finfo(np.float32).tiny)
        if self.photons is not None:
            measured = (rng.poisson(measured * self.photons) / self.photons).astype(np.float32)
            floor = SMALLEST_COUNT / self.photons
        depth = -np.log(np.maximum(measured, floor))
        depth += self.intensity_std * rng.standard_normal()
        first = [
            int(np.clip(round(scale * draw), -most, most)) + most
            for scale, draw, most in zip(self.displacement, rng.standard_normal(2), self.reach, strict=True)
        ]
        return np.asarray(
            depth + self.pattern[first[0] : first[0] + light.shape[0], first[1] : first[1] + light.shape[1]], np.float32
        )


def _axis(instrument: SxtInstrument) -> int:
    """The axis of the volume that the sample turns about."""
    return 0 if instrument.geometry == "full-rotation" else 1


def _across_axis(
    shape: tuple[int, ...], voxel_size_um: VoxelSize, instrument: SxtInstrument
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Shape and voxel size in the order of :func:`project`: along the beam at angle 0, across it, along the axis."""
    order = (1, 2, 0) if _axis(instrument) == 0 else (0, 2, 1)
    return (shape[order[0]], shape[order[1]], shape[order[2]]), (
        voxel_size_um[order[0]],
        voxel_size_um[order[1]],
        voxel_size_um[order[2]],
    )
