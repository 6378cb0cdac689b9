"""Lengths that a file states twice, and how large a pixel can be: what readers of several formats compare."""

from __future__ import annotations

import math
from collections.abc import Mapping

LARGEST_PLAIN_PIXEL_UM = 2.0
"""A resolution tag without a microscope's dialect is a pixel size only below this; above, it is a printer's dpi."""


def is_same_size(one: float, other: float, *, tolerance: float = 0.01) -> bool:
    """Whether two statements of one length agree to 1 %, more than their rounding and less than any mistake."""
    return math.isclose(one, other, rel_tol=tolerance)


def disagreement(axis: str, sources: Mapping[str, float]) -> str:
    """The note for a voxel length that a file gives twice, differently."""
    shown = " and ".join(f"{shown_um(value)} µm by {source}" for source, value in sources.items())
    return (
        f"W-VOXEL-SIZE: the file gives {axis} twice: {shown}. None is used: give the right one with --voxel-size-um "
        "Z Y X."
    )


def shown_um(length: float) -> str:
    """A length in µm, to six figures."""
    return f"{length:.6g}"
