"""Fields of ACSeg's experiments: what is simulated, and images with their true and their found labels.

To take the cases of a data set from elsewhere than its cards, change :func:`case_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.files import ITEMS
from tomocyte.datasets.labelled import LABEL_ENDINGS, LabelledItem, find_items
from tomocyte.datasets.pairs import Pair, label_images, open_pair
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions
from tomocyte.papers.acseg.recipe import FieldsRecipe
from tomocyte.settings import build_settings
from tomocyte.volume import VoxelSize


@dataclass(frozen=True, eq=False)
class SegmentedField:
    """One tomogram with its labels, the first frame.

    Parameters
    ----------
    name, case : str
        Of the item, and of what it is an example of.
    image : ndarray (Z, Y, X), float32
        In the unit of ``unit``.
    truth, found : ndarray (Z, Y, X), unsigned integer
        Labels of the structure that is compared.
    others : dict of str to ndarray (Z, Y, X)
        Further true labels, where there are any: beads, the capillary, nuclei.
    voxel_size_um : tuple of 3 float
    quantity, unit : str
        Of the image.
    is_simulated : bool
    """

    name: str
    case: str
    image: NDArray[np.float32]
    truth: NDArray[Any]
    found: NDArray[Any]
    others: dict[str, NDArray[Any]]
    voxel_size_um: VoxelSize
    quantity: str
    unit: str
    is_simulated: bool


def labelled_items(recipe: FieldsRecipe, data: Path) -> list[LabelledItem]:
    """The items of a folder that have labels of what is compared.

    Raises
    ------
    InputError
        ``E-NO-DATA``.
    """
    names = dict.fromkeys((recipe.structure, *(recipe.labelled if (data / ITEMS).is_dir() else ())))
    content = {"structures": tuple(names), "stored_voxel_size_um": recipe.voxel_size_um}
    items = find_items(data, build_settings(LabelledSettings, content))
    if any(recipe.structure not in item.labels for item in items):
        raise InputError(
            "E-NO-DATA", f"not every image has a label image of {recipe.structure}.", path=data,
            cure="Give --set structure=NAME, a structure that is labelled.",
        )  # fmt: skip
    return items


def field_pairs(recipe: FieldsRecipe, items: Sequence[LabelledItem], masks: Path) -> list[Pair]:
    """The true label image of every item with the one of the same name in a run or a folder of masks.

    Raises
    ------
    InputError
        ``E-PAIR``: an item without one.
    """
    found = label_images(masks, recipe.structure)
    endings = ("", *LABEL_ENDINGS, f"_{recipe.structure}")
    pairs = []
    for item in items:
        path = next((found[item.name + end] for end in endings if item.name + end in found), None)
        if path is None:
            raise InputError(
                "E-PAIR", f"no segmentation of {item.name}; there are: {', '.join(sorted(found)[:3])}.", path=masks,
                cure="Give the folder of a run of these images, or label images of the same names.",
            )  # fmt: skip
        pairs.append(Pair(item.name, path, item.labels[recipe.structure]))
    return pairs


class SegmentedFields(Sequence[SegmentedField]):
    """Every item with what was found in it, each read when it is asked for, because full-sized ones fill the memory.

    Parameters
    ----------
    recipe : FieldsRecipe
    items : sequence of LabelledItem
    masks : Path
        A run, or a folder of label images.

    Raises
    ------
    InputError
        ``E-PAIR`` at once; ``E-SHAPE``, ``E-LABELS-TYPE`` when the field is read.
    """

    def __init__(self, recipe: FieldsRecipe, items: Sequence[LabelledItem], masks: Path) -> None:
        self._recipe, self._items = recipe, items
        self._pairs = field_pairs(recipe, items, masks)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> SegmentedField: ...
    @overload
    def __getitem__(self, index: slice) -> list[SegmentedField]: ...
    def __getitem__(self, index: int | slice) -> SegmentedField | list[SegmentedField]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._read(self._items[index], self._pairs[index])

    def _read(self, item: LabelledItem, pair: Pair) -> SegmentedField:
        structure = self._recipe.structure
        options = ReadOptions(voxel_size_um=self._recipe.voxel_size_um)
        opened = open_pair(pair, options, channel=None, structure=structure)
        volume = item.open_image()
        case = next(iter(opened.cases()))
        if case.prediction is None:
            problem = "holds probabilities, not labels."
            raise InputError("E-LABELS-TYPE", problem, path=pair.prediction, cure="Give label images.")
        others = {name: item.read_labels(name) for name in item.labels if name != structure}
        return SegmentedField(
            item.name, case_of(item), np.asarray(volume.planes(0, 0), np.float32), case.truth, case.prediction,
            others, volume.require_voxel_size(), volume.quantity or "value", volume.unit or "1",
            volume.is_simulated or opened.is_simulated,
        )  # fmt: skip


def case_of(item: LabelledItem) -> str:
    """What an item is an example of: its domain, in a benchmark its cell line, or itself."""
    return (item.domain if not item.split else "") or item.cell_line or item.name
