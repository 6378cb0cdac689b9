"""A model package made ready, and what it says about one frame.

Only what the experiments need: normalise as the card says, predict as ``tomocyte run`` does, pick one structure. To
apply models to whole files with tables and labels, use the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.models.settings import InferenceSettings
from tomocyte.pipeline.trained import prediction_settings
from tomocyte.segmentation.prediction.frame import predict_frame
from tomocyte.segmentation.prediction.normalization import normalize
from tomocyte.volume import Volume

if TYPE_CHECKING:
    from tomocyte.models import ModelCard, ModelPackage

Predictor = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class AppliedModel:
    """A model ready for use.

    Parameters
    ----------
    card : ModelCard
    predictor : callable
        float32 (B, C, *tile) to float32 probabilities (B, K, *tile).
    divisor : tuple of int
        What each spatial size of its input must be a multiple of.
    """

    card: ModelCard
    predictor: Predictor
    divisor: tuple[int, ...]


def applied_model(package: ModelPackage, *, engine: str = "auto", device: str = "cpu") -> AppliedModel:
    """The model of a package with its predictor.

    Parameters
    ----------
    package : ModelPackage
        From :func:`tomocyte.models.load_package`.
    engine, device : str
        As :func:`tomocyte.networks.engine.make_predictor` takes them.
    """
    divisor: Any = package.build().divisor
    return AppliedModel(package.card, package.predictor(engine=engine, device=device), tuple(divisor))


def predict_structure(
    model: AppliedModel, volume: Volume, image: NDArray[Any], *, structure: str
) -> NDArray[np.float32]:
    """Probability of one structure in a frame, on the frame's own grid.

    Parameters
    ----------
    model : AppliedModel
    volume : Volume
        Where the frame comes from: voxel size and medium.
    image : ndarray (C, Z, Y, X), real, finite
        The frame in its physical unit; the volume's own, or a disturbed copy of it.
    structure : str
        One of the card's.

    Returns
    -------
    ndarray (Z, Y, X), float32, in [0, 1]

    Raises
    ------
    SettingsError
        ``E-MODEL-STRUCTURE``: the model does not know the structure.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    card = model.card
    if structure not in card.structures:
        raise SettingsError(
            "E-MODEL-STRUCTURE",
            f"{card.name} does not find {structure!r}.",
            cure=f"It finds: {', '.join(card.structures)}.",
        )
    return predict_structures(model, volume, image)[structure]


def predict_structures(
    model: AppliedModel, volume: Volume, image: NDArray[Any], *, inference: InferenceSettings | None = None
) -> dict[str, NDArray[np.float32]]:
    """As :func:`predict_structure`, all structures of the model; ``inference`` says how it is applied."""
    card = model.card
    size = volume.require_voxel_size()
    settings = prediction_settings(card, inference or InferenceSettings())
    ready = normalize(image, card.normalization, medium_ri=volume.medium_ri)
    probability = predict_frame(
        ready, size, model.predictor, settings, n_outputs=len(card.structures), divisor=model.divisor
    )
    return {name: np.asarray(found) for name, found in zip(card.structures, probability, strict=True)}


def is_inside(model: AppliedModel, probability: NDArray[np.float32], structure: str) -> NDArray[np.bool_]:
    """The mask of a structure at the card's threshold."""
    return np.asarray(probability > model.card.threshold_of(structure))
