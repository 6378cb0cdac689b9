"""Stacks of the experiments with the masks of their compartments: true ones, and those of a run.

Each is read when it is asked for. Intensity and ratio come from yellow and red as in a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels import ChannelSettings, derived_volume
from tomocyte.datasets.files import ITEMS, stem_of
from tomocyte.datasets.inputs import find_inputs
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.datasets.pairs import label_images
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.papers.analysed import run_all
from tomocyte.papers.simulated_fields import segment_items
from tomocyte.papers.zhanghao.recipe import CompartmentsRecipe
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, silent
from tomocyte.settings import build_settings
from tomocyte.structures import CELL
from tomocyte.volume import VoxelSize

Masks = Mapping[str, NDArray[Any]]
TRUTH, FOUND = "truth", "model"


@dataclass(frozen=True, eq=False)
class CompartmentFrame:
    """One frame of a stack.

    Parameters
    ----------
    name, case : str
        Of the item, and of what it is an example of.
    frame : int
    time_s : float or None
    intensity, ratio : ndarray (Z, Y, X), float32
        Mean of yellow and red above their backgrounds, and their ratio.
    ratio_name : str
        Which is divided by which.
    truth, found : mapping
        Compartment -> labels (Z, Y, X), as far as there are any.
    voxel_size_um : tuple of 3 float
    is_simulated : bool
    """

    name: str
    case: str
    frame: int
    time_s: float | None
    intensity: NDArray[np.float32]
    ratio: NDArray[np.float32]
    ratio_name: str
    truth: Masks
    found: Masks
    voxel_size_um: VoxelSize
    is_simulated: bool


def compartment_items(recipe: CompartmentsRecipe, data: Path, *, is_truth_needed: bool) -> list[LabelledItem]:
    """The stacks of a folder, with their labels where there are any.

    Parameters
    ----------
    recipe : CompartmentsRecipe
    data : Path
        A simulated data set, stacks with label images, or stacks alone.
    is_truth_needed : bool

    Raises
    ------
    InputError
        ``E-NO-DATA``: no stack, or no labels where they are needed.
    """
    content = {"structures": recipe.labelled, "stored_voxel_size_um": recipe.voxel_size_um}
    try:
        return find_items(data, build_settings(LabelledSettings, content))
    except InputError as problem:
        if is_truth_needed or problem.code != "E-NO-DATA" or not data.exists() or (data / ITEMS).is_dir():
            raise
    return [
        LabelledItem(stem_of(path), path, {}, voxel_size_um=recipe.voxel_size_um) for path in find_inputs([str(data)])
    ]


def masks_of_truth(
    recipe: CompartmentsRecipe,
    items: Sequence[LabelledItem],
    output: Path,
    *,
    n_workers: int = 1,
    callback: Callback = silent,
) -> Path:
    """Measure the true masks of every stack that is not done yet; the folder is that of a run.

    Raises
    ------
    InputError
        ``E-NO-DATA``: a stack without labels of cells; ``E-REPRODUCE-RUN``.
    """
    without = next((item for item in items if CELL not in item.labels), None)
    if without is not None:
        raise InputError(
            "E-NO-DATA", f"{without.name} has no label image of cells, in which compartments are counted.",
            path=without.image, cure="Add one, or leave --from-truth out.",
        )  # fmt: skip
    content = {
        **recipe.run,
        "modality": recipe.modality,
        "model": "masks",
        "structure": CELL,
        "voxel_size_um": recipe.voxel_size_um,
        # A simulated cell that is alone has one value, and a filopodium apart from it is no second cell.
        "are_masks_labels": all(item.truth is not None for item in items),
    }
    masks = {item.image: dict(item.labels) for item in items}
    settings = build_settings(RunSettings, content)
    return run_all(list(masks), settings, output, masks=masks, n_workers=n_workers, callback=callback)


def masks_of_model(
    recipe: CompartmentsRecipe,
    items: Sequence[LabelledItem],
    output: Path,
    *,
    model: str | None = None,
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> Path:
    """Run every stack that is not done yet; as :func:`~tomocyte.papers.simulated_fields.segment_items`."""
    return segment_items(
        recipe, items, output, model=model, settings=recipe.run, device=device, n_workers=n_workers, callback=callback
    )


def compartment_frames(
    recipe: CompartmentsRecipe, items: Sequence[LabelledItem], masks: Path, *, has_truth: bool
) -> Iterator[CompartmentFrame]:
    """Every frame of every stack with its masks, one at a time.

    Parameters
    ----------
    recipe : CompartmentsRecipe
    items : sequence of LabelledItem
    masks : Path
        A run, or a folder with items of label images.
    has_truth : bool
        Whether true labels are read.
    """
    files = {name: _files(masks, name) for name in recipe.compartments}
    settings = build_settings(ChannelSettings, recipe.run.get("channels", {}))
    for item in items:
        image = item.open_image()
        derived = derived_volume(image, settings)
        found = {name: read_volume(paths[item.name], ReadOptions(), is_size_required=False)
                 for name, paths in files.items() if item.name in paths}  # fmt: skip
        true = [name for name in recipe.compartments if has_truth and name in item.labels]
        for frame in range(image.n_frames):
            intensity, ratio = derived.frame(frame)
            yield CompartmentFrame(
                item.name, item.domain or item.cell_line or item.name, frame,
                None if image.time_s is None else image.time_s[frame], intensity, ratio, settings.ratio.direction,
                {name: item.read_labels(name, frame) for name in true},
                {name: volume.planes(frame, 0) for name, volume in found.items()},
                image.require_voxel_size(), image.is_simulated,
            )  # fmt: skip


def _files(masks: Path, name: str) -> dict[str, Path]:
    """The label images of a compartment by item; none where the run has not looked for it."""
    try:
        return label_images(masks, name)
    except InputError as problem:
        if problem.code != "E-STRUCTURE":
            raise
        return {}
