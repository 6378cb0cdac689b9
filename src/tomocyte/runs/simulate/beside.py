"""A real volume beside a simulated one of the same grid: the check that training data look like the microscope's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError, MissingFact, SettingsError
from tomocyte.settings import build_settings
from tomocyte.simulation.beside import VolumeProfile, draw_beside, profile_volume
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments import Conditions, Optics, View, instrument
from tomocyte.volume import Volume, VoxelSize

OPEN_HL60 = "open-hl60"
PLANES_OF_AN_IMAGE = 40
PLANE_UM = 0.5
FREQUENCIES_PER_UM = (0.2, 0.5, 1.0, 2.0)


MEDIUM = MissingFact("medium_ri", ("NUMBER",))


def missing_facts(real: Volume, *, modality: str = "odt") -> tuple[MissingFact, ...]:
    """What a real image lacks for the comparison, the medium among it where values count from it."""
    needs_medium = instrument(modality).quantity == "refractive_index" and real.medium_ri is None
    facts = [fact for fact in real.missing_facts() if fact.is_needed]
    return (*facts, MEDIUM) if needs_medium else tuple(facts)


def real_beside_simulated(
    real: Volume, path: Path, *, settings: dict[str, Any], seed: int, is_open_hl60: bool = False
) -> dict[str, dict[str, float]]:
    """Draw slices, histograms and power spectra of a real volume and of a simulated one, and give their key figures.

    Parameters
    ----------
    real : Volume
        Refractive index with the medium's, or a dry-mass density image; its first frame is used.
    path : Path
        Picture to write (PNG, PDF or SVG).
    settings : dict
        Fields of :class:`~tomocyte.simulation.dataset_settings.DatasetSettings`; grid and medium are the real volume's.
    seed : int
    is_open_hl60 : bool
        Degrade as fitted to the open HL60 tomogram, instead of drawing the degradation from the instrument's ranges.

    Returns
    -------
    dict
        ``real`` and ``simulated`` -> ``p0.1``, ``median``, ``p99.9`` of value minus medium, and the log10 of the
        relative power at some spatial frequencies.

    Raises
    ------
    MetadataError
        ``E-MEDIUM``: a tomogram without the medium's refractive index.
    SettingsError
        ``E-INSTRUMENT``: no such instrument. ``E-SIM-FITTED``: nothing was fitted to the open HL60 tomogram for it.
    """
    kind = instrument(settings.get("modality", "odt"))
    is_image = kind.n_planes == 1
    has_medium = kind.quantity == "refractive_index"
    if is_open_hl60 and OPEN_HL60 not in kind.fitted:
        raise SettingsError("E-SIM-FITTED", f"{kind.name} has no fit to the open HL60 tomogram.", cure="Use odt.")
    if real.medium_ri is None and has_medium:
        raise MetadataError("E-MEDIUM", "the medium's RI is not known.", path=real.path, missing=(MEDIUM,))
    size = real.require_voxel_size()
    frame = np.asarray(real.planes(0, 0), dtype=np.float32)
    item = simulate_item(_settings_like(real, settings, is_image=is_image), 0, seed=seed)
    first_frame = item.frame(0)
    measured = first_frame.measured
    if is_open_hl60:
        fitted = Optics(item.optics.instrument, kind.fitted[OPEN_HL60])
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(9,)))
        measured = kind.measure(View(item.scenes[0], first_frame.truth), fitted, Conditions(), rng)[0]
    shown = (size[1], size[1], size[2]) if is_image else size
    volumes = {
        "real": (frame, kind.value_of_medium(float(real.medium_ri or 0.0))),
        "simulated": (measured, kind.value_of_medium(item.medium_ri)),
    }
    limits = _limits(volumes)
    profiles = {
        name: profile_volume(voxels, medium, voxel_size_um=shown, limits=limits)
        for name, (voxels, medium) in volumes.items()
    }
    draw_beside(profiles, path, quantity=kind.value_name, limits=limits)
    return {name: _figures(*volumes[name], profiles[name]) for name in volumes}


def _settings_like(real: Volume, settings: dict[str, Any], *, is_image: bool) -> DatasetSettings:
    """Settings on the real volume's grid, with its medium; an image needs a height for the light to go through."""
    size = real.require_voxel_size()
    planes, height, width = real.spatial_shape
    voxel: VoxelSize = (PLANE_UM, size[1], size[2]) if is_image else size
    defaults = instrument(settings.get("modality", "odt")).defaults_of(settings).get("scene", {})
    whole = {} if is_image or "capillary" in defaults else {"border_overhang": 0.0}
    scene = {"mitotic_share": 0.0, "apoptotic_share": 0.0, **whole, **settings.get("scene", {})}
    if real.medium_ri is not None:
        scene["medium_ri"] = (real.medium_ri, real.medium_ri)
    shape = (PLANES_OF_AN_IMAGE if is_image else planes, height, width)
    return build_settings(DatasetSettings, {**settings, "shape": shape, "voxel_size_um": voxel, "scene": scene})


def _limits(volumes: dict[str, tuple[NDArray[np.float32], float]]) -> tuple[float, float]:
    ends = [np.percentile(voxels - medium, (0.05, 99.95)) for voxels, medium in volumes.values()]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _figures(voxels: NDArray[np.float32], medium: float, profile: VolumeProfile) -> dict[str, float]:
    low, middle, high = np.percentile(voxels.astype(np.float64) - medium, (0.1, 50, 99.9))
    figures = {"p0.1": float(low), "median": float(middle), "p99.9": float(high)}
    for frequency in FREQUENCIES_PER_UM:
        if frequency <= profile.frequency_per_um[-1]:
            power = float(np.interp(frequency, profile.frequency_per_um, profile.power))
            figures[f"log10 power at {frequency:g}/um"] = math.log10(power) if power > 0 else -math.inf
    return figures
