"""Amira files written: labels as a run-length coded label field with materials, other voxels plain, plane by plane."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from tomocyte.errors import InputError
from tomocyte.formats._amira_data import encode_runs
from tomocyte.formats._placement import placed
from tomocyte.volume import LabelName, Volume

WRITTEN_AS: Final = {
    "b1": ("byte", "u1"), "u1": ("byte", "u1"), "u2": ("ushort", "u2"), "i2": ("short", "i2"), "i4": ("int", "i4"),
    "f2": ("float", "f4"), "f4": ("float", "f4"), "f8": ("double", "f8"),
}  # fmt: skip
LABELS_AS: Final = ((2**8, "byte", "u1"), (2**16, "ushort", "u2"), (2**31, "int", "i4"))
"""Labels below a number, and the smallest type that holds them."""
MOST_NAMES: Final = 2**16
BACKGROUND: Final = "Exterior"


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write an AmiraMesh file, little-endian.

    Parameters
    ----------
    path : Path
        Where to write; replaced.
    volume : Volume
        One channel of one frame. Labels up to 255 are run-length coded, larger ones plain; their names and colours
        become materials, and values below the largest named one that have no name are called ``Material`` and their
        number, because a material's place is its value.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-AMIRA-WRITE``: several frames or channels, or numbers that the format has no type for.
    """
    kind, stored = _types(path, volume)
    if volume.quantity == "labels" and stored == "u1":
        coded, buffer = list[bytes](), np.empty(0, np.uint8)
        for plane in range(volume.shape[2]):
            flat = volume.planes(0, 0, plane, plane + 1).astype(np.uint8).ravel()
            buffer = np.empty(flat.size + flat.size // 127 + 1, np.uint8)
            coded.append(buffer[: encode_runs(flat, buffer)].tobytes())
            on_planes(plane + 1)
        with path.open("wb") as stream:
            declaration = f"Lattice {{ byte Labels }} @1(HxByteRLE,{sum(map(len, coded))})"
            stream.write(_header(volume, kind, declaration))
            stream.writelines(coded)
            stream.write(b"\n")
        return
    name = "Labels" if volume.quantity == "labels" else "Data"
    with path.open("wb") as stream:
        stream.write(_header(volume, kind, f"Lattice {{ {kind} {name} }} @1"))
        _stream_plain(stream, volume, np.dtype(stored).newbyteorder("<"), on_planes)
        stream.write(b"\n")


def _types(path: Path, volume: Volume) -> tuple[str, str]:
    """Amira's word for the type and NumPy's code; of labels the smallest that holds all, for which they are read."""
    found = WRITTEN_AS.get(f"{volume.dtype.kind}{volume.dtype.itemsize}")
    if volume.quantity == "labels" and volume.dtype.kind in "ui":
        low, high = 0, 0
        for plane in range(volume.shape[2] if volume.n_frames == volume.n_channels == 1 else 0):
            voxels = volume.planes(0, 0, plane, plane + 1)
            low, high = min(low, int(voxels.min())), max(high, int(voxels.max()))
        found = next(((kind, code) for limit, kind, code in LABELS_AS if low >= 0 and high < limit), found)
        if found is not None and high >= LABELS_AS[-1][0]:
            found = None
    if volume.n_frames > 1 or volume.n_channels > 1 or found is None:
        raise InputError(
            "E-AMIRA-WRITE",
            f"Amira cannot store {volume.n_frames} frames and {volume.n_channels} channels of {volume.dtype}.",
            path=path,
            cure="Write one channel of one frame as uint8, uint16, int32 or float32, or use .ome.zarr.",
        )
    return found


def _stream_plain(stream: IO[bytes], volume: Volume, stored: np.dtype[Any], on_planes: Callable[[int], None]) -> None:
    for plane in range(volume.shape[2]):
        stream.write(volume.planes(0, 0, plane, plane + 1).astype(stored).tobytes())
        on_planes(plane + 1)


def _header(volume: Volume, kind: str, declaration: str) -> bytes:
    depth, height, width = volume.spatial_shape
    lines = ["# AmiraMesh BINARY-LITTLE-ENDIAN 2.1", "", "", f"define Lattice {width} {height} {depth}", ""]
    lines += ["Parameters {"]
    if volume.quantity == "labels":
        lines += _materials(volume.label_names)
    if volume.voxel_size_um is not None:
        lines += ["    Units {", '        Coordinates "um"', "    }"]
    lines += [f'    Content "{width}x{height}x{depth} {kind}, uniform coordinates",']
    if volume.voxel_size_um is not None:
        lines += [f"    BoundingBox {' '.join(repr(float(end)) for end in _box(volume))},"]
    lines += ['    CoordType "uniform"', "}", "", declaration, "", "# Data section follows", "@1", ""]
    return "\n".join(lines).encode("utf-8")


def _box(volume: Volume) -> list[float]:
    """x, y, z from the centre of the first voxel to that of the last; of a single plane its thickness, 0 if unknown."""
    size = volume.require_voxel_size()
    rows = placed(volume)
    is_straight = rows is not None and bool(np.allclose(rows[:3], np.diag(np.diag(rows[:3, ::-1]))[:, ::-1]))
    first = rows[3] if rows is not None and is_straight else np.zeros(3)
    ends: list[float] = []
    for axis, (step, count) in enumerate(zip(reversed(size), reversed(volume.spatial_shape), strict=True)):
        length = 0.0 if math.isnan(step) else step * max(count - 1, 1)
        ends += [float(first[axis]), float(first[axis]) + length]
    return ends


def _materials(names: tuple[LabelName, ...]) -> list[str]:
    """The list of materials, from the background on to the largest value that has a name."""
    by_value = {one.value: one for one in names if one.channel == 0 and 0 < one.value <= MOST_NAMES}
    if not by_value:
        return []
    lines, taken = (
        ["    Materials {", f"        {BACKGROUND} {{", "            Color 0 0 0,", "            Id 1"],
        set(),
    )
    lines += ["        }"]
    for value in range(1, max(by_value) + 1):
        one = by_value.get(value, LabelName(value, f"Material{value}"))
        key = re.sub(r"[^A-Za-z0-9_-]", "_", one.name) or "Material"
        key = key if key[0].isalpha() else f"m_{key}"
        key = f"{key}_{value}" if key in taken or key == BACKGROUND else key
        taken.add(key)
        entries = [f"Id {value + 1}"]
        if one.colour:
            parts = (int(one.colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
            entries.insert(0, "Color " + " ".join(f"{part:.6g}" for part in parts))
        if key != one.name:
            entries.append('Name "' + re.sub(r'["\\\n]', " ", one.name) + '"')
        lines += [f"        {key} {{", ",\n".join(f"            {entry}" for entry in entries), "        }"]
    return [*lines, "    }"]
