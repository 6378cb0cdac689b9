"""Masks and label images that the user brings: opened, checked against the image, read frame by frame.

A label image has a number per object. A mask, which has one value only, is taken apart into connected components. To
accept another kind of file, write a reader in :mod:`tomocyte.formats`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.orientation import oriented_like
from tomocyte.datasets.pairs import channel_of
from tomocyte.errors import InputError, MetadataError
from tomocyte.evaluation.kinds import as_labels
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.labels.components import connected_components
from tomocyte.labels.dtypes import refit
from tomocyte.names import shown_name
from tomocyte.provenance import sha256_of_json, sha256_of_path
from tomocyte.volume import Volume

SIZE_TOLERANCE = 0.01
Labels = NDArray[np.unsignedinteger[Any]]


def masks_sha256(masks: Mapping[str, Path]) -> str:
    """Hash of which structures are given and of the content of their files.

    Raises
    ------
    InputError
        ``E-NOT-FOUND``.
    """
    hashes = {}
    for structure, path in sorted(masks.items()):
        if not path.exists():
            raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
        hashes[structure] = sha256_of_path(path)
    return sha256_of_json(hashes)


def open_masks(masks: Mapping[str, Path], volume: Volume) -> dict[str, tuple[Volume, int]]:
    """The files of masks, lazily, each with the channel that holds its structure.

    Parameters
    ----------
    masks : mapping
        Structure -> file.
    volume : Volume
        The image that they belong to, with a voxel size.

    Raises
    ------
    InputError
        ``E-SHAPE``: not the image's frames and voxels. ``E-CHANNEL``: several channels, none named like the structure.
    MetadataError
        ``E-VOXEL-SIZE``: another voxel size than the image's; ``E-ORIENTATION``.
    """
    opened = {}
    for structure, path in masks.items():
        labels = oriented_like(_read(path, volume), volume)
        ours, theirs = (labels.n_frames, *labels.spatial_shape), (volume.n_frames, *volume.spatial_shape)
        if ours != theirs:
            raise InputError(
                "E-SHAPE",
                f"the mask of {structure} has the shape (T, Z, Y, X) = {ours}, the image "
                f"{shown_name(volume.path.name) if volume.path else ''} has {theirs}.",
                path=path,
                cure="Give masks on the voxels of the image; resample with nearest neighbour where they differ.",
            )
        _check_voxel_size(labels, volume, structure)
        opened[structure] = (labels, channel_of(labels, None, structure))
    return opened


def _read(path: Path, volume: Volume) -> Volume:
    """The file; where it does not say what its axes are, they are those of the image."""
    try:
        return read_volume(path, ReadOptions(), is_size_required=False)
    except MetadataError as problem:
        if not problem.code.endswith("E-AXES"):
            raise
    axes = "".join(("T" * (volume.n_frames > 1), "Z" * (not volume.is_2d), "YX"))
    return read_volume(path, ReadOptions(axes=axes), is_size_required=False)


def _check_voxel_size(labels: Volume, volume: Volume, structure: str) -> None:
    """Refuse a mask that states another voxel size than the image, unless the user has given one."""
    if labels.voxel_size_um is None or volume.origin.get("voxel_size_um") == "user":
        return
    size = volume.require_voxel_size()
    for own, given in zip(labels.voxel_size_um, size, strict=True):
        if math.isnan(own) or math.isnan(given):
            continue
        if abs(own - given) > SIZE_TOLERANCE * given:
            raise MetadataError(
                "E-VOXEL-SIZE",
                f"the mask of {structure} states voxels of {labels.voxel_size_um} um, the image {size} um (z, y, x).",
                path=labels.path,
                cure="Give the right one with --voxel-size-um Z Y X.",
            )


def read_mask(labels: Volume, channel: int, frame: int) -> tuple[Labels, bool]:
    """One frame of a mask file as labels, and whether a mask of one value was taken apart into its components.

    Parameters
    ----------
    labels : Volume
        From :func:`open_masks`.
    channel, frame : int

    Returns
    -------
    labels : unsigned ndarray (Z, Y, X)
        The numbers of the file, or 1, 2, … of the components of a mask.
    is_split : bool
        False also for a mask in one piece, which keeps its number.

    Raises
    ------
    InputError
        ``E-LABELS-TYPE``, ``E-NAN``: not labels.
    ResourceError
        ``E-LABELS``: numbers that do not fit into 32 bits.
    """
    values = as_labels(labels.planes(frame, channel), name=shown_name(labels.path or "the mask"))
    whole = refit(values)
    highest = int(whole.max(initial=0))
    if highest == 0 or np.any((whole != 0) & (whole != highest)):
        return whole, False
    pieces = connected_components(whole != 0)
    return (whole, False) if pieces.n < 2 else (pieces.paint(), True)
