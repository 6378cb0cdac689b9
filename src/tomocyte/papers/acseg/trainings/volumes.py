"""Which volumes are learned from, in which order, and which are tested.

To divide data in another way, change :func:`divide`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError


def labelled_volumes(folder: Path, structures: Sequence[str], *, scored: str) -> list[LabelledItem]:
    """The volumes of a folder that have labels of the scored structure.

    Parameters
    ----------
    folder : Path
        Simulated data, or NAME.tif with NAME_STRUCTURE.tif beside it.
    structures : sequence of str
        Whose labels are read where they are there.
    scored : str

    Raises
    ------
    InputError
        ``E-NO-DATA``.
    """
    names = tuple(dict.fromkeys((scored, *structures)))
    items = [item for item in find_items(folder, LabelledSettings(structures=names)) if scored in item.labels]
    if not items:
        raise InputError(
            "E-NO-DATA",
            f"no image with labels of {scored}.",
            path=folder,
            cure=f"Name pairs NAME.tif, NAME_{scored}.tif.",
        )
    return items


def divide(items: Sequence[LabelledItem], n_test: int, *, seed: int) -> tuple[list[LabelledItem], list[LabelledItem]]:
    """Volumes to learn from, in a drawn order, and to test.

    Parameters
    ----------
    items : sequence of LabelledItem
        Where some have the split ``test``, these are tested and those of ``train`` are learned from.
    n_test : int
        Else so many, drawn, are tested; whole groups at a time.
    seed : int

    Raises
    ------
    InputError
        ``E-NO-DATA``: too few.
    """
    rng = np.random.default_rng(seed)
    if any(item.split == "test" for item in items):
        train = [item for item in items if item.split == "train"]
        test = [item for item in items if item.split == "test"]
    else:
        groups = sorted({item.group for item in items})
        held: set[str] = set()
        for index in rng.permutation(len(groups)):
            if sum(item.group in held for item in items) < n_test:
                held.add(groups[index])
        train = [item for item in items if item.group not in held]
        test = [item for item in items if item.group in held]
    if not train or not test:
        raise InputError(
            "E-NO-DATA", f"{len(items)} labelled volumes leave {len(train)} to learn from and {len(test)} to test.",
            cure="Give more volumes, or test fewer of them.",
        )  # fmt: skip
    order = rng.permutation(len(train))
    return [replace(train[index], split="") for index in order], test
