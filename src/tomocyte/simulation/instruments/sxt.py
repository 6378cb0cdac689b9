"""Soft X-ray microscopes: linear absorption coefficient in 3-D, of frozen cells in a capillary or on a flat holder.

To add a microscope, add a row to :data:`VARIANTS`; its errors and what the samples absorb are in :data:`RANGES`. Image
formation is in ``physics/soft_xray.py``; how much each structure absorbs, in ``physics/absorption.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.settings import Settings
from tomocyte.simulation.cells.rendering import render_scene
from tomocyte.simulation.cells.scene import Part, Scene
from tomocyte.simulation.instruments._instrument import (
    Channels,
    Conditions,
    Instrument,
    Optics,
    Range,
    View,
    log_uniform,
)
from tomocyte.simulation.physics.absorption import AbsorptionRanges, cell_absorption
from tomocyte.simulation.physics.soft_xray import SxtDegradation, SxtInstrument
from tomocyte.volume import VoxelSize

VARIANTS: dict[str, SxtInstrument] = {
    # Erozan et al. 2024: XM-2 at the Advanced Light Source, 517 eV, 60 nm zone plate, 92 projections over 180°.
    "XM-2": SxtInstrument(name="XM-2"),
    # A flat grid that cannot be turned edge-on, as at most other synchrotrons: no capillary, a missing wedge.
    "flat-holder": SxtInstrument(name="flat-holder", geometry="flat-holder", n_projections=131),
    # The same with fine zones, as the open tomogram of a mitochondrion (Nahas et al. 2022) has them: its spectrum ends
    # at 40 per µm, which is one over 25 nm, and at tilts of 60 to 67°. Energy and number of projections are assumed.
    "flat-holder-25nm": SxtInstrument(
        name="flat-holder-25nm",
        geometry="flat-holder",
        n_projections=131,
        energy_ev=500.0,
        outermost_zone_um=0.025,
        pixel_um=0.0125,
        filter_cutoff=0.8,
    ),
}

SUSPENDED = {"capillary": {}, "apoptotic_share": 0.0, "plasma_membrane_um": 0.12, "nuclear_membrane_um": 0.25}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "XM-2": {
        "preset": "T cell",
        "shape": (176, 176, 176),
        "voxel_size_um": (0.086, 0.086, 0.086),
        "n_cells": (1, 4),
        "scene": SUSPENDED,
    },
    "flat-holder": {"shape": (120, 240, 240), "voxel_size_um": (0.086, 0.086, 0.086), "n_cells": (1, 1)},
    "flat-holder-25nm": {"shape": (120, 240, 240), "voxel_size_um": (0.086, 0.086, 0.086), "n_cells": (1, 1)},
}
"""What a data set gets that does not say otherwise: the paper's field of 15 µm, with voxels 2.7 times as long."""

_LARGE = {
    "shape": (170, 200, 200),
    "voxel_size_um": (0.13, 0.13, 0.13),
    "n_cells": (1, 2),
    "scene": {"capillary": {"inner_radius_um": (9.5, 12.2)}},
}
_MIDDLE = {
    "voxel_size_um": (0.1, 0.1, 0.1),
    "n_cells": (1, 3),
    "scene": {"capillary": {"inner_radius_um": (6.8, 8.4)}},
}
PRESET_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "BV-2": _MIDDLE,
    "β-cell": _MIDDLE,
    "RAW 264.7": _MIDDLE,
    **dict.fromkeys(("Huh-7", "MEF", "HeLa", "A549", "MDA-MB-231", "NIH3T3", "U2-OS", "HL60"), _LARGE),
}
"""Cells larger than T cells get a wider capillary and a larger field."""

_NOTHING_ELSE = {"n_debris": (0, 0), "capillary": {"n_beads": (0, 0), "glass_share": 0.0}}
CASES: Mapping[str, Mapping[str, Any]] = {
    "isolated-with-debris": {
        "n_cells": (1, 1),
        "scene": {**_NOTHING_ELSE, "n_debris": (20, 40)},
    },
    "touching-glass": {
        "n_cells": (1, 1),
        "scene": {**_NOTHING_ELSE, "capillary": {"n_beads": (0, 0), "glass_share": 1.0, "glass_press": (0.1, 0.25)}},
    },
    "tightly-packed": {
        "n_cells": (4, 6),
        "scene": {
            **_NOTHING_ELSE, "crowding": (1.0, 1.0), "capillary": {"n_beads": (0, 0), "end_overhang": (0.4, 0.6)},
        },
    },
    "between-two-beads": {
        "n_cells": (1, 1),
        "scene": {
            **_NOTHING_ELSE,
            "capillary": {
                "n_beads": (2, 2), "bead_contact_share": 1.0, "bead_radius_um": (1.0, 1.7), "glass_share": 0.0,
                "inner_radius_um": (6.2, 7.1),
            },
        },
    },
}  # fmt: skip
"""The four cases of Erozan et al. 2024 (10.1016/j.isci.2024.109856), Fig. 4, that thresholds fail in."""


class SxtRanges(Settings):
    """Where domain randomisation draws an :class:`SxtDegradation` and the absorption of a field from."""

    photons_per_pixel: Range = (800.0, 4000.0)
    """Log-uniform."""
    blur_um: Range = (0.0, 0.02)
    """Uniform."""
    stray_share: Range = (0.0, 0.04)
    """Uniform."""
    misalignment_um: Range = (0.05, 0.5)
    """Uniform."""
    residual_um: Range = (0.0, 0.03)
    """Uniform."""
    axis_offset_um: Range = (-0.02, 0.02)
    """Uniform."""
    angle_std_deg: Range = (0.0, 0.15)
    """Uniform."""
    ring_depth_std: Range = (0.001, 0.008)
    """Log-uniform."""
    intensity_std: Range = (0.0, 0.01)
    """Uniform."""
    absorption: AbsorptionRanges = AbsorptionRanges()
    """What the samples absorb."""


RANGES: dict[str, SxtRanges] = {
    "none": SxtRanges(),
    "mild": SxtRanges(
        photons_per_pixel=(300.0, 800.0),
        blur_um=(0.02, 0.04),
        stray_share=(0.04, 0.08),
        residual_um=(0.03, 0.05),
        axis_offset_um=(-0.04, 0.04),
        angle_std_deg=(0.1, 0.3),
        ring_depth_std=(0.008, 0.015),
        absorption=AbsorptionRanges(cytosol=(0.18, 0.24), mitochondrion=(0.03, 0.1), debris=(0.17, 0.6)),
    ),
    "strong": SxtRanges(
        photons_per_pixel=(80.0, 300.0),
        blur_um=(0.04, 0.08),
        stray_share=(0.08, 0.15),
        misalignment_um=(0.3, 1.0),
        residual_um=(0.05, 0.1),
        axis_offset_um=(-0.08, 0.08),
        angle_std_deg=(0.2, 0.6),
        ring_depth_std=(0.015, 0.03),
        intensity_std=(0.01, 0.03),
        absorption=AbsorptionRanges(
            water=(0.11, 0.15), cytosol=(0.16, 0.22), mitochondrion=(0.02, 0.08), debris=(0.15, 0.7)
        ),
    ),
}
"""In-domain ranges and the two held-out domains; in ``mild`` and ``strong`` noise starts where the domain before
ends."""


class SxtState(Settings):
    """What one tomogram suffers, and what its sample absorbs."""

    degradation: SxtDegradation
    """Of the microscope."""
    absorption: AbsorptionRanges
    """Where the cells' coefficients come from."""
    water_per_um: float = Field(ge=0)
    """Ice in 1/µm."""
    glass_per_um: float = Field(ge=0)
    """The capillary in 1/µm."""
    bead_per_um: float = Field(ge=0)
    """Beads in 1/µm."""
    seed: int = Field(ge=0)
    """Of the coefficients of cells and debris."""


def draw_sxt(instrument: SxtInstrument, ranges: SxtRanges, rng: np.random.Generator) -> Optics[SxtInstrument, SxtState]:
    """Draw one tomogram's degradation and absorption; the microscope stays as it is."""
    uniform = ("blur_um", "stray_share", "misalignment_um", "residual_um", "axis_offset_um", "angle_std_deg",
               "intensity_std")  # fmt: skip
    drawn = {name: log_uniform(getattr(ranges, name), rng) for name in ("photons_per_pixel", "ring_depth_std")}
    drawn |= {name: float(rng.uniform(*getattr(ranges, name))) for name in uniform}
    absorption = ranges.absorption
    state = SxtState(
        degradation=SxtDegradation(**drawn),
        absorption=absorption,
        water_per_um=float(rng.uniform(*absorption.water)),
        glass_per_um=float(rng.uniform(*absorption.glass)),
        bead_per_um=float(rng.uniform(*absorption.bead)),
        seed=int(rng.integers(2**62)),
    )
    return Optics(instrument, state)


def absorbing(scene: Scene, optics: Optics[SxtInstrument, SxtState]) -> Scene:
    """The scene with linear absorption coefficients in 1/µm; nothing absorbs outside the capillary."""
    state = optics.degradation

    @cache
    def of_cell(label: int) -> dict[str, tuple[float, float]]:
        rng = np.random.default_rng(np.random.SeedSequence(state.seed, spawn_key=(0, label)))
        return cell_absorption(state.absorption, rng)

    def value_of(part: Part) -> tuple[float, float]:
        if part.structure == "bead":
            return state.bead_per_um, 0.0
        key = (1, part.label) if part.structure == "debris" else (2, part.cell_label, part.label)
        rng = np.random.default_rng(np.random.SeedSequence(state.seed, spawn_key=key))
        if part.structure == "debris":
            return float(rng.uniform(*state.absorption.debris)), 0.0
        value, sigma = of_cell(part.cell_label)[part.structure]
        if part.structure == "lipid_droplet":
            value *= 1.0 + 0.05 * float(rng.standard_normal())
        return max(value, state.water_per_um), sigma

    return scene.with_values(value_of, state.water_per_um, capillary_values=(state.glass_per_um, 0.0))


def measure_sxt(
    view: View, optics: Optics[SxtInstrument, SxtState], conditions: Conditions, rng: np.random.Generator
) -> Channels:
    """The tomogram (1, Z, Y, X) of a frame, in 1/µm."""
    from tomocyte.simulation.physics.soft_xray import simulate_sxt

    del conditions  # X-rays go straight, and on one road
    truth = view.truth
    microscope, margin = optics.instrument, _margin(view)
    absorption = truth.ri
    _, height, width = absorption.shape
    if margin and microscope.geometry == "full-rotation":
        absorption = _wider(view, optics, margin)
        microscope = microscope.model_copy(update={"view_um": width * truth.voxel_size_um[2]})
    else:
        margin = 0
    tomogram = simulate_sxt(
        np.maximum(absorption, 0.0),
        voxel_size_um=truth.voxel_size_um,
        instrument=microscope,
        degradation=optics.degradation.degradation,
        rng=rng,
    )
    return np.ascontiguousarray(tomogram[None, :, margin : margin + height, margin : margin + width])


def _margin(view: View) -> int:
    """Voxels in y and x by which the capillary reaches out of the field; the X-rays go through that glass too."""
    glass, truth = view.scene.capillary, view.truth
    if glass is None:
        return 0
    reach = 0.0
    for plane in (0, truth.ri.shape[0]):
        z = truth.origin_um[0] + plane * truth.voxel_size_um[0]
        outer = glass.radius_um(z) + glass.wall_um
        for axis in (1, 2):
            place = float(glass.centre_um(z)[axis - 1]) - truth.origin_um[axis]
            beyond = outer + max(-place, place - truth.ri.shape[axis] * truth.voxel_size_um[axis])
            reach = max(reach, beyond / truth.voxel_size_um[axis])
    return int(np.ceil(reach)) + 1 if reach > 0 else 0


def _wider(view: View, optics: Optics[SxtInstrument, SxtState], margin: int) -> NDArray[np.float32]:
    """The absorption of the field and of ``margin`` voxels on all four sides of it."""
    truth = view.truth
    planes, height, width = truth.ri.shape
    z, y, x = truth.origin_um
    step = truth.voxel_size_um
    return render_scene(
        absorbing(view.scene, optics),
        step,
        (planes, height + 2 * margin, width + 2 * margin),
        origin_um=(z, y - margin * step[1], x - margin * step[2]),
    ).ri


def check_sxt(instrument: SxtInstrument, medium_ri: float, voxel_size_um: VoxelSize) -> None:
    """Every grid can be imaged: voxels coarser than the optics stand for binned pixels."""
    del instrument, medium_ri, voxel_size_um


INSTRUMENT = Instrument(
    name="sxt",
    description="soft X-ray tomograms",
    quantity="linear_absorption_coefficient",
    unit="1/um",
    channels=("linear_absorption_coefficient",),
    variants=VARIANTS,
    default="XM-2",
    ranges=RANGES,
    check=check_sxt,
    draw=draw_sxt,
    measure=measure_sxt,
    values=absorbing,
    defaults=DEFAULTS,
    preset_defaults=PRESET_DEFAULTS,
    cases=CASES,
    structures=("cell", "nucleus", "mitochondrion", "lipid_droplet", "bead", "capillary"),
    value_name="absorption (1/µm)",
)
