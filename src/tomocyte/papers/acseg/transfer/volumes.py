"""Volumes of several cell types: simulated, or a folder per cell type; and copies that show other sections.

To recognise cell types in another way, change :func:`volumes_by_type`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError
from tomocyte.formats import write_volume
from tomocyte.ledger import writing
from tomocyte.ledger.atomic import publish_atomic
from tomocyte.papers.acseg.trainings.volumes import divide, labelled_volumes
from tomocyte.papers.acseg.transfer.recipe import TransferRecipe
from tomocyte.runs.simulate import ItemPlan, dataset_plan
from tomocyte.volume import Volume

ORDERS = {"z": (0, 1, 2), "y": (1, 0, 2), "x": (2, 0, 1)}
"""What sections are perpendicular to -> the axes in the order in which they then come."""


@dataclass(frozen=True)
class TypeVolumes:
    """Volumes of one cell type: to learn from, in a drawn order, and to test."""

    train: list[LabelledItem]
    test: list[LabelledItem]


def plans_of(recipe: TransferRecipe) -> list[ItemPlan]:
    """What is simulated: for every cell type volumes to learn from and to test."""
    plans = []
    for cell_type in recipe.cell_types.values():
        counts = (("train", cell_type.n_train, cell_type.seed), ("test", cell_type.n_test, cell_type.seed + 1))
        for split, n_items, seed in counts:
            for plan in dataset_plan(dict(cell_type.dataset), n_items, seed=seed) if n_items else []:
                plans.append(plan.model_copy(update={"name": f"{split}-{plan.name}", "split": split}))
    return plans


def volumes_by_type(recipe: TransferRecipe, folder: Path) -> dict[str, TypeVolumes]:
    """The volumes of each cell type of a recipe.

    Parameters
    ----------
    recipe : TransferRecipe
    folder : Path
        With a folder per cell type, of its name; or one data set whose items say what they are.

    Raises
    ------
    InputError
        ``E-NO-DATA``: a cell type has too few volumes.
    """
    folders = {_plain(path.name): path for path in sorted(folder.iterdir()) if path.is_dir()} if folder.is_dir() else {}
    structures, scored = recipe.structures(), recipe.structure
    everything = None
    result = {}
    for name, cell_type in recipe.cell_types.items():
        if _plain(name) in folders:
            items = labelled_volumes(folders[_plain(name)], structures, scored=scored)
        else:
            everything = everything or labelled_volumes(folder, structures, scored=scored)
            items = [item for item in everything if _plain(item.cell_line) == _plain(name)]
        result[name] = _divided(items, name, cell_type.n_train, cell_type.n_test, recipe.order_seed, folder)
    for name, parts in recipe.training_sets.items():
        for one, n_volumes in parts.items():
            if len(result[one].train) < n_volumes:
                raise InputError(
                    "E-NO-DATA", f"the training set {name!r} needs {n_volumes} volumes of {one}, and there are "
                    f"{len(result[one].train)} to learn from.", path=folder,
                    cure="Give more, or change the set with --set 'training_sets={...}'.",
                )  # fmt: skip
    return result


def _divided(items: list[LabelledItem], name: str, n_train: int, n_test: int, seed: int, folder: Path) -> TypeVolumes:
    if not items:
        raise InputError(
            "E-NO-DATA", f"no volume of {name}.", path=folder,
            cure=f"Give a folder {name!r} with NAME.tif and NAME_cell.tif in it, or take the cell type out.",
        )  # fmt: skip
    if not n_train:
        return TypeVolumes([], [item for item in items if item.split in ("", "test")])
    if not n_test:
        return TypeVolumes([replace(item, split="") for item in items if item.split in ("", "train")], [])
    return TypeVolumes(*divide(items, n_test, seed=seed))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold().replace("beta", "β") if letter.isalnum())


def with_sections_across(items: Sequence[LabelledItem], axes: Sequence[str], folder: Path) -> list[LabelledItem]:
    """The items and, for each further axis, copies that are turned so that their sections are perpendicular to it.

    Parameters
    ----------
    items : sequence of LabelledItem
    axes : sequence of {"z", "y", "x"}
    folder : Path
        Holds the copies, which are made where they are not there yet.
    """
    result = []
    for axis in axes:
        result += list(items) if axis == "z" else [_turned(item, axis, folder / f"across-{axis}") for item in items]
    return result


def _turned(item: LabelledItem, axis: str, folder: Path) -> LabelledItem:
    image = item.open_image()
    place = folder / item.name
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    path = place / f"{item.name}.ome.tif"
    if not path.exists():
        publish_atomic(path, partial(_write_turned, image, axis))
    labels = {}
    for name in item.labels:
        labels[name] = place / f"{name}.ome.tif"
        opened = None if labels[name].exists() else item.open_labels(name, image)
        if opened is not None:
            publish_atomic(labels[name], partial(_write_turned, opened, axis))
    return replace(item, name=f"{item.name}-{axis}", image=path, labels=labels)


def _write_turned(volume: Volume, axis: str, path: Path) -> None:
    order = ORDERS[axis]
    frame = np.stack([volume.planes(0, channel) for channel in range(volume.n_channels)])
    turned = np.ascontiguousarray(frame.transpose(0, *(1 + one for one in order)))
    about: dict[str, Any] = {
        "voxel_size_um": tuple(volume.require_voxel_size()[one] for one in order) if volume.voxel_size_um else None,
        "origin": dict(volume.origin),
        "quantity": volume.quantity,
        "unit": volume.unit,
        "medium_ri": volume.medium_ri,
    }
    write_volume(path, Volume.from_array(turned, **about))
