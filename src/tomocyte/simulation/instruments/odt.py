"""Holographic tomographs: refractive index in 3-D, from many beams or from a rotated cell.

To add a microscope, add a row to :data:`VARIANTS`; its errors are in :data:`RANGES`. The optics are in
``physics/optics.py``, image formation in ``physics/formation.py`` (one scattering) and ``physics/fields.py`` (several).
"""

from __future__ import annotations

import numpy as np

from tomocyte.errors import SettingsError
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
from tomocyte.simulation.physics.degradation import OdtDegradation
from tomocyte.simulation.physics.optics import OdtInstrument, check_odt

VARIANTS: dict[str, OdtInstrument] = {
    # Choi et al. 2021: 532 nm, NA 1.2, 48 azimuths at 64.5° and normal incidence. 64.5° is the edge of a 1.2 pupil in
    # an index of 1.3295; stated in a denser medium the unscattered beam would miss the objective.
    "HT-2H": OdtInstrument(name="HT-2H"),
    # The same with its beams inside the pupil, as fields of thick cells need them (physics/fields.py). An assumption.
    "HT-2H-58deg": OdtInstrument(name="HT-2H-58deg", illumination_polar_deg=58.0),
    # No microscope: what every tomograph of limited angles measures whose beams and objective reach an aperture of 0.8.
    # For correcting tomograms of an unknown instrument: too small a support costs little, too large a one much.
    "limited-angle": OdtInstrument(
        name="limited-angle", objective_na=0.8, illumination_polar_deg=36.7, illumination_ri=1.337
    ),
    # Schürmann et al. 2017 (10.1002/jbio.201700145): 647 nm, a cell rotated once under a shearing interferometer. The
    # data do not state the objective; their power spectrum falls by six decades and meets the noise between 0.7 and
    # 0.9, so 0.75 is assumed here.
    "HL60-rotation": OdtInstrument(
        name="HL60-rotation", geometry="rotation", wavelength_um=0.647, objective_na=0.75, n_rotations=140
    ),
}

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
"""What makes a simulated rotated cell look like the open HL60 tomogram: its edge profile and power spectrum."""


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


RANGES: dict[str, OdtRanges] = {
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


def draw_odt(
    instrument: OdtInstrument, ranges: OdtRanges, rng: np.random.Generator
) -> Optics[OdtInstrument, OdtDegradation]:
    """Draw one tomogram's instrument state and degradation.

    Parameters
    ----------
    instrument : OdtInstrument
        Its number of beams or projections is thinned.
    ranges : OdtRanges
    rng : numpy Generator
    """
    direction = rng.standard_normal(3)
    direction *= rng.uniform(*ranges.drift_um) / np.linalg.norm(direction)
    degradation = OdtDegradation(
        noise_ri_std=log_uniform(ranges.noise_ri_std, rng),
        n_fringes=int(rng.integers(ranges.n_fringes[0], ranges.n_fringes[1] + 1)),
        fringe_ri_amplitude=log_uniform(ranges.fringe_ri_amplitude, rng),
        background_ri_std=log_uniform(ranges.background_ri_std, rng),
        background_length_um=float(rng.uniform(*ranges.background_length_um)),
        drift_um=(float(direction[0]), float(direction[1]), float(direction[2])),
        blur_um=float(rng.uniform(*ranges.blur_um)),
        skirt_share=float(rng.uniform(*ranges.skirt_share)),
        skirt_um=float(rng.uniform(*ranges.skirt_um)),
        medium_ri_error=float(rng.uniform(*ranges.medium_ri_error)),
        n_iterations=int(rng.integers(ranges.n_iterations[0], ranges.n_iterations[1] + 1)),
    )
    fraction = float(rng.uniform(*ranges.azimuth_fraction))
    thinned = {
        "n_azimuths": max(1, round(fraction * instrument.n_azimuths)),
        "n_rotations": max(2, round(fraction * instrument.n_rotations)),
    }
    key = "n_rotations" if instrument.geometry == "rotation" else "n_azimuths"
    return Optics(instrument.model_copy(update={key: thinned[key]}), degradation)


def measure_odt(
    view: View, optics: Optics[OdtInstrument, OdtDegradation], conditions: Conditions, rng: np.random.Generator
) -> Channels:
    """The tomogram (1, Z, Y, X) of a frame.

    Raises
    ------
    SettingsError
        ``E-OPTICS-…``; ``E-BACKEND``: multiple scattering on anything but numpy.
    """
    from tomocyte.simulation.physics.fields import simulate_odt_thick
    from tomocyte.simulation.physics.formation import simulate_odt

    truth = view.truth
    if conditions.is_multiple_scattering:
        if conditions.backend != "numpy":
            raise SettingsError("E-BACKEND", "multiple scattering runs on numpy only.", cure="Use numpy.")
        thick = simulate_odt_thick(
            truth.ri,
            truth.medium_ri,
            voxel_size_um=truth.voxel_size_um,
            instrument=optics.instrument,
            degradation=optics.degradation,
            rng=rng,
        )
        return thick[None]
    tomogram = simulate_odt(
        truth.ri,
        truth.medium_ri,
        voxel_size_um=truth.voxel_size_um,
        instrument=optics.instrument,
        degradation=optics.degradation,
        rng=rng,
        backend=conditions.backend,
    )
    return tomogram[None]


INSTRUMENT = Instrument(
    name="odt",
    description="tomograms",
    quantity="refractive_index",
    unit="1",
    channels=("ODT",),
    variants=VARIANTS,
    default="HT-2H",
    ranges=RANGES,
    check=check_odt,
    draw=draw_odt,
    measure=measure_odt,
    value_name="RI minus medium",
    file_formats=("ome-tiff", "tcf"),
    fitted={"open-hl60": HL60_DEGRADATION},
)
