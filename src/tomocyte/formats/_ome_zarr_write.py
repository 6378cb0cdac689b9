"""Write OME-Zarr 0.5: every chunk stored and checksummed, a pyramid by local mean (images) or by sampling (labels).

Plane by plane and level by level, so that one slab of chunks is all that is in memory. To record another property of a
volume, add it to :func:`_own_attributes` and read it in ``ome_zarr._own_properties``.

References
----------
https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._placement import placed
from tomocyte.volume import LabelName, Volume

OWN_KEY: Final = "tomocyte"
CHUNK: Final = (1, 1, 32, 256, 256)
SMALLEST_PLANE: Final = 256
LARGEST_ANISOTROPY: Final = 1.5
AXIS_NAMES: Final = "tczyx"


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write an OME-Zarr 0.5 image (Zarr 3, zstd with checksum) with its pyramid.

    Parameters
    ----------
    path : Path
        Folder to make; must not exist, or be empty.
    volume : Volume
        Any number of frames and channels; ``quantity="labels"`` makes a label image.
    on_planes : callable
        Called with the number of planes of the finest level written so far.

    Raises
    ------
    InputError
        ``E-ZARR-WRITE``: the folder is not empty, or the type is not a number.
    """
    if (
        volume.dtype.kind not in "biuf"
        or volume.dtype.itemsize > 8
        or (path.exists() and (not path.is_dir() or any(path.iterdir())))
    ):
        raise InputError(
            "E-ZARR-WRITE",
            f"cannot write {volume.dtype} there.",
            path=path,
            cure="Choose a new folder, and integers or floats of at most 64 bits.",
        )
    factors = pyramid_factors(volume)
    attributes = _attributes(volume, factors)
    group = zarr.create_group(zarr.storage.LocalStore(path), zarr_format=3, attributes=attributes)
    finest = _new_level(group, "0", volume.shape, volume.dtype)
    ranges = _write_finest(finest, volume, on_planes)
    if volume.channel_names:
        attributes["ome"]["omero"] = _display(volume.channel_names, ranges)
        group.attrs.update(attributes)
    is_labels = volume.quantity == "labels"
    before = finest
    for number, (finer, coarser) in enumerate(itertools.pairwise(factors), 1):
        step = tuple(int(after // first) for first, after in zip(finer, coarser, strict=True))
        shape = tuple(-(-size // factor) for size, factor in zip(before.shape[2:], step, strict=True))
        level = _new_level(group, str(number), (*before.shape[:2], *shape), volume.dtype)
        _write_coarser(before, level, step, is_labels=is_labels)
        before = level


def pyramid_factors(volume: Volume) -> list[tuple[int, int, int]]:
    """How much coarser than the finest each level is, along z, y, x.

    Each level halves the axes whose voxels are not yet 1.5 times larger than the smallest, until a plane fits into one
    chunk, so that voxels become more nearly cubic.

    Parameters
    ----------
    volume : Volume
        Without a voxel size, y and x are halved and z is kept.

    Returns
    -------
    list of tuple of 3 int
        Starts with (1, 1, 1).

    Examples
    --------
    >>> volume = Volume.from_array(np.zeros((8, 600, 500), np.uint8), voxel_size_um=(0.4, 0.1, 0.1))
    >>> pyramid_factors(volume)
    [(1, 1, 1), (1, 2, 2), (1, 4, 4)]
    """
    voxel_size_um = volume.voxel_size_um
    size = np.array(
        [np.inf, 1.0, 1.0]
        if voxel_size_um is None
        else [np.inf if math.isnan(step) else step for step in voxel_size_um]
    )
    shape, factor = np.array(volume.spatial_shape), np.ones(3, dtype=int)
    levels = [(1, 1, 1)]
    while max(shape[1:]) > SMALLEST_PLANE:
        is_halved = (size < LARGEST_ANISOTROPY * size[shape > 1].min()) & (shape > 1)
        factor = np.where(is_halved, factor * 2, factor)
        size = np.where(is_halved, size * 2, size)
        shape = np.where(is_halved, -(-shape // 2), shape)
        levels.append((int(factor[0]), int(factor[1]), int(factor[2])))
    return levels


def _new_level(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    return group.create_array(
        name,
        shape=shape,
        chunks=tuple(min(size, step) for size, step in zip(shape, CHUNK, strict=True)),
        dtype=dtype.newbyteorder("="),
        compressors=zarr.codecs.ZstdCodec(level=3, checksum=True),
        fill_value=0,
        dimension_names=tuple(AXIS_NAMES),
        config={"write_empty_chunks": True},
    )


def _write_finest(level: Any, volume: Volume, on_planes: Callable[[int], None]) -> NDArray[np.float64]:
    """Store every voxel; returns the smallest and largest value of each channel, (C, 2)."""
    n_frames, n_channels, depth = volume.shape[:3]
    slab, n_written = int(level.chunks[2]), 0
    ranges = np.tile([np.inf, -np.inf], (n_channels, 1))
    for frame, channel in itertools.product(range(n_frames), range(n_channels)):
        for start in range(0, depth, slab):
            stop = min(start + slab, depth)
            voxels = volume.planes(frame, channel, start, stop)
            level[frame, channel, start:stop] = voxels
            ranges[channel, 0] = np.minimum(ranges[channel, 0], np.fmin.reduce(voxels, axis=None))
            ranges[channel, 1] = np.maximum(ranges[channel, 1], np.fmax.reduce(voxels, axis=None))
            n_written += stop - start
            on_planes(n_written)
    return np.where(np.isfinite(ranges), ranges, 0.0)


def _write_coarser(finer: Any, level: Any, step: tuple[int, ...], *, is_labels: bool) -> None:
    slab = int(level.chunks[2])
    n_frames, n_channels, depth = level.shape[:3]
    for frame, channel in itertools.product(range(n_frames), range(n_channels)):
        for start in range(0, depth, slab):
            stop = min(start + slab, depth)
            voxels = finer[frame, channel, start * step[0] : stop * step[0]]
            level[frame, channel, start:stop] = _coarse(np.asarray(voxels), step, is_labels=is_labels)


def _coarse(voxels: NDArray[Any], step: tuple[int, ...], *, is_labels: bool) -> NDArray[Any]:
    """Mean of each box of ``step`` voxels (of those that exist at the far border), or its first voxel for labels."""
    if is_labels or voxels.dtype.kind == "b":
        return voxels[tuple(slice(None, None, factor) for factor in step)]
    total = voxels
    for axis, factor in enumerate(step):
        if factor > 1:
            starts = np.arange(0, voxels.shape[axis], factor)
            counts = np.minimum(starts + factor, voxels.shape[axis]) - starts
            shape = [-1 if each == axis else 1 for each in range(3)]
            wide = np.float64 if voxels.dtype.itemsize > 4 else np.float32
            total = np.add.reduceat(total, starts, axis=axis, dtype=wide) / counts.reshape(shape).astype(wide)
    mean = total if voxels.dtype.kind == "f" else np.rint(total)
    return mean.astype(voxels.dtype, copy=False)


def _attributes(volume: Volume, factors: list[tuple[int, int, int]]) -> dict[str, Any]:
    """OME metadata and, under ``tomocyte``, what OME has no place for."""
    size, step = volume.voxel_size_um, volume.time_step_s
    units = ["" if size is None or math.isnan(each) else "micrometer" for each in size or (math.nan,) * 3]
    kinds = [("time", "second" if step else ""), ("channel", ""), *(("space", unit) for unit in units)]
    axes = [
        {"name": name, "type": kind} | ({"unit": unit} if unit else {})
        for name, (kind, unit) in zip(AXIS_NAMES, kinds, strict=True)
    ]
    spacing = [1.0 if size is None or math.isnan(each) else each for each in size or (1.0,) * 3]
    first = _first_voxel_um(volume)
    is_mean = volume.quantity != "labels" and volume.dtype.kind != "b"
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": _transformations(spacing, factor, step, first, is_mean=is_mean),
        }
        for number, factor in enumerate(factors)
    ]
    downsampling = {"type": "mean" if is_mean else "nearest"} if len(factors) > 1 else {}
    image = {"name": "image", "axes": axes, "datasets": datasets} | downsampling
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [image]}
    if volume.quantity == "labels":
        ome["image-label"] = {"version": "0.5"} | _named(volume.label_names)
    return {"ome": ome, OWN_KEY: _own_attributes(volume)}


def _named(names: tuple[LabelName, ...]) -> dict[str, Any]:
    """Names and colours of labels as OME-Zarr has them; a value of a second layer cannot have a colour of its own."""
    if not names:
        return {}
    entries = [
        {"label-value": one.value, "name": one.name} | ({"channel": one.channel} if one.channel else {})
        for one in names
    ]
    colours = {
        one.value: [int(one.colour[place : place + 2], 16) for place in (1, 3, 5)] + [255]
        for one in reversed(names)
        if one.colour
    }
    return {
        "colors": [{"label-value": value, "rgba": colours[value]} for value in sorted(colours)],
        "properties": entries,
    }


def _display(names: tuple[str, ...], ranges: NDArray[np.float64]) -> dict[str, Any]:
    """Channel names; OMERO wants a colour and a window with each."""
    colours = ("FFFFFF",) if len(names) == 1 else ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")
    windows = [dict(zip(("min", "max", "start", "end"), map(float, (*pair, *pair)), strict=True)) for pair in ranges]
    return {
        "channels": [
            {"label": name, "color": colour, "active": True, "window": window}
            for name, colour, window in zip(names, itertools.cycle(colours), windows, strict=False)
        ]
    }


def _transformations(
    spacing: list[float], factor: tuple[int, int, int], step: float | None, first: list[float], *, is_mean: bool
) -> list[dict[str, Any]]:
    """Scale of a level and where it begins; a mean of n voxels lies (n - 1) / 2 voxels from the first one."""
    scale = [step or 1.0, 1.0, *(size * times for size, times in zip(spacing, factor, strict=True))]
    halves = [size * (times - 1) / 2 if is_mean else 0.0 for size, times in zip(spacing, factor, strict=True)]
    shift = [0.0, 0.0, *(start + half for start, half in zip(first, halves, strict=True))]
    found: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    return [*found, {"type": "translation", "translation": shift}] if any(shift) else found


def _first_voxel_um(volume: Volume) -> list[float]:
    """Where the first voxel lies, z, y, x in µm; at the beginning where the axes point elsewhere."""
    rows = placed(volume)
    if rows is None:
        return [0.0, 0.0, 0.0]
    straight = np.diag(np.linalg.norm(rows[:3], axis=1))[:, ::-1]  # z, y, x along the file's z, y, x
    if not np.allclose(rows[:3], straight, rtol=0, atol=1e-4 * straight.max()):
        return [0.0, 0.0, 0.0]
    return [float(part) for part in rows[3, ::-1]]


def _own_attributes(volume: Volume) -> dict[str, Any]:
    found = {
        "quantity": volume.quantity,
        "unit": volume.unit,
        "medium_ri": volume.medium_ri,
        "time_s": None if volume.time_s is None else list(volume.time_s),
        "origin": dict(volume.origin),
    }
    return {key: value for key, value in found.items() if value is not None}
