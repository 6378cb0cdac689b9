"""What a trained model finds in a frame: masks, and objects from them.

Structures that the model knows replace those of the classical engine. An output called ``<structure>_core`` is the
core of that structure and tells touching objects apart. Smallest sizes stand in :mod:`tomocyte.structures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte import structures as registry
from tomocyte.labels.settings import SplitSettings
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.trained import TrainedModel, prediction_settings
from tomocyte.segmentation.settings import InstanceSettings, SegmentationSettings
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    from tomocyte.models import ModelCard
    from tomocyte.segmentation.prediction.streamed import IsEmpty, MaskSettings, PredictedMasks

Labels = NDArray[np.unsignedinteger[Any]]
OnTiles = Callable[[int, int], None]

CORE = "_core"
BACKGROUND = "background"
MOST_TILE_VOXELS = 5_000_000
"""Tiles of 3-D models grow up to here where that saves work: a gigabyte at the most, with maps of 16 channels."""
EMPTY_RI = 0.003
"""How far the mean RI of every µm³ of a tile may be from the medium's where the tile counts as empty. Of 40 simulated
fields of six cell lines, none had a cell whose brightest µm³ was below 0.023; in the haziest, 5 % of the cells' volume
was below 0.003."""


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


def instance_settings(
    card: ModelCard, structure: str, settings: RunSettings, engine: SegmentationSettings, *, is_main: bool
) -> InstanceSettings:
    """How a structure's probabilities become objects: the user's word, else the card's threshold and usual sizes."""
    if structure in settings.inference.instances:
        return settings.inference.instances[structure]
    # A share of axes is not a probability: more than half of them must say yes.
    threshold = 0.5 if settings.inference.vote == "majority" else card.threshold_of(structure)
    clean = engine.clean
    entry = registry.structure(structure)
    has_core = structure + CORE in card.structures
    is_split = (is_main or (structure == "nucleus" and card.dimensions == 3)) and not has_core
    return InstanceSettings(
        threshold=threshold,
        core_threshold=card.threshold_of(structure + CORE) if has_core else 0.5,
        min_volume_um3=clean.min_volume_um3 if is_main else entry.smallest_um3,
        min_area_um2=clean.min_area_um2 if is_main else entry.smallest_um2,
        is_hole_filled=clean.is_hole_filled if is_main else True,
        is_border_cleared=clean.is_border_cleared if is_main else False,
        split=engine.split if is_split else SplitSettings(method="none"),
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


@dataclass(frozen=True)
class Found:
    """What a model found in a frame.

    Parameters
    ----------
    labels : dict of str to ndarray (Z, Y, X), unsigned integer
        Objects per structure; the main ones under the name ``cell``.
    masks : PredictedMasks or None
        The voxels they were made of, where the model is a 3-D one that was streamed.
    outputs : dict of str to int
        Which output of the network, and bit of ``masks``, a structure of ``labels`` is.
    """

    labels: dict[str, Labels]
    masks: PredictedMasks | None = None
    outputs: dict[str, int] = field(default_factory=dict)


def find_structures(
    model: TrainedModel,
    frame: FrameInput,
    settings: RunSettings,
    engine: SegmentationSettings,
    *,
    keeps_probability: bool = False,
    report: OnTiles | None = None,
) -> Found:
    """Everything the model knows in a frame.

    Parameters
    ----------
    model : TrainedModel
    frame : FrameInput
    settings : RunSettings
    engine : SegmentationSettings
        Whose sizes and split hold for the main objects.
    keeps_probability : bool
        Whether ``masks`` keeps the probabilities at the network's voxel size; only where it is streamed.
    report : callable, optional
        Told the tiles done and the tiles in all.

    Returns
    -------
    Found
        Voxels that are NaN in any channel belong to nothing.
    """
    card = model.card
    wanted = {
        structure: instance_settings(card, structure, settings, engine, is_main=structure in ("cell", frame.main))
        for structure in structures_of(card)
    }
    if not is_streamed(card, wanted):
        return Found(_whole(model, frame, settings, wanted, report))
    return _streamed(model, frame, settings, wanted, keeps_probability=keeps_probability, report=report)


def is_streamed(card: ModelCard, wanted: Mapping[str, InstanceSettings]) -> bool:
    """Whether a model's structures can be thresholded as they come: 3-D, one output each, told apart by shape."""
    from tomocyte.segmentation.prediction.objects import splits_masks
    from tomocyte.segmentation.prediction.streamed import MOST_OUTPUTS

    return (
        card.dimensions == 3
        and card.activation == "sigmoid"
        and len(card.structures) <= MOST_OUTPUTS
        and all(len(outputs) == 1 for outputs in structures_of(card).values())
        and all(splits_masks(chosen) for chosen in wanted.values())
    )


def mask_settings(
    card: ModelCard,
    settings: RunSettings,
    wanted: Mapping[str, InstanceSettings],
    divisor: tuple[int, ...],
    *,
    keeps_probability: bool = False,
) -> MaskSettings:
    """How a streamed model's outputs become masks."""
    from tomocyte.segmentation.prediction.streamed import MaskSettings
    from tomocyte.settings import build_settings

    thresholds = [
        wanted[structure].threshold if structure in wanted else card.threshold_of(structure)
        for structure in card.structures
    ]
    content = {
        "prediction": prediction_settings(card, settings.inference),
        "thresholds": thresholds,
        "divisor": divisor,
        "most_tile_voxels": MOST_TILE_VOXELS if settings.inference.tile_shape is None else 0,
        "keeps_probability": keeps_probability,
    }
    return build_settings(MaskSettings, content)


def empty_test(card: ModelCard, settings: RunSettings, medium_ri: float | None) -> IsEmpty | None:
    """What tells empty tiles, where 0 is known to be the medium of the network's input; else ``None``."""
    from tomocyte.segmentation.prediction.empty_tiles import EmptyTile

    normalization = card.normalization
    is_known = normalization.kind == "medium" and medium_ri is not None and card.quantity == "refractive_index"
    z_um, y_um, x_um = card.voxel_size_um
    if not (settings.inference.skips_empty and is_known) or z_um is None:
        return None
    return EmptyTile(EMPTY_RI / normalization.scale, (z_um, y_um, x_um))


def _streamed(
    model: TrainedModel,
    frame: FrameInput,
    settings: RunSettings,
    wanted: dict[str, InstanceSettings],
    *,
    keeps_probability: bool,
    report: OnTiles | None,
) -> Found:
    from tomocyte.segmentation.prediction.normalization import offset_and_scale
    from tomocyte.segmentation.prediction.objects import instances_from_mask
    from tomocyte.segmentation.prediction.streamed import predict_masks

    card = model.card
    masks = predict_masks(
        frame.image,
        frame.voxel_size_um,
        model.predictor,
        mask_settings(card, settings, wanted, model.divisor, keeps_probability=keeps_probability),
        offset_and_scale=tuple(
            offset_and_scale(channel, card.normalization, medium_ri=frame.medium_ri) for channel in frame.image
        ),
        is_empty=empty_test(card, settings, frame.medium_ri),
        report=report,
    )
    labels: dict[str, Labels] = {}
    outputs: dict[str, int] = {}
    for structure, (output,) in structures_of(card).items():
        name = "cell" if structure in ("cell", frame.main) else structure
        labels[name] = instances_from_mask(masks.mask(output), frame.voxel_size_um, wanted[structure])
        outputs[name] = output
    return Found(labels, masks, outputs)


def _whole(
    model: TrainedModel,
    frame: FrameInput,
    settings: RunSettings,
    wanted: dict[str, InstanceSettings],
    report: OnTiles | None,
) -> dict[str, Labels]:
    """Labels from probabilities of the whole frame: sections, classes that exclude each other, cores."""
    from tomocyte.segmentation.prediction.frame import predict_frame
    from tomocyte.segmentation.prediction.normalization import normalize
    from tomocyte.segmentation.prediction.objects import instances_from_probability

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
        part = probability[list(outputs)] if len(outputs) > 1 else probability[outputs[0] : outputs[0] + 1]
        if card.activation == "softmax" and len(outputs) > 1:
            part[0] += part[1]  # classes exclude each other: the whole object is its rim and its core
        name = "cell" if structure in ("cell", frame.main) else structure
        found[name] = instances_from_probability(part, frame.voxel_size_um, wanted[structure])
    return found
