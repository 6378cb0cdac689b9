"""A model applied to a frame: probabilities, or masks as they are streamed, and objects from them.

The one way in which any model that finds structures meets an image: :func:`predict_objects` for a run,
:func:`predict_probabilities` where the probabilities themselves are wanted. Tiles, sections and streaming stand in
:mod:`tomocyte.segmentation.prediction`; several predictions made into one in :mod:`tomocyte.models.ensemble`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.models.card import ModelCard
from tomocyte.models.loaded import LoadedModel, prediction_settings
from tomocyte.models.objects import ObjectRules, exclusive_outputs, is_streamed, structures_of
from tomocyte.models.settings import InferenceSettings
from tomocyte.progress import silent
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    from tomocyte.segmentation.prediction.streamed import IsEmpty, MaskSettings, PredictedMasks

Labels = NDArray[np.unsignedinteger[Any]]
OnTiles = Callable[[int, int], None]

MOST_TILE_VOXELS = 5_000_000
"""Tiles of 3-D models grow up to here where that saves work: a gigabyte at the most, with maps of 16 channels."""
EMPTY_RI = 0.003
"""How far the mean RI of every µm³ of a tile may be from the medium's where the tile counts as empty. Of 40 simulated
fields of six cell lines, none had a cell whose brightest µm³ was below 0.023; in the haziest, 5 % of the cells' volume
was below 0.003."""


@dataclass(frozen=True, eq=False)
class ModelInput:
    """A frame as a model needs it.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
        Physical values of the model's channels; NaN = outside.
    voxel_size_um : tuple of 3 float
    medium_ri : float or None
    """

    image: NDArray[np.float32]
    voxel_size_um: VoxelSize
    medium_ri: float | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model found in a frame.

    Parameters
    ----------
    labels : dict of str to ndarray (Z, Y, X), unsigned integer
        Objects per structure; the main ones under the name ``cell``.
    masks : PredictedMasks or None
        The voxels they were made of, where the model is a 3-D one that was streamed.
    outputs : dict of str to int
        Which output of the network, and bit of ``masks``, a structure of ``labels`` is.
    spread : ndarray (K, z, y, x), uint8, or None
        255 times the standard deviation of the probability over flips or models.
    """

    labels: dict[str, Labels]
    masks: PredictedMasks | None = None
    outputs: dict[str, int] = field(default_factory=dict)
    spread: NDArray[np.uint8] | None = None


def predict_objects(
    model: LoadedModel,
    frame: ModelInput,
    rules: ObjectRules,
    *,
    keeps_probability: bool = False,
    callback: OnTiles = silent,
) -> Prediction:
    """Everything the model knows in a frame, as objects.

    Parameters
    ----------
    model : LoadedModel
    frame : ModelInput
    rules : ObjectRules
    keeps_probability : bool
        Whether ``masks`` keeps the probabilities at the network's voxel size; only where it is streamed.
    callback : callable
        Called with the tiles done and the tiles in all.

    Returns
    -------
    Prediction
        Voxels that are NaN in any channel belong to nothing.
    """
    instances = rules.of_all(model.card)
    if is_streamed(model.card, instances):
        masks = predict_masks_of(model, frame, rules, keeps_probability=keeps_probability, callback=callback)
        return objects_of_masks(model.card, masks, frame.voxel_size_um, rules)
    return Prediction(_objects_of_frame(model, frame, rules, instances, callback))


def predict_masks_of(
    model: LoadedModel,
    frame: ModelInput,
    rules: ObjectRules,
    *,
    keeps_probability: bool = False,
    callback: OnTiles = silent,
) -> PredictedMasks:
    """The masks of a model that can be streamed, without a float volume of the image's size; parameters as above."""
    from tomocyte.segmentation.prediction.normalization import offset_and_scale
    from tomocyte.segmentation.prediction.streamed import predict_masks

    card = model.card
    return predict_masks(
        frame.image,
        frame.voxel_size_um,
        model.predictor,
        mask_settings(card, rules.inference, rules.of_all(card), model.divisor, keeps_probability=keeps_probability),
        offset_and_scale=tuple(
            offset_and_scale(channel, card.normalization, medium_ri=frame.medium_ri) for channel in frame.image
        ),
        is_empty=empty_test(card, rules.inference, frame.medium_ri),
        callback=callback,
    )


def objects_of_masks(
    card: ModelCard, masks: PredictedMasks, voxel_size_um: VoxelSize, rules: ObjectRules
) -> Prediction:
    """Objects of masks with one output per structure."""
    from tomocyte.segmentation.prediction.objects import instances_from_mask

    labels: dict[str, Labels] = {}
    outputs: dict[str, int] = {}
    for structure, (output,) in structures_of(card).items():
        name = rules.canonical(card, structure)
        labels[name] = instances_from_mask(masks.mask(output), voxel_size_um, rules.of(card, structure))
        outputs[name] = output
    return Prediction(labels, masks, outputs)


def predict_probabilities(
    model: LoadedModel,
    frame: ModelInput,
    inference: InferenceSettings | None = None,
    *,
    callback: OnTiles = silent,
) -> NDArray[np.float32]:
    """Probabilities of a whole frame on its own grid, by tiles or by sections as the model's card says.

    Returns
    -------
    ndarray (K, Z, Y, X), float32, in [0, 1]
        In the order of the card's structures; 0 for voxels that are NaN in any channel.
    """
    from tomocyte.segmentation.prediction.frame import predict_frame
    from tomocyte.segmentation.prediction.normalization import normalize

    card = model.card
    normalized = normalize(frame.image, card.normalization, medium_ri=frame.medium_ri)
    probability = predict_frame(
        normalized,
        frame.voxel_size_um,
        model.predictor,
        prediction_settings(card, inference or InferenceSettings()),
        n_outputs=len(card.structures),
        divisor=model.divisor,
        callback=callback,
    )
    del normalized
    for z in range(probability.shape[1]):
        probability[:, z, ~np.isfinite(frame.image[:, z]).all(axis=0)] = 0
    return probability


def predict_structure(
    model: LoadedModel, frame: ModelInput, structure: str, inference: InferenceSettings | None = None
) -> NDArray[np.float32]:
    """Probability of one structure in a frame, (Z, Y, X) float32 in [0, 1].

    Raises
    ------
    SettingsError
        ``E-MODEL-STRUCTURE``: the model does not know the structure.
    """
    card = model.card
    if structure not in card.structures:
        raise SettingsError(
            "E-MODEL-STRUCTURE",
            f"{card.name} does not find {structure!r}.",
            cure=f"It finds: {', '.join(card.structures)}.",
        )
    probability: NDArray[np.float32] = predict_probabilities(model, frame, inference)[card.structures.index(structure)]
    return probability


def mask_settings(
    card: ModelCard,
    inference: InferenceSettings,
    instances: Mapping[str, InstanceSettings],
    divisor: tuple[int, ...],
    *,
    keeps_probability: bool = False,
) -> MaskSettings:
    """How a streamed model's outputs become masks."""
    from tomocyte.segmentation.prediction.streamed import MaskSettings
    from tomocyte.settings import build_settings

    thresholds = [
        instances[structure].threshold if structure in instances else card.threshold_of(structure)
        for structure in card.structures
    ]
    content = {
        "prediction": prediction_settings(card, inference),
        "thresholds": thresholds,
        "divisor": divisor,
        "most_tile_voxels": MOST_TILE_VOXELS if inference.tile_shape is None else 0,
        "keeps_probability": keeps_probability,
        "exclusive": exclusive_outputs(card) if inference.are_exclusive else (),
    }
    return build_settings(MaskSettings, content)


def empty_test(card: ModelCard, inference: InferenceSettings, medium_ri: float | None) -> IsEmpty | None:
    """What tells empty tiles, where 0 is known to be the medium of the network's input; else ``None``."""
    from tomocyte.segmentation.prediction.empty_tiles import EmptyTile

    normalization = card.normalization
    is_known = normalization.kind == "medium" and medium_ri is not None and card.quantity == "refractive_index"
    z_um, y_um, x_um = card.voxel_size_um
    if not (inference.skips_empty and is_known) or z_um is None:
        return None
    return EmptyTile(EMPTY_RI / normalization.scale, (z_um, y_um, x_um))


def _objects_of_frame(
    model: LoadedModel,
    frame: ModelInput,
    rules: ObjectRules,
    instances: Mapping[str, InstanceSettings],
    callback: OnTiles,
) -> dict[str, Labels]:
    """Labels from probabilities of the whole frame: sections, classes that exclude each other, cores."""
    from tomocyte.segmentation.prediction.objects import instances_from_probability

    card = model.card
    probability = predict_probabilities(model, frame, rules.inference, callback=callback)
    if rules.inference.are_exclusive:
        for group in exclusive_outputs(card):
            winner = probability[list(group)].argmax(axis=0)
            for number, output in enumerate(group):
                probability[output][winner != number] = 0
    labels: dict[str, Labels] = {}
    for structure, outputs in structures_of(card).items():
        part = probability[list(outputs)] if len(outputs) > 1 else probability[outputs[0] : outputs[0] + 1]
        if card.activation == "softmax" and len(outputs) > 1:
            part[0] += part[1]  # classes exclude each other: the whole object is its rim and its core
        labels[rules.canonical(card, structure)] = instances_from_probability(
            part, frame.voxel_size_um, instances[structure]
        )
    return labels
