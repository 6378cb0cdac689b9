"""How an image is worse than its physics: settings of noise and artefacts, and the ranges they are drawn from.

Every amplitude is stated in the unit of the image (refractive index, or radian), so that it means the same at any
voxel size. To add an artefact, add a field here, a range for each shift, and apply it in ``noise.py`` or
``phase.py``.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.simulation.physics.optics import OdtInstrument

Shift = Literal["none", "mild", "strong"]
Range = tuple[float, float]
R = TypeVar("R")


class OdtDegradation(Settings):
    """What one tomogram suffers."""

    noise_ri_std: float = Field(default=2e-4, ge=0, le=0.05)
    """Shot noise: standard deviation of the RI over the measured frequencies, there in proportion to 1/√coverage."""
    n_fringes: int = Field(default=4, ge=0, le=100)
    """Coherent fringe systems: wave packets at measured frequencies."""
    fringe_ri_amplitude: float = Field(default=2e-4, ge=0, le=0.05)
    """Peak amplitude of one fringe system in RI."""
    background_ri_std: float = Field(default=2e-4, ge=0, le=0.05)
    """Standard deviation of the slow background in RI."""
    background_length_um: float = Field(default=15.0, gt=1, le=500)
    """Shortest wavelength of the slow background in µm."""
    drift_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How far (z, y, x) the cell moves evenly during one acquisition in µm; its middle position is the truth's."""
    blur_um: float = Field(default=0.0, ge=0, le=3)
    """Gaussian sigma of the blur in µm: what vibration, registration and the camera's transfer wash out."""
    skirt_share: float = Field(default=0.0, ge=0, le=0.9)
    """Part of the signal that is blurred by ``skirt_um`` instead: soft skirts around a cell."""
    skirt_um: float = Field(default=1.2, gt=0, le=10)
    """Gaussian sigma of the skirts in µm."""
    medium_ri_error: float = Field(default=0.0, ge=-0.02, le=0.02)
    """Assumed minus true index of the medium: an offset of the whole tomogram."""
    n_iterations: int = Field(default=15, ge=0, le=500)
    """Iterations of the non-negativity regularisation; 0 leaves the missing cone empty."""


class QpiDegradation(Settings):
    """What one phase image suffers."""

    noise_rad_std: float = Field(default=0.02, ge=0, le=3)
    """Shot noise: standard deviation of the phase per pixel in rad."""
    n_fringes: int = Field(default=3, ge=0, le=100)
    """Coherent fringe systems."""
    fringe_rad_amplitude: float = Field(default=0.01, ge=0, le=3)
    """Amplitude of one fringe system in rad."""
    background_rad_std: float = Field(default=0.03, ge=0, le=10)
    """Standard deviation of the slow background in rad."""
    background_length_um: float = Field(default=40.0, gt=1, le=2000)
    """Shortest wavelength of the slow background in µm."""


NO_ODT_DEGRADATION = OdtDegradation(noise_ri_std=0, n_fringes=0, background_ri_std=0)
HL60_DEGRADATION = OdtDegradation(
    noise_ri_std=1e-4,
    n_fringes=4,
    fringe_ri_amplitude=4e-4,
    background_ri_std=5e-4,
    background_length_um=12.0,
    blur_um=0.35,
    skirt_share=0.5,
    skirt_um=1.2,
    n_iterations=0,
)
"""What makes a simulated turned cell look like the open HL60 tomogram: its edge profile and power spectrum."""
NO_QPI_DEGRADATION = QpiDegradation(noise_rad_std=0, n_fringes=0, background_rad_std=0)


class OdtRanges(Settings):
    """Where domain randomisation draws an :class:`OdtDegradation` and the instrument's adjustable parts from."""

    noise_ri_std: Range = (1e-4, 1e-3)
    """Log-uniform."""
    n_fringes: tuple[int, int] = (0, 6)
    """Uniform, both ends included."""
    fringe_ri_amplitude: Range = (5e-5, 8e-4)
    """Log-uniform."""
    background_ri_std: Range = (5e-5, 8e-4)
    """Log-uniform."""
    background_length_um: Range = (10.0, 40.0)
    """Uniform."""
    drift_um: Range = (0.0, 0.1)
    """Length of the drift, uniform, in a random direction."""
    blur_um: Range = (0.0, 0.08)
    """Uniform."""
    skirt_share: Range = (0.0, 0.1)
    """Uniform."""
    skirt_um: Range = (0.8, 1.6)
    """Uniform."""
    medium_ri_error: Range = (-5e-4, 5e-4)
    """Uniform."""
    n_iterations: tuple[int, int] = (10, 20)
    """Uniform, both ends included; below 10 less than half of a thin cell's RI may be left."""
    azimuth_fraction: Range = (0.5, 1.0)
    """Part of the instrument's oblique beams (or projections) that is used, uniform."""


class QpiRanges(Settings):
    """Where domain randomisation draws a :class:`QpiDegradation` from."""

    noise_rad_std: Range = (0.005, 0.05)
    """Log-uniform."""
    n_fringes: tuple[int, int] = (0, 5)
    """Uniform, both ends included."""
    fringe_rad_amplitude: Range = (0.002, 0.03)
    """Log-uniform."""
    background_rad_std: Range = (0.005, 0.08)
    """Log-uniform."""
    background_length_um: Range = (25.0, 100.0)
    """Uniform."""


ODT_RANGES: dict[str, OdtRanges] = {
    "none": OdtRanges(),
    "mild": OdtRanges(
        noise_ri_std=(8e-4, 1.6e-3),
        n_fringes=(4, 10),
        fringe_ri_amplitude=(5e-4, 1.2e-3),
        background_ri_std=(5e-4, 1.2e-3),
        drift_um=(0.08, 0.2),
        blur_um=(0.06, 0.15),
        skirt_share=(0.05, 0.2),
        medium_ri_error=(-1e-3, 1e-3),
        n_iterations=(6, 12),
        azimuth_fraction=(0.35, 0.6),
    ),
    "strong": OdtRanges(
        noise_ri_std=(1.6e-3, 3e-3),
        n_fringes=(8, 16),
        fringe_ri_amplitude=(1e-3, 2e-3),
        background_ri_std=(1e-3, 2.5e-3),
        background_length_um=(6.0, 20.0),
        drift_um=(0.2, 0.5),
        blur_um=(0.15, 0.35),
        skirt_share=(0.2, 0.4),
        medium_ri_error=(-2e-3, 2e-3),
        n_iterations=(2, 6),
        azimuth_fraction=(0.15, 0.35),
    ),
}
"""In-domain ranges and the two held-out domains; in ``mild`` and ``strong`` noise starts where the domain before
ends."""

QPI_RANGES: dict[str, QpiRanges] = {
    "none": QpiRanges(),
    "mild": QpiRanges(
        noise_rad_std=(0.04, 0.08),
        n_fringes=(4, 8),
        fringe_rad_amplitude=(0.02, 0.05),
        background_rad_std=(0.06, 0.12),
    ),
    "strong": QpiRanges(
        noise_rad_std=(0.08, 0.2),
        n_fringes=(6, 14),
        fringe_rad_amplitude=(0.05, 0.12),
        background_rad_std=(0.12, 0.3),
        background_length_um=(15.0, 40.0),
    ),
}


def sample_odt(
    instrument: OdtInstrument, rng: np.random.Generator, *, shift: Shift = "none", ranges: OdtRanges | None = None
) -> tuple[OdtInstrument, OdtDegradation]:
    """Draw one tomogram's instrument state and degradation.

    Parameters
    ----------
    instrument : OdtInstrument
        Its number of beams or projections is thinned.
    rng : numpy Generator
    shift : str
        ``none`` (training domain), ``mild`` or ``strong`` (held-out domains of the benchmark).
    ranges : OdtRanges, optional
        Instead of those of ``shift``.

    Raises
    ------
    SettingsError
        ``E-SHIFT`` for another name.
    """
    chosen = ranges or _ranges(ODT_RANGES, shift)
    direction = rng.standard_normal(3)
    direction *= rng.uniform(*chosen.drift_um) / np.linalg.norm(direction)
    degradation = OdtDegradation(
        noise_ri_std=_log_uniform(chosen.noise_ri_std, rng),
        n_fringes=int(rng.integers(chosen.n_fringes[0], chosen.n_fringes[1] + 1)),
        fringe_ri_amplitude=_log_uniform(chosen.fringe_ri_amplitude, rng),
        background_ri_std=_log_uniform(chosen.background_ri_std, rng),
        background_length_um=float(rng.uniform(*chosen.background_length_um)),
        drift_um=(float(direction[0]), float(direction[1]), float(direction[2])),
        blur_um=float(rng.uniform(*chosen.blur_um)),
        skirt_share=float(rng.uniform(*chosen.skirt_share)),
        skirt_um=float(rng.uniform(*chosen.skirt_um)),
        medium_ri_error=float(rng.uniform(*chosen.medium_ri_error)),
        n_iterations=int(rng.integers(chosen.n_iterations[0], chosen.n_iterations[1] + 1)),
    )
    fraction = float(rng.uniform(*chosen.azimuth_fraction))
    thinned = {
        "n_azimuths": max(1, round(fraction * instrument.n_azimuths)),
        "n_rotations": max(2, round(fraction * instrument.n_rotations)),
    }
    key = "n_rotations" if instrument.geometry == "rotation" else "n_azimuths"
    return instrument.model_copy(update={key: thinned[key]}), degradation


def sample_qpi(rng: np.random.Generator, *, shift: Shift = "none", ranges: QpiRanges | None = None) -> QpiDegradation:
    """Draw one phase image's degradation; parameters and errors as in :func:`sample_odt`."""
    chosen = ranges or _ranges(QPI_RANGES, shift)
    return QpiDegradation(
        noise_rad_std=_log_uniform(chosen.noise_rad_std, rng),
        n_fringes=int(rng.integers(chosen.n_fringes[0], chosen.n_fringes[1] + 1)),
        fringe_rad_amplitude=_log_uniform(chosen.fringe_rad_amplitude, rng),
        background_rad_std=_log_uniform(chosen.background_rad_std, rng),
        background_length_um=float(rng.uniform(*chosen.background_length_um)),
    )


def _ranges(known: dict[str, R], shift: str) -> R:
    if shift not in known:
        raise SettingsError("E-SHIFT", f"unknown shift {shift!r}.", cure=f"Known: {', '.join(known)}.")
    return known[shift]


def _log_uniform(limits: Range, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
