"""A real volume beside a simulated one of the same grid: the check that training data look like the microscope's."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from tomocyte.simulation.labelled import ValuedLabels, image_labels
from tomocyte.volume import Volume, VoxelSize

OPEN_HL60 = "open-hl60"
PLANES_OF_AN_IMAGE = 40
PLANE_UM = 0.5
FREQUENCIES_PER_UM = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
N_GREY_BINS = 40
"""Of a histogram of 8-bit values, so that each bin holds several of them."""
GREY_NAME = "deviation from the mean (SD)"
Volumes = dict[str, tuple[NDArray[np.float32], float]]


MEDIUM = MissingFact("medium_ri", ("NUMBER",))


def missing_facts(real: Volume, *, modality: str = "odt") -> tuple[MissingFact, ...]:
    """What a real image lacks for the comparison, the medium among it where values count from it."""
    needs_medium = instrument(modality).quantity == "refractive_index" and real.medium_ri is None
    facts = [fact for fact in real.missing_facts() if fact.is_needed]
    return (*facts, MEDIUM) if needs_medium else tuple(facts)


def real_beside_simulated(
    real: Volume,
    path: Path,
    *,
    settings: dict[str, Any],
    seed: int,
    is_open_hl60: bool = False,
    is_inverted: bool = False,
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
    is_inverted : bool
        Dark grey values absorb more (soft X-rays without a coefficient, which are compared by their forms).

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
    volumes = {
        "real": (frame, kind.value_of_medium(float(real.medium_ri or 0.0))),
        "simulated": (measured, kind.value_of_medium(item.medium_ri)),
    }
    shown = (size[1], size[1], size[2]) if is_image else size
    if has_grey_values(real, kind.name):
        return _compare(_in_deviations(volumes, is_inverted=is_inverted), path, shown, GREY_NAME, n_bins=N_GREY_BINS)
    return _compare(volumes, path, shown, kind.value_name)


def real_beside_labels(
    real: Volume,
    path: Path,
    *,
    sample: Sequence[ValuedLabels],
    outside_value: float,
    modality: str,
    variant: str = "",
    seed: int,
    is_inverted: bool = False,
) -> dict[str, dict[str, float]]:
    """The same for shapes that were segmented, in the real volume itself for instance.

    Parameters
    ----------
    real : Volume
        As in :func:`real_beside_simulated`.
    path : Path
    sample : sequence of ValuedLabels
        On the real volume's grid.
    outside_value : float
        Of voxels without a label.
    modality, variant : str
        Instrument and microscope of that kind.
    seed : int
    is_inverted : bool
        Dark grey values absorb more.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: labels of another shape; ``E-SIM-VALUES``; what
        :func:`tomocyte.simulation.labelled.image_labels` refuses.
    """
    size = real.require_voxel_size()
    for layer in sample:
        if np.shape(layer.labels) != real.spatial_shape:
            raise SettingsError(
                "E-SHAPE",
                f"labels of {layer.structure} have {np.shape(layer.labels)} voxels, the image {real.spatial_shape}.",
                cure="Give labels on the voxels of the image.",
            )
    kind = instrument(modality)
    image = image_labels(sample, outside_value, voxel_size_um=size, modality=modality, variant=variant, seed=seed)
    volumes = {
        "real": (np.asarray(real.planes(0, 0), np.float32), kind.value_of_medium(float(real.medium_ri or 0.0))),
        "simulated": (image.channels[0], kind.value_of_medium(outside_value)),
    }
    if has_grey_values(real, modality):
        return _compare(_in_deviations(volumes, is_inverted=is_inverted), path, size, GREY_NAME, n_bins=N_GREY_BINS)
    return _compare(volumes, path, size, kind.value_name)


def has_grey_values(real: Volume, modality: str) -> bool:
    """Whether only forms can be compared: a soft X-ray volume whose file does not call its values coefficients."""
    quantity = instrument(modality).quantity
    return quantity == "linear_absorption_coefficient" and real.quantity != quantity


def _in_deviations(volumes: Volumes, *, is_inverted: bool) -> Volumes:
    """Both in their own standard deviations from their mean, because the unit of one is not known."""
    scores = {}
    for name, (voxels, _) in volumes.items():
        values = voxels.astype(np.float64)
        deviation = float(values.std())
        sign = -1.0 if is_inverted and name == "real" else 1.0
        scores[name] = ((sign * (values - values.mean()) / (deviation or 1.0)).astype(np.float32), 0.0)
    return scores


def _compare(
    volumes: Volumes, path: Path, size: VoxelSize, quantity: str, *, n_bins: int = 80
) -> dict[str, dict[str, float]]:
    limits = _limits(volumes)
    profiles = {
        name: profile_volume(voxels, medium, voxel_size_um=size, limits=limits, n_bins=n_bins)
        for name, (voxels, medium) in volumes.items()
    }
    draw_beside(profiles, path, quantity=quantity, limits=limits)
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


def _limits(volumes: Volumes) -> tuple[float, float]:
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
