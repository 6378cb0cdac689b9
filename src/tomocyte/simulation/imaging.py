"""From a rendered frame to what a microscope shows of it, and the microscopes of a data set.

To add a modality, write a function of the form of :func:`_measure_odt`, and name it in :data:`_MEASURE` and
:data:`OUTPUT`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.rendering import Rendered
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.physics.degradation import OdtDegradation, QpiDegradation, sample_odt, sample_qpi
from tomocyte.simulation.physics.fields import simulate_odt_thick
from tomocyte.simulation.physics.formation import simulate_odt
from tomocyte.simulation.physics.optics import (
    OdtInstrument,
    QpiInstrument,
    check_odt,
    check_qpi,
    odt_instrument,
    qpi_instrument,
)
from tomocyte.simulation.physics.phase import dry_mass_density, simulate_qpi

Float32 = NDArray[np.float32]
Labels = NDArray[np.uint32]
Optics = tuple[OdtInstrument, OdtDegradation] | tuple[QpiInstrument, QpiDegradation]


def check_optics(settings: DatasetSettings, medium_ri: float) -> None:
    """Raise ``E-OPTICS-…`` or ``E-INSTRUMENT`` when the settings' microscope cannot image the settings' grid."""
    instrument = _instrument(settings)
    if isinstance(instrument, OdtInstrument):
        check_odt(instrument, medium_ri, settings.voxel_size_um)
    else:
        check_qpi(instrument, medium_ri, settings.voxel_size_um)


def _instrument(settings: DatasetSettings) -> OdtInstrument | QpiInstrument:
    if settings.modality == "qpi":
        return qpi_instrument(settings.instrument or "HT-2H-2D")
    instrument = odt_instrument(settings.instrument or "HT-2H")
    return instrument.model_copy(update={"is_coarse_grid_allowed": settings.is_coarse_grid_allowed})


def draw_optics(settings: DatasetSettings, rng: np.random.Generator) -> Optics:
    """Instrument state and degradation of one item, from the ranges of its domain."""
    instrument = _instrument(settings)
    if isinstance(instrument, OdtInstrument):
        return sample_odt(instrument, rng, shift=settings.shift, ranges=settings.odt_ranges)
    return instrument, sample_qpi(rng, shift=settings.shift, ranges=settings.qpi_ranges)


def _measure_odt(truth: Rendered, optics: tuple[Any, Any], rng: np.random.Generator, way: tuple[bool, str]) -> Float32:
    instrument, degradation = optics
    is_thick, backend = way
    if is_thick and backend != "numpy":
        raise SettingsError("E-BACKEND", "multiple scattering runs on numpy only.", cure="Use numpy.")
    if is_thick:
        return simulate_odt_thick(
            truth.ri,
            truth.medium_ri,
            voxel_size_um=truth.voxel_size_um,
            instrument=instrument,
            degradation=degradation,
            rng=rng,
        )
    return simulate_odt(
        truth.ri,
        truth.medium_ri,
        voxel_size_um=truth.voxel_size_um,
        instrument=instrument,
        degradation=degradation,
        rng=rng,
        backend=backend,
    )


def _measure_qpi(truth: Rendered, optics: tuple[Any, Any], rng: np.random.Generator, way: tuple[bool, str]) -> Float32:
    del way  # light always goes slice by slice, and one plane at a time is nothing for a GPU
    instrument: QpiInstrument = optics[0]
    phase = simulate_qpi(
        truth.ri,
        truth.medium_ri,
        voxel_size_um=truth.voxel_size_um,
        instrument=instrument,
        degradation=optics[1],
        rng=rng,
    )
    density = dry_mass_density(
        phase,
        wavelength_um=instrument.wavelength_um,
        refraction_increment_ml_per_g=instrument.refraction_increment_ml_per_g,
    )
    return density[None]


def topmost(labels: Labels) -> Labels:
    """(1, Y, X): the first label met from above."""
    from_above = labels[::-1]
    first = np.argmax(from_above > 0, axis=0)
    return np.take_along_axis(from_above, first[None], axis=0)


_MEASURE: dict[str, Callable[[Rendered, tuple[Any, Any], np.random.Generator, tuple[bool, str]], Float32]] = {
    "odt": _measure_odt,
    "qpi": _measure_qpi,
}
OUTPUT: dict[str, tuple[int | None, str, str]] = {
    "odt": (None, "refractive_index", "1"),
    "qpi": (1, "dry_mass_density", "pg/um2"),
}
"""Planes of the result (all where None), quantity and unit."""


def measure_frame(
    truth: Rendered, settings: DatasetSettings, *, optics: Optics, rng: np.random.Generator, backend: str = "numpy"
) -> Float32:
    """What the microscope shows of a frame.

    Parameters
    ----------
    truth : Rendered
    settings : DatasetSettings
    optics : tuple
        As :func:`draw_optics` returns it.
    rng : numpy Generator
        Of this frame's noise.
    backend : str
        See :func:`~tomocyte.simulation.physics.formation.simulate_odt`.

    Returns
    -------
    ndarray (Z, Y, X) or (1, Y, X), float32
        Refractive index, or dry-mass density in pg/µm².

    Raises
    ------
    SettingsError
        ``E-OPTICS-…``, ``E-BACKEND``.
    """
    return _MEASURE[settings.modality](truth, optics, rng, (settings.is_multiple_scattering, backend))
