"""``tomocyte.segment``: label arrays from an array, by the classical engine or a trained model, as in a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.modalities import modalities
from tomocyte.notices import Notice, unique
from tomocyte.pipeline.analysis import prepared_stages, walk
from tomocyte.pipeline.item import settled
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Progress, silent
from tomocyte.segmentation import segment as classical_segment
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Volume, VoxelSize

CLASSICAL = "classical"

Labels = NDArray[np.unsignedinteger[Any]]


def segment(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SegmentationSettings | None = None,
    *,
    model: str = CLASSICAL,
    modality: str | None = None,
    medium_ri: float | Literal["background"] | None = None,
    existing: Mapping[str, Labels] | None = None,
    callback: Callable[[str], None] = silent,
) -> dict[str, Labels]:
    """Find cells, their nuclei and what lies in them.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, physical values
        One channel of one time point. A 2-D image has Z = 1. Not changed.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    settings : SegmentationSettings, optional
        Of the classical engine. When not given: the modality's, or the defaults where no modality is named.
    model : str
        ``classical`` for none, ``auto`` for the modality's own model where it fits the image, or the name or folder of
        a model, as ``tomocyte run --model``.
    modality : str, optional
        Kind of microscopy, e.g. ``odt``; needed for a model.
    medium_ri : float or "background", optional
        Refractive index of the medium, or ``background`` to measure it outside the cells; of use to a model only.
    existing : mapping of str to ndarray (Z, Y, X), unsigned integer, optional
        Structures that have been segmented already; of use to the classical engine only.
    callback : callable, optional
        Called with the name of each step as it begins.

    Returns
    -------
    dict of str to ndarray (Z, Y, X), unsigned integer
        Structure -> labels, 0 = background; with a model, the arrays of the label images that ``tomocyte run`` writes.

    Warns
    -----
    UserWarning
        With a model: what a run would note, ``W-…``, e.g. that ``auto`` does not fit the image and was left out.

    Raises
    ------
    SettingsError
        ``E-USAGE``: a model without a modality, or what has no effect; otherwise as
        :func:`tomocyte.segmentation.segment` and :func:`tomocyte.pipeline.plan_run`.
    MetadataError, InputError, ModalityError
        The voxel size or the values do not fit the modality or the model.

    Examples
    --------
    >>> image = np.zeros((1, 40, 50), dtype=np.float32)
    >>> image[0, 10:30, 20:40] = 1.0
    >>> labels = segment(image, (float("nan"), 0.5, 0.5))
    >>> sorted(labels), int(labels["cell"].max())
    (['cell'], 1)
    """
    if model == CLASSICAL:
        if medium_ri is not None:
            raise SettingsError(
                "E-USAGE", "'medium_ri' has no effect without a model.", cure="Leave it out, or give model='auto'."
            )
        if settings is None and modality is not None:
            from tomocyte.modalities import modality as find

            settings = find(modality).segmentation
        return classical_segment(image, voxel_size_um, settings, existing=existing, callback=callback)
    if modality is None:
        known = ", ".join(modalities())
        raise SettingsError("E-USAGE", "a model needs a modality.", cure=f"Give modality= one of {known}.")
    if existing:
        raise SettingsError("E-USAGE", "'existing' has no effect with a model.", cure="Leave it out.")
    if image.ndim != 3 or image.size == 0 or image.dtype.kind not in "fiu":
        raise SettingsError("E-AXES", f"a real image (Z, Y, X) is needed, not {image.dtype} of shape {image.shape}.")
    run = RunSettings(modality=modality, model=model, segmentation=settings, medium_ri=medium_ri)
    known_medium = medium_ri if isinstance(medium_ri, float | int) else None
    volume = settled(Volume.from_array(image, voxel_size_um=voxel_size_um, medium_ri=known_medium), run)
    plan = plan_run(volume, run)
    plan = replace(plan, stages=plan.stages[: plan.stages.index("measure")])

    def on_event(event: Progress) -> None:
        callback(event.step)

    stages = prepared_stages(plan, volume, on_event)
    notices: list[Notice] = []
    state = walk(plan, volume, 0, stages, notices, on_event)
    for notice in unique([*plan.notices, *notices, *(notice for stage in stages for notice in stage.notices)]):
        warnings.warn(str(notice), stacklevel=2)
    return {plan.name_of(structure): labels for structure, labels in state.labels.items()}
