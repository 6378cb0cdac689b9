"""Quantitative phase microscopes: dry-mass density in 2-D, from light that goes straight through the cells.

To add a microscope, add a row to :data:`VARIANTS`; its errors are in :data:`RANGES`. The optics are in
``physics/optics.py``, image formation in ``physics/phase.py``.
"""

from __future__ import annotations

import numpy as np

from tomocyte.settings import Settings
from tomocyte.simulation.instruments._instrument import (
    Channels,
    Conditions,
    Instrument,
    Optics,
    Range,
    View,
    log_uniform,
)
from tomocyte.simulation.physics.degradation import QpiDegradation
from tomocyte.simulation.physics.optics import QpiInstrument, check_qpi

VARIANTS: dict[str, QpiInstrument] = {
    # Coherence-controlled holographic microscopy at low magnification: 650 nm, 10×/0.3.
    "Q-PHASE-10x": QpiInstrument(name="Q-PHASE-10x"),
    # The tomograph's normal beam alone.
    "HT-2H-2D": QpiInstrument(name="HT-2H-2D", wavelength_um=0.532, objective_na=1.2),
}


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


RANGES: dict[str, QpiRanges] = {
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


def draw_qpi(
    instrument: QpiInstrument, ranges: QpiRanges, rng: np.random.Generator
) -> Optics[QpiInstrument, QpiDegradation]:
    """Draw one phase image's degradation; the microscope stays as it is."""
    degradation = QpiDegradation(
        noise_rad_std=log_uniform(ranges.noise_rad_std, rng),
        n_fringes=int(rng.integers(ranges.n_fringes[0], ranges.n_fringes[1] + 1)),
        fringe_rad_amplitude=log_uniform(ranges.fringe_rad_amplitude, rng),
        background_rad_std=log_uniform(ranges.background_rad_std, rng),
        background_length_um=float(rng.uniform(*ranges.background_length_um)),
    )
    return Optics(instrument, degradation)


def measure_qpi(
    view: View, optics: Optics[QpiInstrument, QpiDegradation], conditions: Conditions, rng: np.random.Generator
) -> Channels:
    """The image (1, 1, Y, X) of a frame, in pg/µm²."""
    from tomocyte.simulation.physics.phase import dry_mass_density, simulate_qpi

    del conditions  # light always goes slice by slice, and one plane at a time is too little work for a GPU
    truth = view.truth
    phase = simulate_qpi(
        truth.ri,
        truth.medium_ri,
        voxel_size_um=truth.voxel_size_um,
        instrument=optics.instrument,
        degradation=optics.degradation,
        rng=rng,
    )
    density = dry_mass_density(
        phase,
        wavelength_um=optics.instrument.wavelength_um,
        refraction_increment_ml_per_g=optics.instrument.refraction_increment_ml_per_g,
    )
    return density[None, None]


INSTRUMENT = Instrument(
    name="qpi",
    description="images",
    quantity="dry_mass_density",
    unit="pg/um2",
    channels=("QPI",),
    variants=VARIANTS,
    default="HT-2H-2D",
    ranges=RANGES,
    check=check_qpi,
    draw=draw_qpi,
    measure=measure_qpi,
    n_planes=1,
    value_name="pg/µm²",
)
