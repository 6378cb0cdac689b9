"""Structures that exclude each other, of a prediction and its truth, as images of classes.

Every structure is a label image of its own, in folders as ``tomocyte run`` and ``tomocyte simulate`` write them, or a
named label or channel of one file. To read classes in another manner, change :func:`class_pairs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.datasets.pairs import OpenPair, Pair, find_pairs, open_pair
from tomocyte.errors import InputError, SettingsError
from tomocyte.evaluation.case import ScoreSettings
from tomocyte.evaluation.confusion import class_image
from tomocyte.evaluation.tally import predicted_mask
from tomocyte.structures import canonical_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tomocyte.formats import ReadOptions


@dataclass(frozen=True, eq=False)
class ClassCase:
    """One frame of one image.

    Parameters
    ----------
    item : str
    frame : int
    truth, prediction : ndarray (Z, Y, X), uint8
        0: in none of the structures, 1: in the first …
    n_in_several : tuple of 2 int
        Voxels of truth and prediction that several masks claim; they count for the structure named first.
    is_simulated : bool
    """

    item: str
    frame: int
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    n_in_several: tuple[int, int]
    is_simulated: bool


def class_pairs(prediction: Path, truth: Path, structures: Sequence[str]) -> dict[str, list[Pair]]:
    """Item -> its pair of files for each structure; only items that have all of them.

    Parameters
    ----------
    prediction, truth : Path
        As :func:`~tomocyte.datasets.pairs.find_pairs` takes them.
    structures : sequence of str
        At least two, in the order of the classes.

    Raises
    ------
    SettingsError
        ``E-CLASS``: fewer than two structures, or one twice.
    InputError
        ``E-PAIR``: no item has all; as :func:`~tomocyte.datasets.pairs.find_pairs`.
    """
    names = [canonical_name(name) for name in structures]
    if len(names) < 2 or len(set(names)) < len(names):
        raise SettingsError(
            "E-CLASS",
            f"{', '.join(structures) or 'nothing'} is not a list of two or more different structures.",
            cure="Separate their names with commas: --classes nucleus,cytosol,extracellular.",
        )
    of_structure = [{pair.name: pair for pair in find_pairs(prediction, truth, name).pairs} for name in structures]
    common = [item for item in of_structure[0] if all(item in pairs for pairs in of_structure)]
    if not common:
        raise InputError(
            "E-PAIR",
            f"no item has {', '.join(structures)} in both.",
            path=prediction,
            cure="Name fewer structures.",
        )
    return {item: [pairs[item] for pairs in of_structure] for item in common}


def class_cases(
    pairs: Sequence[Pair], structures: Sequence[str], options: ReadOptions, *, threshold: float = 0.5
) -> Iterator[ClassCase]:
    """The frames of one item as images of classes.

    Parameters
    ----------
    pairs : sequence of Pair
        One per structure.
    structures : sequence of str
    options : ReadOptions
    threshold : float
        A probability of at least this is inside.

    Raises
    ------
    InputError
        ``E-CLASS``: two structures are the same labels of the same file; as :func:`open_pair`.
    """
    opened = [
        open_pair(pair, options, channel=None, structure=name) for pair, name in zip(pairs, structures, strict=True)
    ]
    _check_distinct(opened, structures)
    settings = ScoreSettings(threshold=threshold)
    for cases in zip(*(one.cases() for one in opened), strict=True):
        truth, n_true = class_image([case.truth for case in cases])
        prediction, n_predicted = class_image([predicted_mask(case, settings) for case in cases])
        first = cases[0]
        yield ClassCase(first.item, first.frame, truth, prediction, (n_true, n_predicted), first.is_simulated)


def _check_distinct(opened: Sequence[OpenPair], structures: Sequence[str]) -> None:
    """Two structures must not be read from the same labels, as of a file that names none."""
    for side in ("prediction", "truth"):
        seen: dict[Any, str] = {}
        for index, (one, name) in enumerate(zip(opened, structures, strict=True)):
            volume = getattr(one, side)
            values = tuple(label.value for label in volume.label_names)
            key = (getattr(one.pair, side), one.channels[side == "truth"], values)
            if index and key in seen:
                raise InputError(
                    "E-CLASS",
                    f"{seen[key]} and {name} would be the same labels.",
                    path=getattr(one.pair, side),
                    cure="Give folders with one label image per structure, or files that name their labels.",
                )
            seen[key] = name
