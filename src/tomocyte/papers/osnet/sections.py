"""Section-wise segmentation in three dimensions: OS-Net's Fig. 3b.

A 2-D network sees the sections one after another; what it finds is put together to bodies, whose diameters and volumes
are compared with the truth. To show another view of an object, add a picture in :func:`_pictures_of`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.figures.curves import agreement_figure
from tomocyte.figures.rendering import (
    CELL_BODY_COLOUR,
    CELL_OPACITY,
    PREDICTION_BODY_COLOUR,
    TRUTH_BODY_COLOUR,
    Body,
    BodyPanel,
    body_figure,
)
from tomocyte.models.loaded import LoadedModel
from tomocyte.models.prediction import ModelInput, predict_structure
from tomocyte.papers.osnet.objects import MEASURED, agreement_table, compare_objects
from tomocyte.papers.osnet.recipe import SectionsSettings
from tomocyte.papers.result import ExperimentResult, method_colours, method_name, origin_words
from tomocyte.progress import Callback, Progress, silent
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class _Scored:
    """One volume after prediction."""

    item: LabelledItem
    objects: pd.DataFrame
    n_without_truth: int
    is_simulated: bool


def sections_experiment(
    model: LoadedModel,
    items: Sequence[LabelledItem],
    settings: SectionsSettings,
    *,
    title: str,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Segment volumes section by section and compare each object's size with the truth.

    Parameters
    ----------
    model : LoadedModel
    items : sequence of LabelledItem
        Their first frames are used.
    settings : SectionsSettings
    title : str
        Of the pictures; what the data are is added.
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``experiment`` after each volume.

    Returns
    -------
    ExperimentResult
        Tables ``objects`` and ``agreement``; pictures ``sections-…``, ``bodies-…`` of some volumes, ``agreement-…``.

    Raises
    ------
    ModalityError
        ``E-MODEL-FIT-…``: a volume that the model was not made for.
    InputError, SettingsError
        ``E-NO-DATA``, ``E-MODEL-STRUCTURE``.
    """
    import pandas as pd

    scored = []
    for index, item in enumerate(items):
        scored.append(_score(model, item, settings))
        callback(Progress(item.name, "experiment", state="done", done=index + 1, total=len(items)))
    objects = pd.concat([volume.objects for volume in scored], ignore_index=True)
    agreement = agreement_table(objects)
    is_simulated = any(volume.is_simulated for volume in scored)
    words = f"{title}, {origin_words(list(items), is_simulated=is_simulated)}"
    pictures: dict[str, bytes] = {}
    for item, label in _shown(scored, settings.n_shown):
        pictures |= _pictures_of(model, item, label, settings, title=words, file_format=file_format)
    usable = objects[~objects["is_cut"] & (objects["partner"] > 0)]
    for name in ("section_diameter_um", "volume_um3"):
        unit, meaning = MEASURED[name]
        pictures[f"agreement-{name.rpartition('_')[0].replace('_', '-')}"] = agreement_figure(
            usable[f"{name}_truth"], usable[f"{name}_prediction"], name=meaning, unit=unit, title=words,
            file_format=file_format,
        )  # fmt: skip
    summary = _summary(words, objects, agreement, sum(volume.n_without_truth for volume in scored))
    return ExperimentResult({"objects": objects, "agreement": agreement}, pictures, summary, file_format)


def _score(model: LoadedModel, item: LabelledItem, settings: SectionsSettings) -> _Scored:
    volume = item.open_image()
    truth = item.read_labels(settings.structure)
    inside = _predicted(model, item, settings.structure)
    table, n_without_truth = compare_objects(
        truth,
        inside,
        volume.require_voxel_size(),
        structure=settings.structure,
        min_volume_um3=settings.min_volume_um3,
    )
    table.insert(0, "item", item.name)
    table.insert(1, "is_simulated", volume.is_simulated)
    return _Scored(item, table, n_without_truth, volume.is_simulated)


def _predicted(model: LoadedModel, item: LabelledItem, structure: str) -> NDArray[np.bool_]:
    from tomocyte.models import check_fit

    volume = item.open_image()
    image = volume.frame(0)
    check_fit(model.card, volume, image=image)
    frame = ModelInput(image, volume.require_voxel_size(), volume.medium_ri)
    return np.asarray(predict_structure(model, frame, structure) > model.card.threshold_of(structure))


def _shown(scored: list[_Scored], n_shown: int) -> list[tuple[LabelledItem, int]]:
    """The largest object of each volume, whole ones first; the volumes in their own order."""
    largest = []
    for volume in scored:
        if len(volume.objects):
            order = volume.objects.sort_values(["is_cut", "volume_um3_truth"], ascending=[True, False])
            largest.append((volume.item, int(order["label"].iloc[0])))
    return largest[:n_shown]


def _pictures_of(
    model: LoadedModel,
    item: LabelledItem,
    label: int,
    settings: SectionsSettings,
    *,
    title: str,
    file_format: PictureFormat,
) -> dict[str, bytes]:
    """Sections with outlines, and the bodies, of one object and what is around it."""
    volume = item.open_image()
    size = volume.require_voxel_size()
    truth, around = item.read_labels(settings.structure), item.read_labels(settings.around)
    inside = _predicted(model, item, settings.structure)
    box = around_object(truth == label, size, settings.margin_um)
    image = np.asarray(volume.planes(0, 0, box[0].start, box[0].stop))[:, box[1], box[2]]
    name = method_name(model.card, item)
    parts = {"truth": truth[box] > 0, name: inside[box]}
    rows = np.flatnonzero((truth[box] == label).any(axis=(1, 2)))
    places = np.unique(np.linspace(rows[0], rows[-1], settings.n_sections + 2)[1:-1].round().astype(int))
    plain = [ContourPanel(image[z], {}, f"z = {(z + box[0].start) * size[0]:.2f} µm") for z in places]
    outlined = [
        ContourPanel(image[z], {key: mask[z] for key, mask in parts.items()}, colours=method_colours(name))
        for z in places
    ]
    sections = contour_figure(
        [*plain, *outlined], size[1:], n_columns=len(places), title=title, unit=volume.unit,
        quantity=volume.quantity or "", file_format=file_format,
    )  # fmt: skip
    container = container_of(around[box], truth[box] == label)
    shell = Body(container, CELL_BODY_COLOUR, CELL_OPACITY)
    bodies = body_figure(
        [
            BodyPanel((shell, Body(truth[box] > 0, TRUTH_BODY_COLOUR)), "truth"),
            BodyPanel((shell, Body(inside[box], PREDICTION_BODY_COLOUR)), name),
        ],
        size,
        title=title,
        file_format=file_format,
    )
    return {f"sections-{item.name}": sections, f"bodies-{item.name}": bodies}


def around_object(mask: NDArray[np.bool_], voxel_size_um: VoxelSize, margin_um: float) -> Box:
    """The box of a mask with a margin, inside the volume.

    Examples
    --------
    >>> mask = np.zeros((9, 9, 9), bool)
    >>> mask[4, 4:6, 8] = True
    >>> around_object(mask, (2.0, 1.0, 0.5), 2.0)
    (slice(3, 6, None), slice(2, 8, None), slice(4, 9, None))
    """
    sides = []
    for axis, (n, step) in enumerate(zip(mask.shape, voxel_size_um, strict=True)):
        places = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        margin = math.ceil(margin_um / step)
        sides.append(slice(max(0, int(places[0]) - margin), min(n, int(places[-1]) + 1 + margin)))
    return sides[0], sides[1], sides[2]


def container_of(around: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The one object around that holds most of the inner one."""
    names, counts = np.unique(around[inside], return_counts=True)
    counts = counts[names != 0]
    names = names[names != 0]
    return np.asarray(around == names[np.argmax(counts)]) if len(names) else np.zeros(around.shape, np.bool_)


def _summary(title: str, objects: pd.DataFrame, agreement: pd.DataFrame, n_without_truth: int) -> str:
    is_matched = objects["partner"] > 0
    is_whole = ~objects["is_cut"].astype(bool)
    lines = [
        f"# {title}",
        "",
        f"{int(is_matched.sum())} of {len(objects)} true objects were found; "
        f"{n_without_truth} found objects belong to no true one. "
        f"Mean Dice of all true objects, those not found as 0: {objects['dice'].mean():.4f}.",
        "",
        f"Sizes of the {int((is_matched & is_whole).sum())} objects that were found and that no border cuts, "
        "prediction minus truth:",
        "",
        "| Quantity | True mean | Bias | Limits of agreement | Relative | Concordance |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in agreement.to_dict("records"):
        limits = f"{row['lower_limit']:+.3g} to {row['upper_limit']:+.3g}" if row["n_pairs"] > 1 else ""
        lines.append(
            f"| {row['meaning']} ({row['unit']}) | {row['mean_truth']:.4g} | {row['bias']:+.3g} | {limits} | "
            f"{100 * row['mean_relative_error']:+.1f} % | {row['concordance']:.3f} |"
        )
    return "\n".join(lines) + "\n"
