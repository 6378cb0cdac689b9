"""Stored axes in any order, seen as T, C, Z, Y, X.

``axes`` is always one letter of ``TCZYX`` per stored axis, slowest first (the order of a C-ordered NumPy array). To
support another source of axes, turn what the file says into such a string and pass it through :func:`checked_axes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError
from tomocyte.volume import Shape5

ORDER = "TCZYX"


def checked_axes(axes: str, shape: Sequence[int], path: Path) -> str:
    """Axes in upper case, one per stored axis, with Y and X.

    Raises
    ------
    MetadataError
        ``E-AXES``: a letter too many, too few, twice, unknown, or no Y or X.
    """
    letters = axes.upper()
    usable = len(letters) == len(shape) == len(set(letters)) and {"Y", "X"} <= set(letters) <= set(ORDER)
    if not usable:
        raise MetadataError(
            "E-AXES",
            f"axes {axes!r} do not fit the stored shape {tuple(shape)}.",
            path=path,
            cure=f"Give one different letter of {ORDER} per stored axis with --axes, Y and X among them.",
        )
    return letters


def ambiguous_axes(shape: Sequence[int], path: Path, *, what: str = "the file does not specify") -> MetadataError:
    """The error for axes that cannot be known."""
    example = "TCZYX"[-len(shape) :]
    return MetadataError(
        "E-AXES",
        f"{what} which axis of the stored shape {tuple(shape)} is z, time or channel.",
        path=path,
        cure=f"Give the axes in stored order, e.g. --axes {example}.",
    )


def shape_tczyx(axes: str, shape: Sequence[int]) -> Shape5:
    """The sizes T, C, Z, Y, X, with 1 for each axis that is not stored."""
    sizes = dict(zip(axes, (int(size) for size in shape), strict=True))
    return sizes.get("T", 1), sizes.get("C", 1), sizes.get("Z", 1), sizes["Y"], sizes["X"]


def selection(axes: str, frame: int, channel: int, z_start: int, z_stop: int) -> tuple[int | slice, ...]:
    """Index into the stored array for some planes of one channel of one frame."""
    selected: dict[str, int | slice] = {"T": frame, "C": channel, "Z": slice(z_start, z_stop)}
    return tuple(selected.get(letter, slice(None)) for letter in axes)


def as_planes(block: NDArray[Any], axes: str) -> NDArray[Any]:
    """A block cut out by :func:`selection`, as (Z, Y, X), contiguous and in the machine's byte order."""
    spatial = axes.replace("T", "").replace("C", "")
    if "Z" not in spatial:
        block, spatial = block[np.newaxis], "Z" + spatial
    ordered = block.transpose([spatial.index(letter) for letter in "ZYX"])
    return np.ascontiguousarray(ordered, dtype=block.dtype.newbyteorder("="))
