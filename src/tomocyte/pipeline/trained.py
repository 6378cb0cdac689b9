"""A trained model: found, loaded once per worker, asked whether it fits, and its settings.

What it finds in a frame stands in :mod:`tomocyte.pipeline.structures`. To let a run choose something else about how a
model is applied, add it to ``InferenceSettings`` and pass it on in :func:`prediction_settings`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import ModalityError, SettingsError
from tomocyte.modalities import modality
from tomocyte.models.settings import InferenceSettings
from tomocyte.pipeline.settings import RunSettings
from tomocyte.volume import Volume

if TYPE_CHECKING:
    from tomocyte.models import ModelCard
    from tomocyte.segmentation.prediction.frame import PredictionSettings
    from tomocyte.segmentation.prediction.tiled import Predictor

CLASSICAL = "classical"
AUTO = "auto"
LARGE_SECTION = 512
"""Sections are predicted in tiles of at least this many pixels: larger ones see more around them and overlap less."""


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
    notes : tuple of str
        ``W-MODEL-FP32: …`` where bf16 was not exact enough.
    """

    card: ModelCard
    predictor: Predictor
    divisor: tuple[int, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


def settled(settings: RunSettings, volume: Volume) -> tuple[RunSettings, tuple[str, ...], str | None]:
    """The settings with ``auto`` made the modality's own model, or the classical engine where that does not fit.

    Parameters
    ----------
    settings : RunSettings
    volume : Volume
        With voxel size and quantity settled; up to 16 of its planes are read.

    Returns
    -------
    settings : RunSettings
    notes : tuple of str
        ``W-MODEL-AUTO: …`` where the modality's model does not fit this volume.
    left_out_sha256 : str or None
        Of the card of the model that was left out; with another model the volume might fit.
    """
    if settings.model != AUTO:
        return settings, (), None
    name = modality(settings.modality).default_model
    if name == CLASSICAL:
        return settings.model_copy(update={"model": CLASSICAL}), (), None
    from tomocyte.models import check_fit

    chosen = settings.model_copy(update={"model": name})
    card = card_of(chosen)
    if card is not None and not settings.is_forced:
        try:
            check_fit(card, volume, channels=channels_of(card, volume, settings))
        except ModalityError as problem:
            note = f"W-MODEL-AUTO: {name} was left out, the classical engine used: {problem.problem}"
            plain = RunSettings(modality=settings.modality, model=CLASSICAL)
            fallen = settings.model_copy(
                update={name: getattr(plain, name) for name in ("model", "inference", "cells", "uncertainty")}
            )
            return fallen, (note,), card_sha256(card)
    return chosen, (), None


def card_of(settings: RunSettings) -> ModelCard | None:
    """The card of the model asked for; ``None`` for the classical engine. Weights are not read.

    Of ``auto`` it is that of the modality's own model, which a volume may still turn out not to fit.

    Raises
    ------
    SettingsError
        ``E-MODEL-NAME`` with the models known; ``E-MODEL-ROLE``: a network that tells cells apart.
    InputError
        ``E-MODEL-CARD``, ``E-MODEL-FILE``.
    """
    name = modality(settings.modality).default_model if settings.model == AUTO else settings.model
    if name == CLASSICAL:
        return None
    from tomocyte.models import find_model, read_card

    try:
        card = read_card(find_model(name))
    except SettingsError as problem:
        raise SettingsError(problem.code, problem.problem, cure=f"{problem.cure} Or `classical`.") from problem
    if card.role != "organelles":
        raise SettingsError(
            "E-MODEL-ROLE",
            f"{card.name} tells cells apart by their masks; it finds nothing in an image.",
            cure=f"Use --cells {card.name}, and --model with one that finds cells and nuclei.",
        )
    return card


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
    from tomocyte.networks.engine import bf16_problem, describe_engine, make_predictor

    package = load_package(folder)
    card, module = package.card, package.build()
    divisor: Any = module.divisor
    chosen: dict[str, Any] = {"engine": engine, "device": device, "precision": precision}
    predictor = make_predictor(module, activation=card.activation, **chosen)
    how = describe_engine(**chosen)
    notes: tuple[str, ...] = ()
    if precision == "auto" and how["precision"] == "bf16":
        test = package.selftest
        if problem := bf16_problem(predictor, test["input"].numpy(), test["output"].numpy()):
            chosen["precision"] = "fp32"
            predictor = make_predictor(module, activation=card.activation, **chosen)
            how, notes = describe_engine(**chosen), (f"W-MODEL-FP32: {card.name} is computed in fp32: {problem}.",)
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
    return TrainedModel(card, predictor, tuple(divisor), facts, notes)


def prediction_settings(card: ModelCard, chosen: InferenceSettings) -> PredictionSettings:
    """How to predict, from the card and what the user chose over it.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: tiles or section axes that do not suit the model's dimensions.
    """
    from tomocyte.segmentation.prediction.frame import PredictionSettings
    from tomocyte.segmentation.prediction.tiling import TilingSettings
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
    from tomocyte.segmentation.classical.thresholds import Histogram, half_maximum_levels

    values = image.reshape(-1)[:: max(1, image.size // 4_000_000)]
    values = values[np.isfinite(values)]
    return half_maximum_levels(Histogram.of(values)).background if values.size else None
