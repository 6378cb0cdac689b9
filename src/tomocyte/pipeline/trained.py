"""A trained model at work: found, loaded once per worker, asked whether it fits, and applied to a frame.

Structures that the model knows replace those of the classical engine. An output called ``<structure>_core`` is the
core of that structure and tells touching objects apart. To give a structure its own smallest size, add it to
:data:`SMALLEST_UM`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.settings import InferenceSettings, InstanceSettings, RunSettings, SegmentationSettings, SplitSettings
from tomocyte.volume import Volume, VoxelSize

if TYPE_CHECKING:
    from tomocyte.models import ModelCard
    from tomocyte.segmentation.inference import PredictionSettings
    from tomocyte.segmentation.prediction import Predictor

Labels = NDArray[np.unsignedinteger[Any]]
OnTiles = Callable[[int, int], None]

CLASSICAL = "classical"
CORE = "_core"
BACKGROUND = "background"
LARGE_SECTION = 512
"""Sections are predicted in tiles of at least this many pixels: larger ones see more around them and overlap less."""
SMALLEST_UM: dict[str, tuple[float, float]] = {
    "nucleus": (5.0, 5.0),
    "nucleolus": (0.2, 0.2),
    "lipid_droplet": (0.05, 0.2),
    "mitochondrion": (0.05, 0.1),
}
"""Smallest object of a structure in µm³ and, in 2-D, in µm²."""
OTHERWISE_SMALLEST_UM = (0.5, 0.5)


@dataclass(frozen=True)
class TrainedModel:
    """A model ready to be applied.

    Parameters
    ----------
    card : ModelCard
    predictor : callable
        float32 (B, C, *tile) to float32 probabilities (B, K, *tile).
    divisor : tuple of int
    facts : dict
        JSON-able: what computed, with which weights.
    """

    card: ModelCard
    predictor: Predictor
    divisor: tuple[int, ...]
    facts: dict[str, Any]


def card_of(settings: RunSettings) -> ModelCard | None:
    """The card of the model asked for; ``None`` for the classical engine. Weights are not read.

    Raises
    ------
    SettingsError
        ``E-MODEL-NAME`` with the models known.
    InputError
        ``E-MODEL-CARD``, ``E-MODEL-FILE``.
    """
    if settings.model == CLASSICAL:
        return None
    from tomocyte.models import find_model, read_card

    try:
        return read_card(find_model(settings.model))
    except SettingsError as problem:
        raise SettingsError(problem.code, problem.problem, cure=f"{problem.cure} Or `classical`.") from problem


def card_sha256(card: ModelCard) -> str:
    """SHA-256 of the card, which holds that of the weights: everything about the model that decides a result."""
    return hashlib.sha256(card.to_bytes()).hexdigest()


def open_model(settings: RunSettings) -> TrainedModel | None:
    """The model asked for, loaded and checked; ``None`` for the classical engine.

    The last model stays loaded in this process, so that a worker loads it once for all its inputs.

    Raises
    ------
    SettingsError, InputError
        As :func:`tomocyte.models.load_package` and :func:`tomocyte.networks.engine.make_predictor`.
    """
    card = card_of(settings)
    if card is None:
        return None
    from tomocyte.models import find_model

    chosen = settings.inference
    folder = find_model(settings.model)
    return _loaded(folder, card_sha256(card), chosen.engine, chosen.precision, chosen.device)


@lru_cache(maxsize=1)
def _loaded(folder: Path, sha256: str, engine: str, precision: str, device: str) -> TrainedModel:
    from tomocyte.models import load_package
    from tomocyte.networks.engine import describe_engine, make_predictor

    package = load_package(folder)
    card, module = package.card, package.build()
    divisor: Any = module.divisor
    how = describe_engine(engine, device=device, precision=precision)
    facts = {
        "name": card.name,
        "version": card.version,
        "structures": list(card.structures),
        "card_sha256": sha256,
        "weights_sha256": card.weights_sha256,
        "is_trained_on_simulated": card.is_trained_on_simulated,
        "limits": card.limits,
        **{name: how[name] for name in ("engine", "device", "precision")},
        "engine_version": how["version"],
    }
    predictor = make_predictor(module, activation=card.activation, engine=engine, device=device, precision=precision)
    return TrainedModel(card, predictor, tuple(divisor), facts)


def structures_of(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """The structures that become objects, each with its output and, where there is one, that of its core.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> structures_of(SimpleNamespace(structures=("background", "cell", "cell_core", "nucleus")))
    {'cell': (1, 2), 'nucleus': (3,)}
    """
    index = {name: output for output, name in enumerate(card.structures)}
    found: dict[str, tuple[int, ...]] = {}
    for name, output in index.items():
        is_core = name.endswith(CORE) and name.removesuffix(CORE) in index
        if name != BACKGROUND and not is_core:
            found[name] = (output, index[name + CORE]) if name + CORE in index else (output,)
    return found


def prediction_settings(card: ModelCard, chosen: InferenceSettings) -> PredictionSettings:
    """How to predict, from the card and what the user chose over it.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: tiles or section axes that do not suit the model's dimensions.
    """
    from tomocyte.segmentation.inference import PredictionSettings
    from tomocyte.segmentation.tiling import TilingSettings
    from tomocyte.settings import build_settings

    tile = chosen.tile_shape or card.tile_shape
    if chosen.tile_shape is None and card.dimensions == 2:
        tile = tuple(size * math.ceil(LARGE_SECTION / size) for size in card.tile_shape)
    if len(tile) != card.dimensions:
        raise SettingsError("E-SETTINGS", f"{card.name} needs tiles of {card.dimensions} sizes, not {tile}.")
    if card.dimensions == 3 and chosen.section_axes is not None:
        raise SettingsError("E-SETTINGS", f"{card.name} sees volumes: it knows no section axes.")
    tiling = build_settings(
        TilingSettings,
        {
            "tile_shape": tile,
            "halo": chosen.halo,
            **chosen.model_dump(include={"overlap", "weight", "batch_size", "test_time_flips"}),
        },
    )
    z_um, y_um, x_um = card.voxel_size_um
    content = {
        "tiling": tiling,
        "voxel_size_um": (y_um if z_um is None else z_um, y_um, x_um),
        "section_axes": chosen.section_axes or (card.section_axis or "z",),
        "vote": chosen.vote,
        "vote_threshold": None if card.activation == "softmax" else 0.5,
        "fixed_frame": card.fixed_frame,
    }
    return build_settings(PredictionSettings, content)


def channels_of(card: ModelCard, volume: Volume, settings: RunSettings) -> tuple[int, ...]:
    """The volume's channels that the model sees: the one chosen, or those of the same names, or the first ones."""
    if len(card.channels) == 1:
        return (settings.channel,)
    if set(card.channels) <= set(volume.channel_names):
        return tuple(volume.channel_names.index(name) for name in card.channels)
    return tuple(range(volume.n_channels))


def instance_settings(
    card: ModelCard, structure: str, settings: RunSettings, engine: SegmentationSettings, *, is_main: bool
) -> InstanceSettings:
    """How a structure's probabilities become objects: the user's word, else the card's threshold and usual sizes."""
    if structure in settings.inference.instances:
        return settings.inference.instances[structure]
    # A share of axes is not a probability: more than half of them must say yes.
    threshold = 0.5 if settings.inference.vote == "majority" else card.threshold_of(structure)
    clean = engine.clean
    solid, flat = SMALLEST_UM.get(structure, OTHERWISE_SMALLEST_UM)
    has_core = structure + CORE in card.structures
    return InstanceSettings(
        threshold=threshold,
        core_threshold=card.threshold_of(structure + CORE) if has_core else 0.5,
        min_volume_um3=clean.min_volume_um3 if is_main else solid,
        min_area_um2=clean.min_area_um2 if is_main else flat,
        is_hole_filled=clean.is_hole_filled if is_main else True,
        is_border_cleared=clean.is_border_cleared if is_main else False,
        split=engine.split if is_main and not has_core else SplitSettings(method="none"),
    )


@dataclass(frozen=True)
class FrameInput:
    """A frame as a model needs it.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
        Physical values of the model's channels; NaN = outside.
    voxel_size_um : tuple of 3 float
    medium_ri : float or None
    main : str
        What the main objects are called here.
    """

    image: NDArray[np.float32]
    voxel_size_um: VoxelSize
    medium_ri: float | None
    main: str


def find_structures(
    model: TrainedModel,
    frame: FrameInput,
    settings: RunSettings,
    engine: SegmentationSettings,
    *,
    report: OnTiles | None = None,
) -> dict[str, Labels]:
    """Everything the model knows, as labels; the main objects under the name ``cell``.

    Parameters
    ----------
    model : TrainedModel
    frame : FrameInput
    settings : RunSettings
    engine : SegmentationSettings
        Whose sizes and split hold for the main objects.
    report : callable, optional
        Told the tiles done and the tiles in all.

    Returns
    -------
    dict of str to ndarray (Z, Y, X), unsigned integer
        Voxels that are NaN in any channel belong to nothing.
    """
    from tomocyte.segmentation.inference import predict_frame
    from tomocyte.segmentation.normalize import normalize
    from tomocyte.segmentation.probability_instances import instances_from_probability

    card = model.card
    seen = normalize(frame.image, card.normalization, medium_ri=frame.medium_ri)
    probability = predict_frame(
        seen,
        frame.voxel_size_um,
        model.predictor,
        prediction_settings(card, settings.inference),
        n_outputs=len(card.structures),
        divisor=model.divisor,
        report=report,
    )
    del seen
    for z in range(probability.shape[1]):
        probability[:, z, ~np.isfinite(frame.image[:, z]).all(axis=0)] = 0
    found: dict[str, Labels] = {}
    for structure, outputs in structures_of(card).items():
        is_main = structure in ("cell", frame.main)
        chosen = instance_settings(card, structure, settings, engine, is_main=is_main)
        part = probability[list(outputs)] if len(outputs) > 1 else probability[outputs[0] : outputs[0] + 1]
        if card.activation == "softmax" and len(outputs) > 1:
            part[0] += part[1]  # classes exclude each other: the whole object is its rim and its core
        found["cell" if is_main else structure] = instances_from_probability(part, frame.voxel_size_um, chosen)
    return found


def check_frame(
    model: TrainedModel, volume: Volume, image: NDArray[np.float32], settings: RunSettings, *, frame: int
) -> tuple[str, ...]:
    """Refuse a frame that the model was not made for, or say so where the user forces it.

    Parameters
    ----------
    model : TrainedModel
    volume : Volume
        With the quantity that ``image`` holds.
    image : ndarray (Z, Y, X), float32
        Physical values of the chosen channel; a frame without a single finite voxel is not asked.
    settings : RunSettings
    frame : int

    Returns
    -------
    tuple of str
        ``W-MODEL-FIT-…`` notes when forced.

    Raises
    ------
    ModalityError
        ``E-MODEL-FIT-…``.
    """
    from tomocyte.models import check_fit

    if not np.isfinite(image).any():
        return ()
    channels = channels_of(model.card, volume, settings)
    # One channel is in memory; several are sampled from the file.
    known = np.broadcast_to(image[None], (volume.n_channels, *image.shape)) if len(channels) == 1 else None
    return check_fit(model.card, volume, image=known, frame=frame, channels=channels, is_forced=settings.is_forced)


def medium_for(card: ModelCard, volume: Volume, settings: RunSettings, image: NDArray[np.float32]) -> float | None:
    """The medium's RI for the normalisation: given, read, or the mode of the frame's background; else ``None``."""
    if card.normalization.kind != "medium":
        return None
    if settings.medium_ri != "background":
        return volume.medium_ri
    from tomocyte.segmentation.thresholds import Histogram, half_maximum_levels

    values = image.reshape(-1)[:: max(1, image.size // 4_000_000)]
    values = values[np.isfinite(values)]
    return half_maximum_levels(Histogram.of(values)).background if values.size else None


def model_forecast(volume: Volume, settings: RunSettings) -> tuple[int, float]:
    """Bytes and seconds that a trained model adds to one input; (0, 0) for the classical engine."""
    card = card_of(settings)
    if card is None:
        return 0, 0.0
    from tomocyte.forecast import network_divisor, network_forecast
    from tomocyte.networks.engine import choose_engine
    from tomocyte.segmentation.inference import count_tiles, prediction_bytes, tile_of

    chosen = prediction_settings(card, settings.inference)
    shape, size = (len(card.channels), *volume.spatial_shape), volume.require_voxel_size()
    network = (card.network.name, dict(card.network.options))
    divisor = network_divisor(network)
    n_outputs = len(card.structures)
    n_tiles = count_tiles(shape, size, chosen, divisor=divisor) * (
        2 ** len(chosen.tiling.tile_shape) if chosen.tiling.test_time_flips else 1
    )
    how = choose_engine(
        settings.inference.engine, device=settings.inference.device, precision=settings.inference.precision
    )
    tile = tile_of(shape, size, chosen, divisor=divisor)
    network_bytes, seconds = network_forecast(
        network,
        (chosen.tiling.batch_size, len(card.channels), *tile),
        n_tiles=n_tiles * volume.n_frames,
        precision=how.precision,
    )
    # Normalised frame beside the physical one, and what tiles and resampling take.
    held = 4 * math.prod(shape) + prediction_bytes(shape, size, chosen, n_outputs=n_outputs, divisor=divisor)
    return held + network_bytes, seconds
