"""Several predictions of one frame, over flips or over models, made into one: masks, probability and spread.

To combine predictions of another kind, yield them in :func:`_members`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.models.card import ModelCard
from tomocyte.models.loaded import LoadedModel
from tomocyte.models.objects import ObjectRules, is_streamed
from tomocyte.models.prediction import ModelInput, OnTiles, Prediction, objects_of_masks, predict_masks_of
from tomocyte.progress import silent

if TYPE_CHECKING:
    from tomocyte.segmentation.prediction.streamed import PredictedMasks

Byte = NDArray[np.uint8]
Bits = NDArray[np.unsignedinteger[Any]]


def predict_ensemble(
    models: Sequence[LoadedModel],
    frame: ModelInput,
    rules: ObjectRules,
    *,
    method: Literal["flips", "ensemble"],
    callback: OnTiles = silent,
) -> Prediction:
    """What all members find together: objects of the mean probability, and how far the members disagree.

    Parameters
    ----------
    models : sequence of LoadedModel
        The first one's card decides about thresholds and calibration.
    frame : ModelInput
    rules : ObjectRules
    method : {"flips", "ensemble"}
        Members are the flips of the frame under the first model, or the models.
    callback : callable
        Called with the tiles done and the tiles in all, for each member anew.

    Returns
    -------
    Prediction
        With ``spread``; masks are where the mean probability exceeds the first card's threshold.

    Raises
    ------
    SettingsError
        ``E-UNCERTAINTY``: a model that cannot be streamed, or no model.
    """
    from tomocyte.confidence.ensembles import Ensemble

    together: Ensemble | None = None
    masks: PredictedMasks | None = None
    for masks in _members(models, frame, rules, method, callback):
        probability = _probability_of(masks)
        together = Ensemble(probability.shape) if together is None else together
        together.add(probability)
    if together is None or masks is None:
        raise SettingsError("E-UNCERTAINTY", "there is no model to predict with.", cure="Give at least one model.")
    card = models[0].card
    instances = rules.of_all(card)
    mean = replace(masks, probability=together.mean())
    thresholds = [instances[name].threshold for name in card.structures]
    masks = replace(mean, bits=_thresholded(mean, frame.image, thresholds))
    return replace(objects_of_masks(card, masks, frame.voxel_size_um, rules), spread=together.spread())


def _members(
    models: Sequence[LoadedModel], frame: ModelInput, rules: ObjectRules, method: str, callback: OnTiles
) -> Iterator[PredictedMasks]:
    """The predictions, on the grid and in the direction of the frame; their bits are those before the mean."""
    from tomocyte.confidence.ensembles import flips

    if method == "ensemble":
        for model in models:
            yield _predicted(model, frame, rules, callback)
        return
    for axes in flips(3):
        flipped = replace(frame, image=np.ascontiguousarray(np.flip(frame.image, axes))) if axes else frame
        masks = _predicted(models[0], flipped, rules, callback)
        probability = _probability_of(masks)
        yield replace(masks, probability=np.ascontiguousarray(np.flip(probability, axes))) if axes else masks


def _predicted(model: LoadedModel, frame: ModelInput, rules: ObjectRules, callback: OnTiles) -> PredictedMasks:
    if not is_streamed(model.card, rules.of_all(model.card)):
        raise not_streamed(model.card.name)
    return predict_masks_of(model, frame, rules, keeps_probability=True, callback=callback)


def _probability_of(masks: PredictedMasks) -> Byte:
    if masks.probability is None:
        raise SettingsError("E-UNCERTAINTY", "the probabilities were not stored.")
    return masks.probability


def _thresholded(masks: PredictedMasks, image: NDArray[np.float32], thresholds: list[float]) -> Bits:
    """Bits of the probabilities above their thresholds, a few planes at a time."""
    bits = np.zeros_like(masks.bits)
    for plane in range(len(bits)):
        for output, threshold in enumerate(thresholds):
            above = masks.upsampled(output, plane, plane + 1)[0] > threshold
            bits[plane] |= above.astype(bits.dtype) << bits.dtype.type(output)
        bits[plane][~np.isfinite(image[:, plane]).all(axis=0)] = 0
    return bits


def not_streamed(name: str) -> SettingsError:
    """The error of a model whose probabilities are not kept."""
    return SettingsError(
        "E-UNCERTAINTY",
        f"{name} cannot estimate its confidence: only 3-D models with one output per structure can.",
        cure="Use --uncertainty none.",
    )


def check_member(member: ModelCard, first: ModelCard) -> None:
    """Refuse a further model that does not find the same structures at the same voxel size as the first.

    Raises
    ------
    SettingsError
        ``E-UNCERTAINTY``.
    """
    same = ("structures", "voxel_size_um", "channels")
    if any(getattr(member, name) != getattr(first, name) for name in same):
        raise SettingsError(
            "E-UNCERTAINTY",
            f"{member.name} does not find the same structures at the same voxel size as {first.name}.",
            cure="Use models of the same structures and voxel size.",
        )
