"""A model ready to be applied: found by name, loaded once per process, with what computes it.

How it is applied to a frame stands in :mod:`tomocyte.models.prediction`. To let a run choose something else about that,
add it to ``InferenceSettings`` and pass it on in :func:`prediction_settings`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.errors import SettingsError
from tomocyte.models.card import ModelCard, read_card
from tomocyte.models.library import find_model
from tomocyte.models.settings import InferenceSettings
from tomocyte.notices import Notice

if TYPE_CHECKING:
    from tomocyte.models.package import ModelPackage
    from tomocyte.segmentation.prediction.frame import PredictionSettings
    from tomocyte.segmentation.prediction.tiled import Predictor

LARGE_SECTION = 512
"""Sections are predicted in tiles of at least this many pixels: larger ones see more around them and overlap less."""
MODELS_HELD = 16
"""Models that stay loaded in a process: one that finds structures, one that tells cells apart, one that refines; or
those of a cascade."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to be applied.

    Parameters
    ----------
    card : ModelCard
    predictor : callable
        float32 (B, C, *tile) to float32 probabilities (B, K, *tile).
    divisor : tuple of int
        What each spatial size of its input must be a multiple of.
    facts : dict
        JSON-able: what computed, with which weights.
    notices : tuple of Notice
        ``W-MODEL-FP32`` where bf16 was not exact enough.
    """

    card: ModelCard
    predictor: Predictor
    divisor: tuple[int, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


def card_sha256(card: ModelCard) -> str:
    """SHA-256 of the card, which holds that of the weights: everything about the model that decides a result."""
    return hashlib.sha256(card.to_bytes()).hexdigest()


def read_organelles_card(name: str) -> ModelCard:
    """The card of a model that finds structures in images. Weights are not read.

    Parameters
    ----------
    name : str
        Of a model, or the folder of its package.

    Raises
    ------
    SettingsError
        ``E-MODEL-NAME`` with the models known; ``E-MODEL-ROLE``: a network that tells cells apart.
    InputError
        ``E-MODEL-CARD``, ``E-MODEL-FILE``.
    """
    try:
        card = read_card(find_model(name))
    except SettingsError as problem:
        raise SettingsError(problem.code, problem.problem, cure=f"{problem.cure} Or `classical`.") from problem
    if card.role != "organelles":
        raise SettingsError(
            "E-MODEL-ROLE",
            f"{card.name} separates cells that another model has found; it cannot segment an image by itself.",
            cure=f"Use --cells {card.name} together with a --model that finds cells and nuclei.",
        )
    return card


def load_model(name: str | Path, inference: InferenceSettings | None = None) -> LoadedModel:
    """A model by its name or folder, loaded and checked.

    The last few models stay loaded in this process, so that a worker loads each once for all its inputs.

    Parameters
    ----------
    name : str or Path
    inference : InferenceSettings, optional
        Engine, precision and device.

    Raises
    ------
    SettingsError, InputError
        As :func:`tomocyte.models.load_package` and :func:`tomocyte.networks.engine.make_predictor`.
    """
    options = inference or InferenceSettings()
    folder = find_model(name)
    sha256 = card_sha256(read_card(folder))
    return _load_cached(folder, sha256, options.engine, options.precision, options.device)


@lru_cache(maxsize=MODELS_HELD)
def _load_cached(folder: Path, sha256: str, engine: str, precision: str, device: str) -> LoadedModel:  # noqa: ARG001
    from tomocyte.models import load_package

    return load_from_package(load_package(folder), engine=engine, precision=precision, device=device)


def load_from_package(
    package: ModelPackage, *, engine: str = "auto", precision: str = "auto", device: str = "cpu"
) -> LoadedModel:
    """The model of a package that has been read already; parameters as ``InferenceSettings`` has them.

    A network that tells cells apart sees windows of many shapes, for each of which other engines would compile anew:
    there ``auto`` is torch.
    """
    from tomocyte.networks.engine import bf16_problem, describe_engine, make_predictor

    card, module = package.card, package.build()
    divisor: Any = module.divisor
    if card.role != "organelles" and engine == "auto":
        engine = "torch"
    options: dict[str, Any] = {"engine": engine, "device": device, "precision": precision}
    predictor = make_predictor(module, activation=card.activation, **options)
    description = describe_engine(**options)
    notices: tuple[Notice, ...] = ()
    if precision == "auto" and description["precision"] == "bf16":
        selftest = package.selftest
        if problem := bf16_problem(predictor, selftest["input"].numpy(), selftest["output"].numpy()):
            options["precision"] = "fp32"
            predictor = make_predictor(module, activation=card.activation, **options)
            description = describe_engine(**options)
            notices = (Notice("W-MODEL-FP32", f"{card.name} is computed in fp32: {problem}."),)
    facts = {
        "name": card.name,
        "version": card.version,
        "structures": list(card.structures),
        "card_sha256": card_sha256(card),
        "weights_sha256": card.weights_sha256,
        "is_trained_on_simulated": card.is_trained_on_simulated,
        "limits": card.limits,
        **{name: description[name] for name in ("engine", "device", "precision")},
        "engine_version": description["version"],
    }
    return LoadedModel(card, predictor, tuple(divisor), facts, notices)


def prediction_settings(card: ModelCard, inference: InferenceSettings) -> PredictionSettings:
    """How to predict, from the card and what the user chose over it.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: tiles or section axes that do not suit the model's dimensions.
    """
    from tomocyte.segmentation.prediction.frame import PredictionSettings
    from tomocyte.segmentation.prediction.tiling import TilingSettings
    from tomocyte.settings import build_settings

    tile = inference.tile_shape or card.tile_shape
    if inference.tile_shape is None and card.dimensions == 2:
        tile = tuple(size * math.ceil(LARGE_SECTION / size) for size in card.tile_shape)
    if len(tile) != card.dimensions:
        raise SettingsError("E-SETTINGS", f"{card.name} needs tiles with {card.dimensions} sizes, not {tile}.")
    if card.dimensions == 3 and inference.section_axes is not None:
        raise SettingsError("E-SETTINGS", f"{card.name} is for volumes and has no section axes.")
    tiling = build_settings(
        TilingSettings,
        {
            "tile_shape": tile,
            "halo": inference.halo,
            **inference.model_dump(include={"overlap", "weight", "batch_size", "test_time_flips"}),
        },
    )
    z_um, y_um, x_um = card.voxel_size_um
    content = {
        "tiling": tiling,
        "voxel_size_um": (y_um if z_um is None else z_um, y_um, x_um),
        "section_axes": inference.section_axes or (card.section_axis or "z",),
        "vote": inference.vote,
        "vote_threshold": None if card.activation == "softmax" else 0.5,
        "fixed_frame": card.fixed_frame,
        "scaled_frame": card.scaled_frame,
    }
    return build_settings(PredictionSettings, content)
