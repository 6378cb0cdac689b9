"""Channels that lie in several files as one volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError
from tomocyte.volume import Volume

SAME_SHARE = 0.01
"""Voxel sizes that differ by less are the same."""


def join_channels(volumes: Mapping[str, Volume], path: Path | None = None) -> Volume:
    """One volume of several of one channel each, by the names of the channels.

    Parameters
    ----------
    volumes : mapping of str to Volume
        At least one, all of the same frames, size and voxel size (which need not be known of all).
    path : Path, optional
        What the volume is called after; default: the path of the first.

    Raises
    ------
    MetadataError
        ``E-CHANNEL-SHAPE``: they differ in size; ``E-CHANNEL-FILE``: one has several channels, or other voxels.

    Examples
    --------
    >>> parts = {name: Volume.from_array(np.zeros((3, 4, 5), np.uint8)) for name in ("yellow", "red")}
    >>> joined = join_channels(parts)
    >>> joined.shape, joined.channels
    ((1, 2, 3, 4, 5), ('yellow', 'red'))
    """
    (first_name, first), *_ = volumes.items()
    for name, volume in volumes.items():
        _check(name, volume, first_name, first)
    sizes = [volume for volume in volumes.values() if volume.voxel_size_um is not None]
    known = sizes[0] if sizes else first
    parts = list(volumes.values())
    dtype = np.result_type(*(volume.dtype for volume in parts))

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        return parts[channel].planes(frame, 0, z_start, z_stop).astype(dtype, copy=False)

    notes = dict.fromkeys(note for volume in parts for note in volume.notes if sizes == [] or "VOXEL-SIZE" not in note)
    return known.with_properties(
        shape=(first.n_frames, len(parts), *first.spatial_shape),
        dtype=dtype,
        read_planes=read_planes,
        channel_names=tuple(volumes),
        path=path or first.path,
        notes=tuple(notes),
    )


def _check(name: str, volume: Volume, first_name: str, first: Volume) -> None:
    if volume.n_channels != 1:
        raise MetadataError(
            "E-CHANNEL-FILE",
            f"has {volume.n_channels} channels and cannot be the channel {name} alone.",
            path=volume.path,
            cure="Give the file as it is, without the others, or one of a single channel.",
        )
    own, other = (volume.n_frames, *volume.spatial_shape), (first.n_frames, *first.spatial_shape)
    if own != other:
        raise MetadataError(
            "E-CHANNEL-SHAPE",
            f"{name} has {' x '.join(map(str, own))} (T, Z, Y, X) voxels, {first_name} {' x '.join(map(str, other))}.",
            path=volume.path,
            cure="Give channels of the same size, as one camera or two equal ones record them.",
        )
    if volume.voxel_size_um is None or first.voxel_size_um is None:
        return
    if not np.allclose(volume.voxel_size_um, first.voxel_size_um, rtol=SAME_SHARE, equal_nan=True):
        sizes = [" x ".join(f"{part:g}" for part in size) for size in (volume.voxel_size_um, first.voxel_size_um)]
        raise MetadataError(
            "E-CHANNEL-FILE",
            f"{name} has voxels of {sizes[0]} um, {first_name} of {sizes[1]} um.",
            path=volume.path,
            cure="Correct the file that is wrong, or give --voxel-size-um for all.",
        )
