"""NIfTI written plane by plane: voxel size, one time step, the intent of labels, and where the voxels lie (sform)."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

import nibabel as nib
import numpy as np

from tomocyte.errors import InputError
from tomocyte.formats._placement import placed
from tomocyte.volume import Volume

LARGEST_NIFTI1_AXIS: Final = 32767
WRITTEN_AS: Final = {"b1": "u1", "f2": "f4"}
STORED_KINDS: Final = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write a NIfTI file, plane by plane, packed when the name ends in ``.gz``.

    Parameters
    ----------
    path : Path
        Where to write; replaced. An axis above 32,767 gives NIfTI-2.
    volume : Volume
        Irregular times are not kept (NIfTI has one step); bool is stored as uint8, float16 as float32.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-NIFTI-WRITE`` for a type that NIfTI does not have.
    """
    name = f"{volume.dtype.kind}{volume.dtype.itemsize}"
    stored = np.dtype(WRITTEN_AS.get(name, name)).newbyteorder("<")
    if f"{stored.kind}{stored.itemsize}" not in STORED_KINDS:
        raise InputError(
            "E-NIFTI-WRITE",
            f"NIfTI cannot store {volume.dtype}.",
            path=path,
            cure="Convert to float32, or use .ome.zarr.",
        )
    with path.open("wb") as plain:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=4, mtime=0) as packed:
                _stream(packed, volume, stored, on_planes)
        else:
            _stream(plain, volume, stored, on_planes)


def _stream(
    target: IO[bytes] | gzip.GzipFile, volume: Volume, stored: np.dtype[Any], on_planes: Callable[[int], None]
) -> None:
    target.write(_new_header(volume, stored))
    n_written = 0
    for channel in range(volume.n_channels):  # the fifth axis is the slowest
        for frame in range(volume.n_frames):
            for plane in range(volume.shape[2]):
                target.write(volume.planes(frame, channel, plane, plane + 1).astype(stored).tobytes())
                n_written += 1
                on_planes(n_written)


def _new_header(volume: Volume, stored: np.dtype[Any]) -> bytes:
    n_frames, n_channels, depth, height, width = volume.shape
    sizes = [width, height, depth, n_frames, n_channels]
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    is_large = max(sizes) > LARGEST_NIFTI1_AXIS
    header = (nib.Nifti2Header if is_large else nib.Nifti1Header)(endianness="<")
    header.set_data_dtype(stored)
    header.set_data_shape(tuple(sizes))
    step = volume.time_step_s
    size = volume.voxel_size_um or (1.0, 1.0, 1.0)
    depth_um = 0.0 if math.isnan(size[0]) else size[0]  # not positive: not known
    rows = placed(volume)
    spacing = [size[2], size[1], depth_um, step or 1.0, 1.0]
    header["pixdim"][1 : 1 + len(sizes)] = spacing[: len(sizes)]
    header.set_xyzt_units("micron" if volume.voxel_size_um else "unknown", "sec" if step else "unknown")
    if rows is not None:
        header.set_sform(np.vstack([rows[[2, 1, 0, 3]].T, [0, 0, 0, 1]]), code="scanner")
    if volume.quantity == "labels":
        header.set_intent("label")
    offset = header.template_dtype.itemsize + 4
    header["vox_offset"], header["magic"] = offset, header.single_magic
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    buffer = io.BytesIO()
    buffer.write(header.binaryblock)
    buffer.write(bytes(4))  # no extension
    return buffer.getvalue()
