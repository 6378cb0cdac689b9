"""Lengths of voxels and where they lie in space, as NIfTI and NRRD say it, each in two or three fields.

A length that several fields state counts once they agree (:func:`agreed_length`); rows of steps become
:attr:`tomocyte.volume.Volume.affine` with :func:`affine_of` and are written again from :func:`placed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tomocyte.formats._lengths import disagreement, is_same_size
from tomocyte.volume import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM, Affine, Volume

LARGEST_SHEAR_COSINE: Final = 0.01
"""Axes that lean against each other by more than 0.6 degrees: the volume of a voxel is no product of three lengths."""


def agreed_length(axis: str, stated: Mapping[str, float], notes: list[str]) -> float | None:
    """The length of a voxel along one axis, from all fields that state it.

    Parameters
    ----------
    axis : str
        ``z``, ``y`` or ``x``, for the note.
    stated : mapping
        Name of a field -> length in µm; what is not positive and finite states nothing.
    notes : list of str
        Receives ``W-VOXEL-SIZE`` where two fields differ by more than 1 %, or the length is none of a microscope.

    Examples
    --------
    >>> notes = []
    >>> agreed_length("x", {"pixdim": 0.2, "the sform": 0.2003}, notes), notes
    (0.2, [])
    >>> agreed_length("x", {"pixdim": 0.2, "the sform": 0.3}, notes)
    >>> notes[0].split(". None")[0]
    'W-VOXEL-SIZE: the file gives x twice: 0.2 µm by pixdim and 0.3 µm by the sform'
    """
    known = {field: length for field, length in stated.items() if math.isfinite(length) and length > 0}
    if not known:
        return None
    (first, length), *others = known.items()
    for field, other in others:
        if not is_same_size(length, other):
            notes.append(disagreement(axis, {first: length, field: other}))
            return None
    if not SMALLEST_VOXEL_UM <= length <= LARGEST_VOXEL_UM:
        notes.append(
            f"W-VOXEL-SIZE: the file gives {axis} = {length:.6g} µm by {first}, which is not a voxel size "
            f"({SMALLEST_VOXEL_UM:g} to {LARGEST_VOXEL_UM:g} µm)."
        )
        return None
    return length


def without_unit(lengths: Mapping[str, float]) -> str:
    """The note for lengths, by the name of their axis, of which the file does not say the unit; or for none at all."""
    shown = ", ".join(f"{axis} = {length:.6g}" for axis, length in lengths.items() if math.isfinite(length))
    return f"W-VOXEL-SIZE: the file gives {f'{shown} without a known unit of length' if shown else 'no voxel size'}."


def shear_note(rows: NDArray[np.float64]) -> tuple[str, ...]:
    """A note where the steps (3, 3) along z, y, x lean against each other; nothing where they stand upright."""
    lengths = np.linalg.norm(rows, axis=1)
    if not (np.all(np.isfinite(rows)) and lengths.all()):
        return ()
    cosines = np.abs((rows / lengths[:, None]) @ (rows / lengths[:, None]).T - np.eye(3))
    if cosines.max() <= LARGEST_SHEAR_COSINE:
        return ()
    degrees = 90 - math.degrees(math.acos(min(float(cosines.max()), 1.0)))
    return (
        f"W-SHEAR: by the file, its axes lean {degrees:.3g} degrees out of the right angle; they are taken as "
        "perpendicular, and volumes and shapes are wrong by that.",
    )


def affine_of(rows: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> Affine | None:
    """Steps along z, y, x and the first voxel (4, 3) as an affine; ``None`` unless all is finite and has a length."""
    if any(len(row) != 3 for row in rows):
        return None
    table = np.array(rows, dtype=np.float64)
    if not np.all(np.isfinite(table)) or not np.linalg.norm(table[:3], axis=1).all():
        return None
    step_z, step_y, step_x, first = ((float(row[0]), float(row[1]), float(row[2])) for row in table)
    return step_z, step_y, step_x, first


def placed(volume: Volume) -> NDArray[np.float64] | None:
    """Steps along z, y, x and the first voxel (4, 3) in µm, for a file that is to be written.

    Directions are those of the affine, lengths those of the voxel size, which the user may have given; where the
    affine has no unit, its position cannot be written and is zero. ``None`` without an affine or a voxel size.
    """
    if volume.affine is None or volume.voxel_size_um is None:
        return None
    rows = np.array(volume.affine, dtype=np.float64)
    for axis, size in enumerate(volume.voxel_size_um):
        if not math.isnan(size):  # a plane of unknown thickness keeps the step that it had
            rows[axis] *= size / np.linalg.norm(rows[axis])
    if volume.affine_unit != "um":
        rows[3] = 0.0
    return rows
