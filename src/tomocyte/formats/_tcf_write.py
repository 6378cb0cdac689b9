"""Write TCF files: simulated data and export only, never results, because a full disk ends a process that writes HDF5.

Both storage forms and fluorescence channels, so that readers can be tried on each. To write another attribute, add it
to :func:`_describe`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._hdf5_safety import release
from tomocyte.progress import silent
from tomocyte.volume import Volume

RI_STEP: Final = 1e-4
RI_STEP_UINT8: Final = 1e-3
VERSION: Final = b"1.3"
CHUNK: Final = (16, 256, 256)


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write refractive index as TCF 1.3, one uint16 dataset per frame (steps of 10⁻⁴).

    For simulated data and export only: a full disk ends the whole process while HDF5 is being written.

    Parameters
    ----------
    path : Path
        Where to write; replaced.
    volume : Volume
        One channel of ``refractive_index`` between 0 and 6.5535, with a voxel size.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-TCF-WRITE`` for another quantity, several channels, or values outside the range.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    _check(path, volume)
    release(path)
    with h5py.File(path, "w") as file:
        group = _describe(file, volume)
        for frame in range(volume.n_frames):
            chunks = tuple(min(size, step) for size, step in zip(volume.spatial_shape, CHUNK, strict=True))
            stored = group.create_dataset(
                f"{frame:06d}", volume.spatial_shape, np.uint16, chunks=chunks, compression="gzip", compression_opts=1
            )
            depth = volume.shape[2]
            low, high = math.inf, -math.inf
            for start in range(0, depth, chunks[0]):
                stop = min(start + chunks[0], depth)
                values = _integers(volume.planes(frame, 0, start, stop), 0.0, RI_STEP, np.dtype(np.uint16), path)
                stored[start:stop] = values
                low, high = min(low, float(values.min())), max(high, float(values.max()))
                on_planes(frame * depth + stop)
            _describe_frame(stored, volume, frame, (low * RI_STEP, high * RI_STEP))


def write_tiled(
    path: Path,
    volume: Volume,
    *,
    tile_shape: tuple[int, int, int] = (64, 256, 256),
    scalar_type: Literal[0, 1] = 0,
    on_planes: Callable[[int], None] = silent,
) -> None:
    """Write refractive index in the tiled form of TCF; for simulated data and tests only.

    Parameters
    ----------
    path : Path
        Where to write; replaced.
    volume : Volume
        One channel of ``refractive_index``, with a voxel size; for ``scalar_type`` 1 a frame may span 0.255.
    tile_shape : tuple of 3 int
        z, y, x; tiles at the far borders are smaller.
    scalar_type : 0 or 1
        0: uint16 in steps of 10⁻⁴; 1: uint8 in steps of 10⁻³ above the frame's minimum.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-TCF-WRITE``.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    _check(path, volume)
    dtype, step = (np.dtype(np.uint16), RI_STEP) if scalar_type == 0 else (np.dtype(np.uint8), RI_STEP_UINT8)
    release(path)
    with h5py.File(path, "w") as file:
        group = _describe(file, volume)
        for frame in range(volume.n_frames):
            values = volume.planes(frame, 0)
            # the stored minimum is rounded down to a step, so that the integers start near 0 and none is negative
            minimum = math.floor(float(values.min()) / step) * step if scalar_type == 1 else 0.0
            tiles = group.create_group(f"{frame:06d}")
            _write_tiles(tiles, _integers(values, minimum, step, dtype, path), tile_shape)
            low, high = float(values.min()), float(values.max())
            _describe_frame(tiles, volume, frame, (minimum if scalar_type == 1 else low, high))
            _set(tiles, ScalarType=np.int64(scalar_type), **_named("DataSize", volume.spatial_shape))
            on_planes((frame + 1) * volume.shape[2])


def write_fluorescence(path: Path, volume: Volume, *, channel: int = 0, z_offset_um: float = 0.0) -> None:
    """Add a fluorescence channel on its own grid to a TCF file; for simulated data and tests only.

    Parameters
    ----------
    path : Path
        A file that :func:`write` or :func:`write_tiled` made.
    volume : Volume
        One channel, uint8 or uint16, with its own voxel size and times. All channels of a file share one grid.
    channel : int
        Number n of ``CHn``.
    z_offset_um : float
        Stored as ``OffsetZ``.

    Raises
    ------
    InputError
        ``E-TCF-WRITE`` for another type or several channels.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    size = volume.require_voxel_size()
    if volume.dtype not in (np.uint8, np.uint16) or volume.n_channels != 1:
        raise _refused(f"{volume.n_channels} channels of {volume.dtype} as fluorescence", path)
    release(path)
    with h5py.File(path, "r+") as file:
        parent = file.require_group("Data/3DFL")
        group = parent.create_group(f"CH{channel}")
        for owner in (parent, group):
            _set(owner, DataCount=np.int64(volume.n_frames), **_named("Size", volume.spatial_shape))
            _set(owner, **_named("Resolution", size))
        n_channels = sum(name.startswith("CH") for name in parent)
        _set(parent, Channels=np.int64(n_channels))
        _set(group, OffsetZ=np.float64(z_offset_um))
        for frame in range(volume.n_frames):
            stored = group.create_dataset(f"{frame:06d}", data=volume.planes(frame, 0))
            if volume.time_s is not None:
                _set(stored, Time=np.float64(volume.time_s[frame]))


def _refused(what: str, path: Path) -> InputError:
    return InputError("E-TCF-WRITE", f"TCF cannot store {what}.", path=path, cure="Use .ome.zarr or .ome.tif.")


def _check(path: Path, volume: Volume) -> None:
    volume.require_voxel_size()
    if volume.quantity != "refractive_index" or volume.n_channels != 1:
        raise _refused(f"{volume.n_channels} channels of {volume.quantity or 'an unknown quantity'}", path)


def _integers(
    values: NDArray[Any], minimum: float, step: float, dtype: np.dtype[Any], path: Path
) -> NDArray[np.unsignedinteger[Any]]:
    """Refractive index as integers of ``step`` above ``minimum``, rounded to the nearest."""
    scaled = np.rint((values.astype(np.float64) - minimum) / step)
    if not (np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= np.iinfo(dtype).max):
        raise _refused(f"values from {values.min()} to {values.max()} as {dtype} in steps of {step}", path)
    return scaled.astype(dtype)


def _set(owner: Any, **attributes: Any) -> None:
    """Each attribute as an array of one element, as TCF has them."""
    for name, value in attributes.items():
        owner.attrs[name] = np.array([value])


def _named(stem: str, values: tuple[float, ...]) -> dict[str, Any]:
    return {f"{stem}{axis}": np.array(value)[()] for axis, value in zip("ZYX", values, strict=True)}


def _describe(file: h5py.File, volume: Volume) -> h5py.Group:
    """Root, device and image attributes; returns the group of the frames."""
    device = b"simulated" if "simulated" in volume.origin.values() else b"unknown"
    _set(file, FormatVersion=VERSION, Title=b"tomocyte", SoftwareVersion=b"tomocyte", DeviceModelType=device)
    info = file.create_group("Info/Device")
    if volume.medium_ri is not None:
        _set(info, RI=np.float64(volume.medium_ri))
    group = file.create_group("Data/3D")
    _set(group, DataCount=np.int64(volume.n_frames), **_named("Size", volume.spatial_shape))
    _set(group, **_named("Resolution", volume.require_voxel_size()))
    if volume.time_step_s is not None:
        _set(group, TimeInterval=np.float64(volume.time_step_s))
    return group


def _describe_frame(owner: Any, volume: Volume, frame: int, ri_range: tuple[float, float]) -> None:
    _set(owner, RIMin=np.float64(ri_range[0]), RIMax=np.float64(ri_range[1]))
    if volume.time_s is not None:
        _set(owner, Time=np.float64(volume.time_s[frame]))


def _write_tiles(group: h5py.Group, values: NDArray[Any], tile_shape: tuple[int, int, int]) -> None:
    starts = itertools.product(*(range(0, size, step) for size, step in zip(values.shape, tile_shape, strict=True)))
    count = 0
    for count, start in enumerate(starts, 1):
        stop = tuple(min(low + step, size) for low, step, size in zip(start, tile_shape, values.shape, strict=True))
        stored = group.create_dataset(f"TILE_{count - 1:02d}", data=values[tuple(map(slice, start, stop))])
        _set(stored, SamplingStep=np.int64(1), **_named("DataIndexOffsetPoint", start))
        _set(stored, **_named("DataIndexLastPoint", tuple(last - 1 for last in stop)))
    _set(group, NumberOfTiles=np.int64(count))
