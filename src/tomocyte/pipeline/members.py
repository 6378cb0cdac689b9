"""Several predictions of one frame, over flips or over models, made into one: masks, probability and spread.

To combine predictions of another kind, yield them in :func:`_members`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.structures import (
    Found,
    FrameInput,
    OnTiles,
    empty_test,
    instance_settings,
    is_streamed,
    mask_settings,
    structures_of,
)
from tomocyte.pipeline.trained import TrainedModel, open_model
from tomocyte.segmentation.settings import InstanceSettings, SegmentationSettings

if TYPE_CHECKING:
    from tomocyte.segmentation.prediction.streamed import PredictedMasks

Byte = NDArray[np.uint8]


@dataclass(frozen=True)
class Team:
    """Who predicts a frame, and how.

    Parameters
    ----------
    models : tuple of TrainedModel
        The first one's card decides about thresholds and calibration.
    settings : RunSettings
    engine : SegmentationSettings
    """

    models: tuple[TrainedModel, ...]
    settings: RunSettings
    engine: SegmentationSettings


def find_together(team: Team, frame: FrameInput, *, report: OnTiles | None = None) -> tuple[Found, Byte]:
    """What all members find together, with the mean probability, and how far they disagree.

    Parameters
    ----------
    team : Team
    frame : FrameInput
    report : callable, optional
        Told the tiles done and the tiles in all, for each member anew.

    Returns
    -------
    found : Found
        Masks are where the mean probability exceeds the first card's threshold.
    spread : ndarray (K, z, y, x), uint8
        255 times the standard deviation of the probability over the members.

    Raises
    ------
    SettingsError
        ``E-UNCERTAINTY``: a model that cannot be streamed.
    """
    from tomocyte.confidence.ensembles import Ensemble

    together: Ensemble | None = None
    masks: PredictedMasks | None = None
    for masks in _members(team, frame, report):
        probability = _kept(masks)
        together = Ensemble(probability.shape) if together is None else together
        together.add(probability)
    if together is None or masks is None:
        raise SettingsError("E-UNCERTAINTY", "nobody predicts.", cure="Give at least one model.")
    wanted = _wanted(team, team.models[0], frame)
    card = team.models[0].card
    mean = replace(masks, probability=together.mean())
    thresholds = [wanted[name].threshold for name in card.structures]
    masks = replace(mean, bits=_cut(mean, frame.image, thresholds))
    return _labelled(team, frame, wanted, masks), together.spread()


def _labelled(team: Team, frame: FrameInput, wanted: dict[str, InstanceSettings], masks: PredictedMasks) -> Found:
    from tomocyte.segmentation.prediction.objects import instances_from_mask

    labels, outputs = {}, {}
    for structure, (output,) in structures_of(team.models[0].card).items():
        name = "cell" if structure in ("cell", frame.main) else structure
        labels[name] = instances_from_mask(masks.mask(output), frame.voxel_size_um, wanted[structure])
        outputs[name] = output
    return Found(labels, masks, outputs)


def _kept(masks: PredictedMasks) -> Byte:
    if masks.probability is None:
        raise SettingsError("E-UNCERTAINTY", "probabilities were not kept.")
    return masks.probability


def _wanted(team: Team, model: TrainedModel, frame: FrameInput) -> dict[str, InstanceSettings]:
    wanted = {
        name: instance_settings(model.card, name, team.settings, team.engine, is_main=name in ("cell", frame.main))
        for name in structures_of(model.card)
    }
    if not is_streamed(model.card, wanted):
        raise unfit(model.card.name)
    return wanted


def _cut(masks: PredictedMasks, image: NDArray[np.float32], thresholds: list[float]) -> Byte:
    """Bits of the probabilities above their thresholds, a few planes at a time."""
    bits = np.zeros(masks.bits.shape, dtype=np.uint8)
    for plane in range(len(bits)):
        for output, threshold in enumerate(thresholds):
            above = masks.upsampled(output, plane, plane + 1)[0] > threshold
            bits[plane] |= above.astype(np.uint8) << np.uint8(output)
        bits[plane][~np.isfinite(image[:, plane]).all(axis=0)] = 0
    return bits


def _members(team: Team, frame: FrameInput, report: OnTiles | None) -> Iterator[PredictedMasks]:
    """The predictions, on the grid and in the direction of the frame; their bits are those before the mean."""
    from tomocyte.confidence.ensembles import flips

    if team.settings.uncertainty.method == "ensemble":
        for model in team.models:
            yield _predicted(team, model, frame, report)
        return
    for axes in flips(3):
        turned = replace(frame, image=np.ascontiguousarray(np.flip(frame.image, axes))) if axes else frame
        masks = _predicted(team, team.models[0], turned, report)
        yield replace(masks, probability=np.ascontiguousarray(np.flip(_kept(masks), axes))) if axes else masks


def _predicted(team: Team, model: TrainedModel, frame: FrameInput, report: OnTiles | None) -> PredictedMasks:
    from tomocyte.segmentation.prediction.normalization import offset_and_scale
    from tomocyte.segmentation.prediction.streamed import predict_masks

    card, wanted = model.card, _wanted(team, model, frame)
    seen = tuple(offset_and_scale(one, card.normalization, medium_ri=frame.medium_ri) for one in frame.image)
    return predict_masks(
        frame.image,
        frame.voxel_size_um,
        model.predictor,
        mask_settings(card, team.settings, wanted, model.divisor, keeps_probability=True),
        offset_and_scale=seen,
        is_empty=empty_test(card, team.settings, frame.medium_ri),
        report=report,
    )


def unfit(name: str) -> SettingsError:
    """The error of a model whose probabilities are not kept."""
    return SettingsError(
        "E-UNCERTAINTY",
        f"{name} cannot say how sure it is: only 3-D models with one output per structure can.",
        cure="Use --uncertainty none.",
    )


def open_member(name: str, model: TrainedModel | None, settings: RunSettings) -> TrainedModel:
    """A further model, which must find the same structures at the same voxel size as the first.

    Raises
    ------
    SettingsError
        ``E-UNCERTAINTY``, ``E-MODEL-NAME``.
    """
    other = open_model(settings.model_copy(update={"model": name}))
    if other is None or model is None:
        raise SettingsError("E-UNCERTAINTY", f"{name!r} is no trained model.", cure="Give trained models.")
    mine, theirs = model.card, other.card
    if (mine.structures, mine.voxel_size_um, mine.channels) != (
        theirs.structures,
        theirs.voxel_size_um,
        theirs.channels,
    ):
        raise SettingsError(
            "E-UNCERTAINTY",
            f"{theirs.name} does not find the same structures at the same voxel size as {mine.name}.",
            cure="Give models that were trained alike.",
        )
    return other
