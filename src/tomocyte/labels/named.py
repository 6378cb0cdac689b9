"""Labels by the names that their file gives them: which values are a structure, and a volume with only those.

A name is the structure's own or an alias, with or without a number behind it: ``Nucleus``, ``nuclei``, ``nucleus 2``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.structures import canonical_name
from tomocyte.volume import LabelName, Volume


def named_labels(structure: str, names: Iterable[LabelName]) -> tuple[LabelName, ...]:
    """The names that stand for a structure.

    Examples
    --------
    >>> names = [LabelName(1, "Cell"), LabelName(4, "nuclei"), LabelName(5, "Nucleus_2")]
    >>> [one.value for one in named_labels("nucleus", names)]
    [4, 5]
    """
    wanted = canonical_name(structure)
    return tuple(
        one for one in names if wanted in (canonical_name(one.name), canonical_name(_without_number(one.name)))
    )


def _without_number(name: str) -> str:
    return re.sub(r"[\s_.-]*\d+$", "", name)


@dataclass(frozen=True)
class SelectedPlanes:
    """Planes of a label image in which all labels but some are background; picklable."""

    volume: Volume
    values: tuple[int, ...]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        planes = self.volume.planes(frame, channel, z_start, z_stop)
        return np.where(np.isin(planes, self.values), planes, np.zeros(1, planes.dtype))


def only_labels_of(structure: str, volume: Volume, *, channel: int = 0, kept: tuple[int, ...] = ()) -> Volume:
    """A label image with only the labels of a structure, where its file names several; else the volume as it is.

    Parameters
    ----------
    structure : str
    volume : Volume
    channel : int
        The channel that will be read.
    kept : tuple of int
        Values that stay besides, as an ignore label.

    Raises
    ------
    InputError
        ``E-STRUCTURE``: it names several labels, and none is the structure.
    """
    names = [one for one in volume.label_names if one.channel == channel and one.value not in kept]
    found = named_labels(structure, names)
    if not found and len(names) > 1:
        listed = ", ".join(dict.fromkeys(one.name for one in names))
        raise InputError(
            "E-STRUCTURE",
            f"names its labels, and none of them {structure!r}.",
            path=volume.path,
            cure=f"Give one of its names as the structure: {listed}.",
        )
    if not found:
        return volume
    values = (*(one.value for one in found), *kept)
    return volume.with_properties(read_planes=SelectedPlanes(volume, values), label_names=found)
