"""Stored axes in any order, seen as T, C, Z, Y, X.

``axes`` is always one letter of ``TCZYX`` per stored axis, slowest first (the order of a C-ordered NumPy array). To
support another source of axes, turn what the file says into such a string and pass it through :func:`checked_axes`.
What the file says of an axis (its step, its times, its names) counts only where the final axes have it:
:func:`properties_of_axes`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError, MissingFact
from tomocyte.volume import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM, Shape5

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
            cure=_cure_of_axes(shape, f"One different letter of {ORDER} per stored axis, Y and X among them."),
            missing=_axes_to_give(shape),
        )
    return letters


def named_axes(axes: str, shape: Sequence[int]) -> list[int]:
    """Indices of the stored axes that a user's letters name: all, or all but those of length 1.

    Examples
    --------
    >>> named_axes("CZYX", (2, 1, 7, 9, 11)), named_axes("CTZYX", (2, 1, 7, 9, 11))
    ([0, 2, 3, 4], [0, 1, 2, 3, 4])
    """
    longer = [index for index, size in enumerate(shape) if size > 1]
    return longer if len(axes) == len(longer) else list(range(len(shape)))


def ambiguous_axes(shape: Sequence[int], path: Path, *, what: str = "the file does not specify") -> MetadataError:
    """The error for axes that cannot be known."""
    return MetadataError(
        "E-AXES",
        f"{what} which axis of the stored shape {tuple(shape)} is z, time or channel.",
        path=path,
        cure=_cure_of_axes(shape, "That is the order in which they are stored, one letter each."),
        missing=_axes_to_give(shape),
    )


def _cure_of_axes(shape: Sequence[int], advice: str) -> str:
    """Advice on the letters for a stored shape, or what else helps where none can fit."""
    if not 2 <= len(shape) <= len(ORDER):
        return f"Arrays of two to five axes are read, this one has {len(shape)}: save a part of it, or another array."
    return advice


def _axes_to_give(shape: Sequence[int]) -> tuple[MissingFact, ...]:
    return (MissingFact("axes", (ORDER[-len(shape) :],)),) if 2 <= len(shape) <= len(ORDER) else ()


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


def properties_of_axes(
    shape: Shape5,
    axes: str,
    *,
    lengths_um: Mapping[str, float],
    times_s: Sequence[float] | None = None,
    time_step_s: float | None = None,
    channel_names: Sequence[str] = (),
    notes: list[str],
) -> dict[str, Any]:
    """Voxel size, times and channel names, as far as the final axes have what they describe.

    The thickness of a plane is decided here and nowhere else: it is the file's step along Z where the final axes have
    a Z, and NaN where they have none. A time step belongs to T and names belong to C in the same way, so that what a
    file says of an axis which the user calls by another name is not carried over to a wrong one.

    Parameters
    ----------
    shape : tuple of 5 int
        T, C, Z, Y, X of the volume.
    axes : str
        The final axes, those of length 1 too where the file or the user names them.
    lengths_um : mapping
        ``z``, ``y``, ``x`` in µm: the steps that the file gives, under the names that the final axes have.
    times_s : sequence of float, optional
        Seconds of each frame after the first.
    time_step_s : float, optional
        Seconds between frames, used where ``times_s`` is not known.
    channel_names : sequence of str
        As the file gives them.
    notes : list of str
        Receives ``W-VOXEL-SIZE`` when the planes have no distance, or a length is none of a voxel.

    Returns
    -------
    dict
        ``voxel_size_um``, ``time_s`` and ``channel_names`` of a :class:`~tomocyte.volume.Volume`, those that are known.

    Examples
    --------
    >>> lengths = {"z": 0.5, "y": 0.1, "x": 0.1}
    >>> properties_of_axes((1, 1, 3, 60, 60), "ZYX", lengths_um=lengths, time_step_s=2.0, notes=[])
    {'voxel_size_um': (0.5, 0.1, 0.1)}
    >>> properties_of_axes((3, 1, 1, 60, 60), "TYX", lengths_um=lengths, time_step_s=2.0, notes=[])
    {'voxel_size_um': (nan, 0.1, 0.1), 'time_s': (0.0, 2.0, 4.0)}
    """
    n_frames, n_channels, n_planes = shape[:3]
    properties: dict[str, Any] = {}
    lengths = {axis: size for axis, size in lengths_um.items() if SMALLEST_VOXEL_UM <= size <= LARGEST_VOXEL_UM}
    wrong = ", ".join(
        f"{axis} = {size:.6g}" for axis, size in lengths_um.items() if axis not in lengths and not math.isnan(size)
    )
    depth = lengths.get("z", math.nan) if "Z" in axes else math.nan
    if wrong:
        notes.append(
            f"W-VOXEL-SIZE: the file gives {wrong} µm, which is no size of a voxel ({SMALLEST_VOXEL_UM:g} to "
            f"{LARGEST_VOXEL_UM:g} µm)."
        )
    if "y" in lengths and "x" in lengths:
        if n_planes == 1 or not math.isnan(depth):
            properties["voxel_size_um"] = (depth, lengths["y"], lengths["x"])
        elif not wrong:
            notes.append(
                f"W-VOXEL-SIZE: the file gives y = {lengths['y']:.6g} and x = {lengths['x']:.6g} µm but no "
                "distance in z."
            )
    if n_frames > 1:
        if times_s is not None and len(times_s) == n_frames:
            properties["time_s"] = tuple(times_s)
        elif time_step_s is not None:
            properties["time_s"] = tuple(frame * time_step_s for frame in range(n_frames))
    if any(channel_names) and len(channel_names) == n_channels:
        properties["channel_names"] = tuple(channel_names)
    return properties


def said_by_file(
    properties: Mapping[str, Any], fields: Mapping[str, str], *, simulated: Collection[str] = ()
) -> dict[str, Any]:
    """Properties of a volume that its file gives, with their ``origin`` and ``sources``.

    Parameters
    ----------
    properties : mapping
        Fields of :class:`~tomocyte.volume.Volume`; what is ``None`` or empty the file does not say.
    fields : mapping
        For properties, the field of the file that says it.
    simulated : collection of str
        Properties that the file calls simulated.

    Examples
    --------
    >>> said_by_file({"medium_ri": 1.337, "time_s": None}, {"medium_ri": "Info/Device RI", "time_s": "Time"})
    {'medium_ri': 1.337, 'origin': {'medium_ri': 'file'}, 'sources': {'medium_ri': 'Info/Device RI'}}
    """
    known = {name: value for name, value in properties.items() if value not in (None, "", ())}
    return {
        **known,
        "origin": {name: "simulated" if name in simulated else "file" for name in known},
        "sources": {name: field for name, field in fields.items() if field and name in known},
    }
