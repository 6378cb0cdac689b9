"""Writing OME-TIFF, plane by plane.

The whole volume is never held: one plane is read, compressed, written. To support another voxel type, add it to
``OME_DTYPES`` in ``ome``; OME has no 64-bit integers and no half floats, so those are refused, not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats.tiff.ome import OME_DTYPES
from tomocyte.formats.tiff.ome_xml import ome_xml
from tomocyte.progress import silent
from tomocyte.volume import Volume

BIGTIFF_ABOVE = 2**32 - 2**25
DIRECTORY_NBYTES = 512


def write_ome_tiff(
    path: Path,
    volume: Volume,
    on_planes: Callable[[int], None] = silent,
    *,
    compression: Literal["zlib", "none"] = "zlib",
) -> None:
    """Write a volume as OME-TIFF: one page per plane, axes T, C, Z, Y, X, sizes in µm, never RGB.

    Parameters
    ----------
    path : Path
        File to create; the caller stages and renames.
    volume : Volume
        bool, int8 to int32, uint8 to uint32 (labels), float32 or float64. A voxel size of ``None`` and a z of NaN are
        left out.
    on_planes : callable
        Called with the number of planes written so far.
    compression : {"zlib", "none"}
        Lossless; ``none`` for the fastest access.

    Raises
    ------
    InputError
        ``E-DTYPE`` for a voxel type that OME-TIFF does not have.
    OSError
        The disk is full or the folder is not writable.

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> volume = Volume.from_array(np.zeros((4, 5, 6), np.float32), voxel_size_um=(0.3, 0.2, 0.1))
    >>> write_ome_tiff(pathlib.Path(tempfile.mkdtemp()) / "cell.ome.tif", volume)
    """
    if volume.dtype.newbyteorder("=") not in [np.dtype(code) for code in OME_DTYPES.values()]:
        raise InputError(
            "E-DTYPE",
            f"OME-TIFF cannot store voxels of type {volume.dtype}.",
            path=path,
            cure="OME-Zarr can: give the file to write the ending .ome.zarr.",
        )
    n_planes = volume.shape[0] * volume.shape[1] * volume.shape[2]
    nbytes = volume.shape[0] * volume.frame_nbytes + n_planes * DIRECTORY_NBYTES
    with tifffile.TiffWriter(path, bigtiff=nbytes > BIGTIFF_ABOVE, ome=False) as writer:
        writer.write(
            _planes(volume, on_planes),
            shape=(n_planes, *volume.shape[3:]),
            dtype=volume.dtype,
            photometric="minisblack",
            planarconfig=None,
            compression=None if compression == "none" else compression,
            description=ome_xml(volume),
            metadata=None,
            software="tomocyte",
            maxworkers=1,
        )
    on_planes(n_planes)


def _planes(volume: Volume, on_planes: Callable[[int], None]) -> Iterator[NDArray[Any]]:
    """Planes in the order written, one at a time; when one is asked for, those before it are written."""
    n_written = 0
    for frame in range(volume.n_frames):
        for channel in range(volume.n_channels):
            for plane in range(volume.shape[2]):
                if n_written:
                    on_planes(n_written)
                yield np.ascontiguousarray(volume.planes(frame, channel, plane, plane + 1)[0], dtype=volume.dtype)
                n_written += 1
