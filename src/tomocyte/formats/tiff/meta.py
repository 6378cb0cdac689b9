"""What a TIFF says about itself: axes, voxel size, times - as ImageJ or tifffile's JSON say it (OME: ``ome``).

Each ``declared_by_…`` function turns one dialect into a :class:`Declared` without looking at any page. To add a
dialect, add such a function and call it in ``__init__.py``. Units are converted to µm and s with ``UNIT_UM`` and
``UNIT_S``; a unit that is not in the table is never guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tomocyte.errors import InputError
from tomocyte.formats._hostile import parsing
from tomocyte.formats._lengths import LARGEST_PLAIN_PIXEL_UM, disagreement, is_same_size, shown_um
from tomocyte.volume import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM

UNIT_UM = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "nm": 1e-3, "pm": 1e-6, "å": 1e-4,
    "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometers": 1.0, "micrometre": 1.0,
    "micrometres": 1.0, "nanometer": 1e-3, "nanometers": 1e-3, "nanometre": 1e-3, "millimeter": 1e3,
    "millimeters": 1e3, "millimetre": 1e3, "angstrom": 1e-4, "angstroms": 1e-4, "ångström": 1e-4, "meter": 1e6,
}  # fmt: skip
UNIT_S = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "µs": 1e-6, "us": 1e-6,
    "ns": 1e-9, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0,
    "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """Pages of one file that hold consecutive planes of an OME image.

    Parameters
    ----------
    file_name, uuid : str or None
        Name and identifier of the file as written; without either it is the file itself.
    first_page, first_plane : int
        Index of the first page in that file, and of the plane that it holds in :attr:`Declared.sizes` order.
    n_planes : int or None
        How many; ``None`` means all pages from there.
    place : Path or None
        The file, resolved, once it is known; ``None`` is the file itself.
    """

    file_name: str | None
    first_page: int
    first_plane: int
    n_planes: int | None
    uuid: str | None = None
    place: Path | None = None


@dataclass(frozen=True)
class Declared:
    """What the file says, before any page is compared with it.

    Parameters
    ----------
    kind : str
        ``ome``, ``imagej``, ``shaped`` or ``bare``.
    axes : str
        One letter per axis of the grid of pages, slowest first; ``?`` where the file does not say.
    sizes : tuple of int
        Length of each of them.
    plane_shape : tuple of 2 int, optional
        Y, X.
    dtype : str, optional
        Numpy code of the voxel type.
    placements : tuple of Placement
        Where planes lie; empty means: pages in order.
    lengths_um : mapping
        ``z``, ``y``, ``x`` in µm, those that are known.
    length_fields : mapping
        For each of them the field that says it.
    time_s, time_step_s
        Time of each frame, or the step between them, in s.
    named_sizes : mapping
        Length by axis letter of those dimensions that the file names, where they do not account for all pages.
    notes, depth_notes : tuple of str
        What the user has to know; the latter only where the volume has planes.
    """

    kind: str
    axes: str = ""
    sizes: tuple[int, ...] = ()
    plane_shape: tuple[int, int] | None = None
    dtype: str | None = None
    placements: tuple[Placement, ...] = ()
    lengths_um: Mapping[str, float] = field(default_factory=dict)
    length_fields: Mapping[str, str] = field(default_factory=dict)
    time_s: tuple[float, ...] | None = None
    time_step_s: float | None = None
    channel_names: tuple[str, ...] = ()
    quantity: str | None = None
    unit: str = ""
    medium_ri: float | None = None
    named_sizes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    depth_notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def sources_of(declared: Declared, properties: Mapping[str, Any]) -> dict[str, str]:
    """For properties of the volume, the field of the file that says each.

    Examples
    --------
    >>> declared = Declared("ome", lengths_um={"y": 0.1, "x": 0.1}, length_fields={"y": "OME Y", "x": "OME X"})
    >>> sources_of(declared, {"voxel_size_um": (float("nan"), 0.1, 0.1), "quantity": "labels"})
    {'voxel_size_um': 'OME Y, OME X', 'quantity': 'OME annotation tomocyte/volume'}
    """
    lengths = [declared.length_fields[axis] for axis in "zyx" if axis in declared.length_fields]
    time = {"imagej": "ImageJ finterval", "ome": "OME DeltaT" if declared.time_s else "OME TimeIncrement"}
    ours = dict.fromkeys(("quantity", "unit", "medium_ri", "instrument"), "OME annotation tomocyte/volume")
    fields = {
        "voxel_size_um": ", ".join(lengths),
        "time_s": time.get(declared.kind, ""),
        "channel_names": "OME Channel Name" if declared.kind == "ome" else "",
        **(ours if declared.kind == "ome" else {}),
    }
    return {name: fields[name] for name in properties if fields.get(name)}


def plain_unit(text: str) -> str:
    """A unit as the tables write it: escapes resolved, Greek mu (U+03BC) as micro sign, lower case, no spaces around.

    Units whose prefix is a capital (Mm, Ps) stay as they are, for they are not the small ones.
    """
    resolved = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text.strip().strip('"').strip())
    if re.fullmatch(r"[MP][ms]", resolved):
        return resolved
    return resolved.replace("\u03bc", "\u00b5").replace("\u212b", "\u00e5").lower()


def length_um(value: object, unit: str, *, axis: str, notes: list[str]) -> float | None:
    """A voxel length in µm, or ``None`` with a note when it is not usable.

    Parameters
    ----------
    value : object
        As found in the file; ``None`` when absent (no note then).
    unit : str
        As found in the file.
    axis : str
        ``z``, ``y`` or ``x``, for the note.
    notes : list of str
        Receives a ``W-VOXEL-SIZE`` note.
    """
    if value is None:
        return None
    name = plain_unit(unit)
    found = number(value)
    factor = UNIT_UM.get(name)
    size = math.nan if found is None or factor is None else found * factor
    if SMALLEST_VOXEL_UM <= size <= LARGEST_VOXEL_UM:
        return size
    notes.append(f"W-VOXEL-SIZE: the file gives {axis} = {str(value)[:40]} {unit[:40]!r}, which is not a voxel size.")
    return None


def length_in_um(value: object, unit: str) -> float | None:
    """A length in µm, or ``None`` when it or its unit is not understood."""
    found, factor = number(value), UNIT_UM.get(plain_unit(unit))
    return None if found is None or factor is None else found * factor


def plain_lengths(per_unit: Mapping[str, float], unit: int) -> tuple[float, float] | None:
    """Pixel size y, x in µm from the resolution tags, if it can only be a microscope's.

    Parameters
    ----------
    per_unit : mapping
        ``y`` and ``x``: pixels per unit.
    unit : int
        The tag ResolutionUnit: 2 for inches, 3 for cm; with others a resolution is no length.
    """
    unit_um = {2: 25_400.0, 3: 10_000.0}.get(unit)
    if unit_um is None or len(per_unit) < 2:
        return None
    lengths = unit_um / per_unit["y"], unit_um / per_unit["x"]
    return lengths if max(lengths) <= LARGEST_PLAIN_PIXEL_UM and min(lengths) >= SMALLEST_VOXEL_UM else None


def seconds(value: object, unit: str) -> float | None:
    """A time in s, or ``None`` when it or its unit is not understood."""
    found, factor = number(value), UNIT_S.get(plain_unit(unit))
    return None if found is None or factor is None else found * factor


def number(value: object) -> float | None:
    """A finite number, or ``None``."""
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def damaged(path: Path, problem: str) -> InputError:
    """The error for metadata that contradicts itself."""
    return InputError("E-TIFF-META", problem, path=path, cure="Export the file again from the program that made it.")


def whole(value: object, path: Path, what: str, *, least: int = 1) -> int:
    """A whole number of at least ``least``, or ``E-TIFF-META``."""
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or int(text) < least:
        raise damaged(path, f"{what} = {text[:40]!r} is not a whole number of at least {least}.")
    return int(text)


def declared_by_imagej(
    text: str, *, resolution: Mapping[str, float], n_samples: int, path: Path, resolution_unit: int = 1
) -> Declared:
    """What an ImageJ description says.

    Parameters
    ----------
    text : str
        The image description, ``key=value`` lines.
    resolution : mapping
        ``y`` and ``x``: pixels per unit, from the resolution tags.
    n_samples : int
        Values per pixel.
    path : Path
        The file, for messages.
    resolution_unit : int
        The tag of that name: 2 for inches, 3 for cm, which ImageJ itself ignores where its text names a unit.

    Raises
    ------
    InputError
        ``E-TIFF-META`` for counts that contradict each other.
    """
    entries = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    size = {
        axis: whole(entries.get(key, "1"), path, key)
        for axis, key in (("C", "channels"), ("Z", "slices"), ("T", "frames"))
    }
    if n_samples > 1 and size["C"] == n_samples:
        size["C"] = 1  # samples declared as channels
    axes = entries.get("order", "czt").upper()[::-1]
    axes = "TZC" if axes == "TLUAFED" else axes  # "default"
    if sorted(axes) != ["C", "T", "Z"]:
        raise damaged(path, f"order = {entries['order'][:20]!r} is not one of ImageJ's.")
    sizes = tuple(size[axis] for axis in axes)
    n_images = whole(entries.get("images", str(math.prod(sizes))), path, "images")
    named: dict[str, int] = {}
    if n_images != math.prod(sizes):
        named = {axis: length for axis, length in size.items() if length > 1}
        is_one_missing = len(named) < 3 and n_images % math.prod(sizes) == 0
        if not is_one_missing:
            raise damaged(path, f"images = {n_images}, but channels x slices x frames = {math.prod(sizes)}.")
        axes, sizes = "?", (n_images,)
    notes: list[str] = []
    depth_notes: list[str] = []
    step = seconds(entries.get("finterval"), entries.get("tunit", "s"))
    lengths = _imagej_lengths(entries, resolution, resolution_unit, notes=notes, depth_notes=depth_notes)
    fields = {"z": "ImageJ spacing", "y": "TIFF YResolution", "x": "TIFF XResolution"}
    return Declared(
        kind="imagej",
        axes=axes,
        sizes=sizes,
        lengths_um=lengths,
        length_fields={axis: fields[axis] for axis in lengths},
        time_step_s=step if step is not None and step > 0 else None,
        named_sizes=named,
        notes=tuple(notes),
        depth_notes=tuple(depth_notes),
        metadata={key: value[:200] for key, value in entries.items()},
    )


def _imagej_lengths(
    entries: Mapping[str, str],
    resolution: Mapping[str, float],
    resolution_unit: int,
    *,
    notes: list[str],
    depth_notes: list[str],
) -> dict[str, float]:
    """The lengths that ImageJ gives; ``spacing`` counts for whatever axis turns out to be z."""
    unit = entries.get("unit", "")
    units = {"z": entries.get("zunit", unit), "y": entries.get("yunit", unit), "x": unit}
    lengths: dict[str, float] = {}
    by_tag = dict(zip("yx", plain_lengths(resolution, resolution_unit) or (), strict=False))
    own: list[str] = []
    for axis in "yx":
        value = 1 / resolution[axis] if resolution.get(axis) else None
        size = length_um(value, units[axis], axis=axis, notes=own)
        if size is not None:
            lengths[axis] = size
    if len(lengths) < 2 and by_tag:
        lengths = by_tag
        notes.append(
            f"W-VOXEL-SIZE: the pixel size is that of the resolution tags; with the unit {unit[:40]!r} of ImageJ's "
            "text it would be none."
        )
    else:
        notes += own
        if by_tag and not is_same_size(by_tag["x"], lengths["x"]):
            notes.append(
                disagreement("x", {f"ImageJ's text ({unit[:40]})": lengths["x"], "the resolution tags": by_tag["x"]})
            )
            return {}
    depth = length_um(entries.get("spacing"), units["z"], axis="z", notes=depth_notes)
    factor = UNIT_UM.get(plain_unit(units["z"]))
    if depth is not None:
        lengths["z"] = depth
    elif "spacing" not in entries and len(lengths) == 2 and factor is not None:
        sizes = f"{shown_um(factor)} {shown_um(lengths['y'])} {shown_um(lengths['x'])}"
        depth_notes.append(
            "W-VOXEL-SIZE: the file gives no distance in z; ImageJ leaves it out when it is 1.0, whether anybody set "
            f"it or not. If it is 1 {units['z'][:40]}, give --voxel-size-um {sizes}."
        )
    return lengths


def declared_by_json(text: str, path: Path) -> Declared:
    """What the JSON description of a file written by tifffile says: shape, and perhaps axes.

    Raises
    ------
    InputError
        ``E-TIFF-META``.
    """
    with parsing(path, "E-TIFF-META", what="its JSON description"):
        entries = json.loads(text)
    shape: Any = entries.get("shape") if isinstance(entries, dict) else None
    is_shape = isinstance(shape, list) and 2 <= len(shape) <= 16
    if not is_shape or not all(type(size) is int and 1 <= size < 2**31 for size in shape):
        raise damaged(path, f"its JSON description gives the shape {str(shape)[:80]}.")
    axes = entries.get("axes", "?" * len(shape))
    if not isinstance(axes, str) or len(axes) != len(shape):
        raise damaged(path, f"its JSON description gives the axes {str(axes)[:40]!r} for the shape {tuple(shape)}.")
    return Declared(
        kind="shaped",
        axes=axes.upper(),
        sizes=tuple(shape),
        metadata={key: str(value)[:200] for key, value in entries.items() if key not in ("shape", "axes")},
    )
