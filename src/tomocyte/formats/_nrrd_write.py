"""NRRD written plane by plane, raw, in one file; what the format has no field for goes into key/value pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._nrrd_data import TYPES
from tomocyte.formats._nrrd_segments import segment_lines
from tomocyte.formats._placement import placed
from tomocyte.volume import Volume


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write one NRRD file with raw voxels, plane by plane.

    Parameters
    ----------
    path : Path
        Where to write, ``.nrrd``; replaced.
    volume : Volume
        bool is stored as uint8, float16 as float32. Quantity, unit and the time of each frame go into key/value pairs.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-NRRD-WRITE`` for a type that NRRD does not have or a name that ends in ``.nhdr``.
    """
    name = f"{volume.dtype.kind}{volume.dtype.itemsize}"
    stored = np.dtype({"b1": "u1", "f2": "f4"}.get(name, name)).newbyteorder("<")
    kind = next((text for text, code in TYPES.items() if code == stored.str[1:]), None)
    if kind is None or path.name.lower().endswith(".nhdr"):
        raise InputError(
            "E-NRRD-WRITE",
            f"cannot write {volume.dtype} as {path.suffix}.",
            path=path,
            cure="Use the ending .nrrd and an integer type, float32 or float64.",
        )
    n_written = 0
    with path.open("wb") as stream:
        stream.write(_new_header(volume, kind).encode("utf-8"))
        if _has_layers(volume):
            for plane in range(volume.shape[2]):
                layers = [volume.planes(0, layer, plane, plane + 1) for layer in range(volume.n_channels)]
                stream.write(np.stack(layers, axis=-1).astype(stored).tobytes())
                n_written += volume.n_channels
                on_planes(n_written)
            return
        for frame in range(volume.n_frames):
            for channel in range(volume.n_channels):
                for plane in range(volume.shape[2]):
                    stream.write(volume.planes(frame, channel, plane, plane + 1).astype(stored).tobytes())
                    n_written += 1
                    on_planes(n_written)


def _has_layers(volume: Volume) -> bool:
    """Whether channels are layers of segments, which 3D Slicer has as the fastest axis."""
    return volume.quantity == "labels" and volume.n_channels > 1 and volume.n_frames == 1


def _new_header(volume: Volume, kind: str) -> str:
    n_frames, n_channels, depth, height, width = volume.shape
    axes = [("x", width, "domain"), ("y", height, "domain"), ("z", depth, "domain")]
    if n_channels > 1:
        axes.insert(0 if _has_layers(volume) else 3, ("c", n_channels, "list"))
    axes += [("t", n_frames, "time")] if n_frames > 1 else []
    if depth == 1 and len(axes) == 3 and n_channels == 1:
        axes.pop()
    lines = ["NRRD0005", f"type: {kind}", f"dimension: {len(axes)}"]
    lines += ["sizes: " + " ".join(str(size) for _, size, _ in axes)]
    lines += ["endian: little", "encoding: raw", "kinds: " + " ".join(word for *_, word in axes)]
    lines += ["labels: " + " ".join(f'"{label}"' for label, *_ in axes)]
    rows = placed(volume)
    if rows is not None and len(axes) > 2 and not math.isnan(volume.require_voxel_size()[0]):
        lines += _placement(rows, [label for label, *_ in axes])
    elif volume.voxel_size_um is not None:
        steps = dict(zip("zyx", volume.voxel_size_um, strict=True))
        lines += ["spacings: " + " ".join(repr(float(steps.get(label, math.nan))) for label, *_ in axes)]
        lines += ["units: " + " ".join('"um"' if label in steps else '""' for label, *_ in axes)]
    pairs = {"quantity": volume.quantity or "", "unit": volume.unit.replace("\n", " ")}
    if volume.time_s is not None:
        pairs["time_s"] = " ".join(repr(float(time)) for time in volume.time_s)
    if volume.channel_names:
        pairs["channel_names"] = json.dumps(volume.channel_names)
    if volume.medium_ri is not None:
        pairs["medium_ri"] = repr(float(volume.medium_ri))
    if volume.is_simulated:
        pairs["is_simulated"] = "true"
    lines += [f"{key}:={value}" for key, value in pairs.items() if value]
    lines += segment_lines(volume)
    return "\n".join(lines) + "\n\n"


def _placement(rows: NDArray[np.float64], axes: list[str]) -> list[str]:
    """Lines for steps along z, y, x and the first voxel (4, 3) in µm; they say the voxel size, too."""
    z, y, x, first = ("(" + ",".join(repr(float(part)) for part in row) + ")" for row in rows)
    directions = [{"x": x, "y": y, "z": z}.get(label, "none") for label in axes]
    return [
        "space: right-anterior-superior",
        f"space directions: {' '.join(directions)}",
        'space units: "um" "um" "um"',
        f"space origin: {first}",
    ]
